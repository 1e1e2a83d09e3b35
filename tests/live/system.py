#!/usr/bin/env python3
"""weir capture and the system around it: privileges, promiscuous mode, interfaces that go away.

usage: system.py WEIR [PATTERN...]    see harness.py
"""
import pathlib
import signal
import subprocess
import time

import harness
from harness import WEIR, Capture, check, count_of, send, udp_frame


def test_only_the_needed_capability():
    """A user with CAP_NET_RAW alone captures, promiscuous mode and all."""
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all,+net_raw",
              "--ambient-caps", "-all,+net_raw", "--bounding-set", "-all,+net_raw", "--"]
    capture = Capture("--count", "udp", prefix=prefix)
    check("promiscuity 0" in subprocess.run(["ip", "-d", "link", "show", "v1"], capture_output=True, text=True).stdout,
          False, "promiscuous mode")
    status = pathlib.Path(f"/proc/{capture.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status, status
    send(udp_frame(i) for i in range(20))
    status, out, err = capture.end()
    check((status, out), (0, "20\n"), err)


def test_promiscuous_mode_is_given_back():
    flags = pathlib.Path("/sys/class/net/v1/flags")

    def promiscuous():
        shown = subprocess.run(["ip", "-d", "link", "show", "v1"], capture_output=True, text=True).stdout
        return "promiscuity 0" not in shown

    check(promiscuous(), False, "before")
    for ending in (signal.SIGINT, signal.SIGKILL):
        capture = Capture("--count", "udp")
        check(promiscuous(), True, "during")
        capture.end(ending)
        check(promiscuous(), False, "after")
    capture = Capture("--count", "-p", "udp")
    check(promiscuous(), False, "with -p")
    capture.end()
    assert flags is not None


def test_privileges_are_dropped():
    for arguments, user in (((), "0"), (("-Z", "nobody"), "65534")):
        capture = Capture("--count", *arguments, "udp")
        lines = pathlib.Path(f"/proc/{capture.process.pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            check(int(status[name], 16), 0, name)
        check(status["Uid"].split(), [user] * 4, "user")
        send([udp_frame(1)])
        check(capture.end()[1], "1\n", "packets")


def test_without_privilege_the_message_names_the_capability():
    run = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all",
                          WEIR, "capture", "-i", "v1", "--count"], capture_output=True, text=True)
    check(run.returncode, 3, run.stderr)
    assert "CAP_NET_RAW" in run.stderr, run.stderr


def test_ignored_hangup_stays_ignored():
    capture = Capture("--count", "udp", prefix=("nohup",))
    capture.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    send([udp_frame(1)])
    check(capture.process.poll(), None, "end")
    check(capture.end()[1], "1\n", "packets")


def test_interface_that_goes_down_ends_the_capture():
    capture = Capture("-w", "down.pcapng", "udp")
    send([udp_frame(i) for i in range(5)])
    subprocess.run(["ip", "link", "set", "v1", "down"], check=True)
    out, err = capture.process.communicate(timeout=20)
    subprocess.run(["ip", "link", "set", "v1", "up"], check=True)
    check(capture.process.returncode, 3, err)
    assert "is down" in err, err
    check(count_of("down.pcapng"), 5, "packets before")
    time.sleep(0.1)


harness.main(globals())
