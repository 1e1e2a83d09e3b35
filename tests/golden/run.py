#!/usr/bin/env python3
"""Runs the commands of golden transcripts and compares what they print with what is written there.

usage: run.py [--record] --program WEIR FILE...

FILE is a transcript (.txt), a document (.md: fenced blocks marked `console`) or a manual page (.1, .7: displays).
README.md beside this file describes the form. Exit status: 0 all as written, 1 some differ, 77 nothing could be run.
"""
import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Step:
    """One command with what it should print: standard output, then '! ' lines of standard error, then '= status'."""

    def __init__(self, line):
        self.line = line      # of the '$' in the file, from 0
        self.command = ""
        self.expected = []
        self.last = line + 1  # line behind the expectation
        self.setup = False    # must succeed; what it prints does not matter


def parse_steps(lines, first, last, plain, prompt="$ "):
    """Steps among lines[first:last]; in documents (plain) standard error stands without a mark."""
    steps = []
    index = first
    while index < last:
        line = lines[index]
        index += 1
        if not line.startswith(prompt):
            continue
        step = Step(index - 1)
        step.command = line[2:]
        while index < last and lines[index].startswith("> "):
            step.command += "\n" + lines[index][2:]
            index += 1
        while index < last and not lines[index].startswith(prompt) and not lines[index].startswith("## "):
            step.expected.append(lines[index])
            index += 1
        # In a transcript an empty line before the next command is for the eye.
        while step.expected and step.expected[-1] == "":
            step.expected.pop()
        step.last = step.line + 1 + step.command.count("\n") + len(step.expected)
        steps.append(step)
    return steps


def unescape_mdoc(line):
    return line.replace("\\e", "\\").replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'")


def read_steps(path):
    """(lines, steps, replacements, needs, plain)"""
    lines = path.read_text().split("\n")
    if path.suffix == ".txt":
        directives = [line[3:] for line in lines if line.startswith("## ")]
        replace = [d[len("replace: "):].split(" -> ", 1) for d in directives if d.startswith("replace: ")]
        needs = [d[len("needs: "):] for d in directives if d.startswith("needs: ")]
        return lines, parse_steps(lines, 0, len(lines), False), replace, needs, False
    steps = []
    opening = "```console" if path.suffix == ".md" else ".Bd -literal"
    closing = "```" if path.suffix == ".md" else ".Ed"
    if path.suffix != ".md":
        lines = [unescape_mdoc(line) for line in lines]
    # Comments of a document: <!-- WORD: TEXT -->, or in a manual page .\" WORD: TEXT.
    comments = [m.groups() for line in lines if (m := re.fullmatch(r'(?:\.\\?" |<!-- )(\w+): (.*?)(?: -->)?', line))]
    needs = [text for word, text in comments if word == "needs"]
    replace = [text.split(" -> ", 1) for word, text in comments if word == "replace"]
    for text in (text for word, text in comments if word == "setup"):
        step = Step(0)
        step.command, step.expected, step.setup = text, [""], True
        steps.append(step)
    prompt = "# " if "bpf" in needs else "$ "
    start = None
    for index, line in enumerate(lines):
        if start is None and line.startswith(opening):
            start = index + 1
        elif start is not None and line == closing:
            steps += parse_steps(lines, start, index, True, prompt)
            start = None
    # A command without output in a manual only shows the form: it is not run, unless others need what it does.
    return lines, [step for step in steps if step.expected or prompt == "# "], replace, needs, True


def unmet(needs):
    for need in needs:
        if need == "root":
            if os.geteuid() != 0:
                return "not root"
        elif need == "shared":
            if not shared().is_dir():
                return "the folder of shared cases is not there (WEIR_SHARED)"
        elif need == "network":
            if os.environ.get("WEIR_GOLDEN_NETWORK") != "1":
                return "no network namespace could be made"
        elif need == "bpf":
            if os.environ.get("WEIR_GOLDEN_BPF") != "1":
                return "no namespace with a BPF file system could be made"
        elif shutil.which(need) is None:
            return f"'{need}' is not installed"
    return None


def shared():
    return pathlib.Path(os.environ.get("WEIR_SHARED", ROOT.parent / "shared"))


