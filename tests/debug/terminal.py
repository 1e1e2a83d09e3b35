#!/usr/bin/env python3
"""Drives weir debug in a real terminal (tmux): prompt, completion of commands and files, history, ^C, back in time.

usage: terminal.py WEIR SAMPLE-CAPTURE     exit status 77 without tmux
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


class Terminal:
    def __init__(self, place, command):
        self.socket = str(place / "tmux.socket")
        environment = dict(os.environ, HOME=str(place), TERM="xterm")
        environment.pop("TMUX", None)
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "60",
                        "-c", str(place), command], check=True, env=environment)

    def send(self, *keys):
        subprocess.run(["tmux", "-S", self.socket, "send-keys", *keys], check=True)

    def screen(self):
        return subprocess.run(["tmux", "-S", self.socket, "capture-pane", "-p"], check=True, capture_output=True,
                              text=True).stdout

    def expect(self, text, times=1):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.screen().count(text) >= times:
                return
            time.sleep(0.05)
        sys.exit(f"expected {text!r} {times} time(s), the terminal shows:\n{self.screen()}")

    def clear(self):
        self.send("C-l")
        time.sleep(0.1)

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


def session(terminal):
    terminal.expect(">")
    terminal.send("load exp", "Tab", "tcp port 53", "Enter")
    terminal.expect("load expression tcp port 53")
    terminal.expect("instructions")
    terminal.send("load pcap office-s", "Tab", "Enter")
    terminal.expect("load pcap office-sample.pcap")
    terminal.expect("packets, EN10MB")
    terminal.send("d", "Tab")
    terminal.expect("disassemble")
    terminal.send("C-c")
    terminal.expect("^C")
    terminal.send("breakpoint pass", "Enter")
    terminal.expect("breakpoint at: pass")
    terminal.send("delete 1", "Enter")
    terminal.send("run", "Enter")
    terminal.expect("bpf passes:")
    terminal.send("Up", "Enter")
    terminal.expect("bpf passes:", 2)
    terminal.clear()
    terminal.send("step 2", "Enter")
    terminal.expect("(packet 1 of")
    terminal.expect("pc:       [1]")
    terminal.send("back", "Enter")
    terminal.expect("pc:       [0]")
    terminal.send("nonsense", "Enter")
    terminal.expect("unknown command 'nonsense'")
    terminal.send("quit", "Enter")


def main():
    program, sample = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    if shutil.which("tmux") is None:
        print("tmux is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        shutil.copy(sample, place / "office-sample.pcap")
        (place / ".weir_debug_history").write_text("help step\n")  # as readline keeps it
        terminal = Terminal(place, f"{program} debug; echo left with $?; sleep 60")
        try:
            session(terminal)
            terminal.expect("left with 0")
        finally:
            terminal.close()
        history = (place / ".weir_debug_history").read_text()
        if not history.startswith("help step\n") or "breakpoint pass\n" not in history:
            sys.exit("the history lacks a command:\n" + history)
        if "nonsense" in history:
            sys.exit("the history holds a command that failed:\n" + history)


main()
