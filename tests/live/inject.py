#!/usr/bin/env python3
"""weir inject: packets arrive as they are and when they should.

usage: inject.py WEIR [PATTERN...]    see harness.py
"""
import os
import pathlib
import re
import signal
import struct
import subprocess
import time

import harness
from harness import WEIR, Capture, check, pcap_of, summary, udp_frame


def test_injected_packets_arrive_as_they_are():
    frames = [udp_frame(i, size=60 + i % 900) for i in range(1000)]
    pcap_of("in.pcap", frames)
    for pace in (["-t"], ["-t", "--bypass-queues"], ["--rate", "20k"], ["--bit-rate", "100M"], ["--speed", "10"]):
        capture = Capture("-w", "out.pcap", "--format", "pcap", "udp")
        run = subprocess.run([WEIR, "inject", "-i", "v0", *pace, "--json", "in.pcap"], capture_output=True, text=True)
        check((run.returncode, summary(run.stdout)["packets"]), (0, 1000), run.stderr)
        capture.end()
        data = pathlib.Path("out.pcap").read_bytes()[24:]
        for i, frame in enumerate(frames):
            check(data[16:16 + len(frame)], frame, f"{pace}: packet {i}")
            data = data[16 + len(frame):]


def pcapng_of(path, frames):
    """With blocks that are no packets before, between and behind the packets."""
    def block(kind, body):
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
    with open(path, "wb") as out:
        out.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 262144)))
        for frame in frames:
            out.write(block(6, struct.pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame + bytes(-len(frame) % 4)))
            out.write(block(0x40000BAD, b"unknown."))


def test_pcapng_is_injected():
    frames = [udp_frame(i, size=60 + i % 900) for i in range(1000)]
    pcapng_of("in.pcapng", frames)
    for arguments, wanted in (([], 1000), (["-c", 7], 7), (["-t", "--loop", 2], 2000), (["--rate", "20k", "-c", 999], 999)):
        capture = Capture("--count", "udp")
        run = subprocess.run([WEIR, "inject", "-i", "v0", "--json", *map(str, arguments), "in.pcapng"], capture_output=True, text=True)
        check((run.returncode, summary(run.stdout)["packets"]), (0, wanted), run.stderr)
        check(capture.end()[1], f"{wanted}\n", arguments)


def test_injection_keeps_time():
    pcap_of("slow.pcap", [udp_frame(i) for i in range(11)], gap=20000)
    for arguments, wanted in ((["slow.pcap"], 0.2), (["--speed", "4", "slow.pcap"], 0.05), (["--rate", "50", "slow.pcap"], 0.2),
                              (["--rate", "250", "--loop", "5", "-c", "51", "slow.pcap"], 0.2)):
        for last in (False, False, True):  # a busy machine may be late, never early
            run = subprocess.run([WEIR, "inject", "-i", "v0", "--json", *arguments], capture_output=True, text=True)
            seconds = summary(run.stdout)["seconds"]
            assert wanted - 0.001 <= seconds and (seconds < wanted + 0.4 or not last), (arguments, seconds)
            if seconds < wanted + 0.4:
                break


def ended_by(number, *arguments):
    """(status, summary) of an injection that gets this signal half a second after it is ready for it, and then three
    seconds to end."""
    process = subprocess.Popen([WEIR, "inject", "-i", "v0", "--json", *arguments], stdout=subprocess.PIPE, text=True)
    for _ in range(1000):
        caught = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
        if process.poll() is not None or caught and int(caught.group(1), 16) >> (number - 1) & 1:
            break
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(number)
    try:
        return process.wait(timeout=3), summary(process.stdout.read())
    finally:
        process.kill()
        process.wait()


def test_long_gaps_are_waited_for():
    """However late a packet is due, it is not sent at once."""
    for gap, pace in ((10**11, ["--speed", "1e-6"]), (10**15, ["--speed", "0.1"]), (1, ["--rate", "1e-300"]),
                      (1, ["--bit-rate", "1e-300"])):
        pcap_of("gaps.pcap", [udp_frame(i) for i in range(3)], gap=gap)
        status, told = ended_by(signal.SIGINT, *pace, "gaps.pcap")
        check((status, told["packets"]), (0, 1), pace)


def test_a_signal_ends_it_while_the_queue_is_full():
    if subprocess.run("tc qdisc add dev v0 root tbf rate 8kbit burst 2kb limit 100m", shell=True).returncode != 0:
        return "skipped: tc has no tbf"
    pcap_of("much.pcap", [udp_frame(i, size=1000) for i in range(1000)])
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            status, told = ended_by(number, "-t", "--loop", "100000", "much.pcap")
            assert status == 0 and 0 < told["packets"] < 100000, (number, status, told)
    finally:
        subprocess.run("tc qdisc del dev v0 root", shell=True, check=True)


def test_inputs_are_opened_once():
    pcap_of("once.pcap", [udp_frame(i) for i in range(20)])
    os.mkfifo("fifo")
    os.chmod("once.pcap", 0o600)
    os.chown("once.pcap", 65534, 65534)  # root may not read it any more when its capabilities are gone
    for command, wanted in (("-t fifo & cat once.pcap > fifo; wait", 20), ("-t <(cat once.pcap)", 20), ("-t /dev/stdin < once.pcap", 20),
                            ("-t - < once.pcap", 20), ("-t --loop 3 once.pcap", 60), ("-t --loop 2 once.pcap once.pcap", 80)):
        capture = Capture("--count", "udp")
        run = subprocess.run(["bash", "-c", f"{WEIR} inject -q -i v0 {command}"], capture_output=True, text=True)
        check((run.returncode, capture.end()[1]), (0, f"{wanted}\n"), command + run.stderr)
    for refused in ("--loop 2 - < once.pcap", "--loop 2 <(cat once.pcap)"):
        run = subprocess.run(["bash", "-c", f"{WEIR} inject -q -i v0 -t {refused}"], capture_output=True, text=True)
        check(run.returncode, 2, run.stderr)
        assert "only once" in run.stderr, run.stderr


def test_what_does_not_fit_is_told():
    pcap_of("long.pcap", [udp_frame(1), udp_frame(2, size=4000), udp_frame(3)])
    run = subprocess.run([WEIR, "inject", "-i", "v0", "-t", "long.pcap"], capture_output=True, text=True)
    check(run.returncode, 3, run.stderr)
    assert "2 packets sent" in run.stderr and "MTU" in run.stderr, run.stderr
    run = subprocess.run([WEIR, "inject", "-i", "v9", "-t", "long.pcap"], capture_output=True, text=True)
    check(run.returncode, 3, run.stderr)
    assert "did you mean" in run.stderr or "there are" in run.stderr, run.stderr


harness.main(globals())