def run(step, folder, program, plain):
    environment = {k: v for k, v in os.environ.items() if k in ("HOME", "USER", "LANG") or k.endswith("SAN_OPTIONS")}
    environment.update(PATH=f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin", TZ="UTC", LC_ALL="C.UTF-8",
                       NO_COLOR="1", WEIR_SHARED=str(shared()), SAMPLES=str(ROOT / "samples"))
    done = subprocess.run(["bash", "-c", step.command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT if plain else subprocess.PIPE, timeout=300)
    step.failed = done.returncode != 0
    out = done.stdout.decode(errors="backslashreplace")
    got = out.split("\n")
    if got[-1] == "":
        got.pop()
    elif not plain:
        got.append("\\ no newline at the end")
    if plain:
        return got
    got += ["! " + line for line in done.stderr.decode(errors="backslashreplace").rstrip("\n").split("\n")
            if done.stderr]
    if done.returncode != 0:
        got.append(f"= {done.returncode}")
    while got and got[-1] == "":
        got.pop()
    return got


def in_a_network(bpf):
    """Starts this script again where eth0 and eth1 are the ends of a cable, and nothing else is; with `bpf` also where
    the BPF file system is empty."""
    cable = ("ip link add eth0 type veth peer name eth1 && sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
             "ip link set eth0 up && ip link set eth1 up && exec \"$@\"")
    how = ["unshare", "--net", "sh", "-c", cable, "sh"]
    if bpf:
        how = ["unshare", "--net", "--mount", "sh", "-c", "mount -t bpf none /sys/fs/bpf && " + cable, "sh"]
    if subprocess.run([*how, "true"], capture_output=True).returncode == 0:
        os.environ["WEIR_GOLDEN_BPF" if bpf else "WEIR_GOLDEN_NETWORK"] = "1"
        os.execvp("unshare", [*how, sys.executable, *sys.argv])


def check(path, program, record):
    lines, steps, replacements, needs, plain = read_steps(path)
    for need, mark in (("network", "WEIR_GOLDEN_NETWORK"), ("bpf", "WEIR_GOLDEN_BPF")):
        if need in needs and os.environ.get(mark) != "1" and shutil.which("unshare"):
            in_a_network(need == "bpf")
    reason = unmet(needs)
    if reason:
        print(f"{path}: skipped: {reason}")
        return 77
    if not steps:
        print(f"{path}: there is no command in it")
        return 77 if plain else 1
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(ROOT / "samples", pathlib.Path(folder) / "samples")
        if shared().is_dir():
            os.symlink(shared(), pathlib.Path(folder) / "shared")
        for step in steps:
            got = run(step, folder, program, plain)
            if step.setup:
                if step.failed:
                    print(f"{path}: setup failed: {step.command}\n" + "\n".join(got))
                differing += step.failed
                continue
            wanted = step.expected
            for pattern, text in replacements:
                got = [re.sub(pattern, text, line) for line in got]
                if plain:  # a document shows an example of it
                    wanted = [re.sub(pattern, text, line) for line in wanted]
            if got == wanted:
                continue
            differing += 1
            if not record:
                print(f"{path}:{step.line + 1}: $ {step.command}")
                print("\n".join(difflib.unified_diff(wanted, got, "written", "printed", lineterm="", n=2)))
            step.recorded = got
    if record and differing:
        for step in reversed(steps):
            if hasattr(step, "recorded"):
                first = step.line + 1 + step.command.count("\n")
                lines[first:step.last] = step.recorded
        path.write_text("\n".join(lines).rstrip("\n") + "\n")
        print(f"{path}: {differing} command(s) recorded")
        return 0
    return 1 if differing else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true", help="write down what is printed now")
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    statuses = []
    for file in arguments.files:
        if arguments.record and file.suffix != ".txt" and file.suffix != ".md":
            sys.exit(f"{file}: a manual page is not recorded; change it by hand")
        statuses.append(check(file, arguments.program.resolve(), arguments.record))
    sys.exit(1 if 1 in statuses else 77 if set(statuses) == {77} else 0)


if __name__ == "__main__":
    main()
