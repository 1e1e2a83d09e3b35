#!/usr/bin/env python3
"""weir capture --af-xdp, in every mode that this kernel has on a veth pair.

usage: af_xdp.py WEIR [PATTERN...]    see harness.py
"""
import pathlib
import signal
import socket
import struct
import subprocess
import time

import harness
from harness import WEIR, Capture, check, count_of, pcap_of, scattered_hosts, send, summary, udp_frame


def xdp_modes():
    """The modes that this kernel has on a veth pair, with what `ip link` calls them."""
    modes = []
    for mode, shown in (("native", "xdp"), ("generic", "xdpgeneric")):
        run = subprocess.run([WEIR, "capture", "-i", "v1", "--af-xdp", "--xdp-mode", mode, "--count", "--duration", "1ms"],
                             capture_output=True, text=True)
        if run.returncode == 1:
            modes.append((mode, shown))
        else:
            assert "AF_XDP" in run.stderr and ("no AF_XDP" in run.stderr or "not supported" in run.stderr), run.stderr
    return modes


def test_af_xdp_takes_what_matches_from_the_host():
    for mode, shown in xdp_modes():
        host = Capture("-w", "host.pcap", "--format", "pcap")
        capture = Capture("--af-xdp", "--xdp-mode", mode, "-w", "xdp.pcap", "--format", "pcap", "--json", "udp port 53")
        link = subprocess.run(["ip", "link", "show", "v1"], capture_output=True, text=True).stdout
        assert f" {shown} " in link, link
        frames = [udp_frame(i, port=53 if i % 3 else 99, size=60 + i % 1400) for i in range(900)]
        before = time.time()
        send(frames)
        time.sleep(0.1)
        status, out, err = capture.end()
        after = time.time()
        told = summary(out)
        check((told["captured"], told["received"], told["dropped"], told["filtered_in"]), (600, 600, 0, "xdp"), mode)
        assert "taken from the host" in err, err
        host.end()
        check((count_of("host.pcap"), count_of("host.pcap", "udp port 53")), (300, 0), f"{mode}: what the host got")
        data, earlier = pathlib.Path("xdp.pcap").read_bytes()[24:], before
        for frame in (frame for i, frame in enumerate(frames) if i % 3):
            seconds, nanoseconds = struct.unpack("<II", data[:8])
            when = seconds + nanoseconds / 1e9
            assert earlier - 1e-3 <= when <= after, (mode, earlier, when, after)
            earlier = when
            check(data[16:16 + len(frame)], frame, f"{mode}: a packet")
            data = data[16 + len(frame):]
        check(data, b"", "rest of the file")


def test_af_xdp_lets_the_host_have_all_after_the_end():
    for mode, shown in xdp_modes():
        for ending in (signal.SIGINT, signal.SIGKILL):
            Capture("--af-xdp", "--xdp-mode", mode, "--count").end(ending)
            link = subprocess.run(["ip", "link", "show", "v1"], capture_output=True, text=True).stdout
            assert f" {shown} " not in link, link
            capture = Capture("--count", "udp")
            send(udp_frame(i) for i in range(10))
            check(capture.end()[1], "10\n", f"{mode}: packets after {ending}")


def test_af_xdp_takes_packets_longer_than_a_page():
    for end in ("v0", "v1"):
        subprocess.run(["ip", "link", "set", end, "mtu", "20000"], check=True)
    try:
        capture = Capture("--af-xdp", "-w", "long.pcap", "--format", "pcap", "udp")
        frames = [udp_frame(i, size=size) for i, size in enumerate((60, 3839, 3840, 3841, 9000, 20000, 100))]
        send(frames)
        time.sleep(0.1)
        status, out, err = capture.end()
        if " 1 queue" in err and count_of("long.pcap") == 4:
            return  # a kernel before 6.6 drops what is longer than a chunk
        data = pathlib.Path("long.pcap").read_bytes()[24:]
        for frame in frames:
            check(data[16:16 + len(frame)], frame, f"packet of {len(frame)} bytes")
            data = data[16 + len(frame):]
    finally:
        for end in ("v0", "v1"):
            subprocess.run(["ip", "link", "set", end, "mtu", "1500"], check=True)


def test_af_xdp_under_load_counts_every_packet():
    pcap_of("load.pcap", [udp_frame(i) for i in range(10000)])
    capture = Capture("--af-xdp", "-w", "load.pcapng", "--ring", "1M", "--json", "udp")
    subprocess.run([WEIR, "inject", "-i", "v0", "-t", "--loop", "10", "-q", "load.pcap"], check=True)
    time.sleep(0.1)
    told = summary(capture.end()[1])
    check(told["captured"] + told["dropped"], 100000, f"sum of {told}")
    check(count_of("load.pcapng"), told["captured"], "packets in the file")


def test_af_xdp_ends_with_its_interface():
    subprocess.run("ip link add w0 type veth peer name w1 && ip link set w0 up && ip link set w1 up", shell=True, check=True)
    capture = Capture("--af-xdp", "--count", interface="w1")
    subprocess.run(["ip", "link", "del", "w0"], check=True)
    out, err = capture.process.communicate(timeout=20)
    check(capture.process.returncode, 3, err)
    assert "ended" in err, err


def test_af_xdp_on_loopback():
    """A driver that does not tell its queues."""
    capture = Capture("--af-xdp", "--count", "udp port 999", interface="lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(7):
            out.sendto(b"hello", ("127.0.0.1", 999))
    time.sleep(0.1)
    check(capture.end()[1], "7\n", "packets")


def test_af_xdp_refusals():
    def refused(*arguments, status):
        run = subprocess.run([WEIR, "capture", "--count", "--duration", "10ms", "--af-xdp", *arguments],
                             capture_output=True, text=True)
        check(run.returncode, status, run.stderr)
        return run.stderr

    assert "'any'" in refused("-i", "any", status=2)
    assert "come in" in refused("-i", "v1", "-Q", "out", status=2)
    assert "--threads" in refused("-i", "v1", "--threads", "2", status=2)
    first = Capture("--af-xdp", "--count")
    assert "another XDP program" in refused("-i", "v1", status=3)
    first.end()
    pathlib.Path("long").write_text(" or ".join(f"src host {number}" for number in scattered_hosts(40000)))
    # Too long for an XDP program: nothing is taken from the host instead.
    text = refused("-i", "v1", "-F", "long", status=3)
    assert "--filter-in-weir" in text, text


harness.main(globals())
