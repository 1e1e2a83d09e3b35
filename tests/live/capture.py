#!/usr/bin/env python3
"""weir capture on a veth pair: what is captured, what the filter takes, where it runs.

usage: capture.py WEIR [PATTERN...]    see harness.py
"""
import pathlib
import socket
import struct
import subprocess
import time

import harness
from harness import WEIR, Capture, check, count_of, flooding, pcap_of, scattered_hosts, send, summary, udp_frame


def test_no_early_packet():
    """Under traffic from before the start, a filter that matches nothing captures nothing."""
    sender = flooding("v0", 0.7)
    for _ in range(3):
        run = subprocess.run([WEIR, "capture", "-i", "v1", "--count", "--duration", "100ms", "--json", "tcp port 9"],
                             capture_output=True, text=True)
        check((summary(run.stderr if not run.stdout else run.stdout)["received"], run.returncode), (0, 1), "received")
    sender.wait()


def test_count_is_exact():
    capture = Capture("-w", "out.pcapng", "-c", 7, "--json")
    send(udp_frame(i) for i in range(100))
    out, err = capture.process.communicate(timeout=20)
    check(summary(out)["captured"], 7, err)
    check(count_of("out.pcapng"), 7, "packets in the file")


def test_vlan_tags_are_put_back():
    capture = Capture("-w", "out.pcap", "--format", "pcap", "vlan 42 and udp port 53")
    send([udp_frame(1, vlan=42), udp_frame(2, vlan=43), udp_frame(3)])
    capture.end()
    frames = pathlib.Path("out.pcap").read_bytes()[24 + 16:]
    check(frames, udp_frame(1, vlan=42), "bytes of the packet")


def test_language_options():
    """The kernel takes tags off before its filter runs, so only a filter behind the ring needs --vlan=auto; --strict
    refuses sets; ip broadcast knows the mask of the interface."""
    frames = [udp_frame(i, vlan=7) for i in range(3)] + [udp_frame(i) for i in range(2)] + [udp_frame(1, vlan=7, port=9)]
    for arguments, wanted in ((["udp port 53"], 5), (["--vlan=auto", "udp port 53"], 5), (["udp port 53 and not vlan"], 2),
                              (["vlan 7 and udp port 53"], 3), (["--filter-in-weir", "udp port 53"], 2),
                              (["--filter-in-weir", "--vlan=auto", "udp port 53"], 5)):
        capture = Capture("--count", *arguments)
        send(frames)
        check(capture.end()[1], f"{wanted}\n", arguments)
    run = subprocess.run([WEIR, "capture", "-i", "v1", "--count", "--strict", "port {53, 80}"], capture_output=True, text=True)
    check(run.returncode, 3, run.stderr)
    run = subprocess.run([WEIR, "capture", "-i", "v1", "--count", "ip broadcast"], capture_output=True, text=True)
    assert "--netmask" in run.stderr, run.stderr
    subprocess.run(["ip", "address", "add", "10.99.0.1/28", "dev", "v1"], check=True)
    try:
        capture = Capture("--count", "ip broadcast")
        send(udp_frame(1, destination=to) for to in ("10.99.0.15", "10.99.0.16", "10.99.0.14", "255.255.255.255"))
        # 16 is the network's own address, which was broadcast once.
        check(capture.end()[1], "3\n", "broadcasts")
    finally:
        subprocess.run(["ip", "address", "flush", "dev", "v1"], check=True)


def test_expression_behind_the_interface():
    for words in (["-c", "1", "-i", "v1", "udp", "port", "53"], ["-i", "v1", "-c", "1", "-i", "v1", "--", "udp", "port", "53"]):
        capture = Capture("--count", *words, interface=None)
        try:
            send([udp_frame(1, port=99), udp_frame(2)])
            out, err = capture.process.communicate(timeout=20)
            check((capture.process.returncode, out), (0, "1\n"), err)
        finally:
            capture.process.kill()


def test_direction():
    for direction, wanted in (("in", 3), ("out", 2), ("both", 5)):
        capture = Capture("--count", "-Q", direction, "udp port 53")
        send([udp_frame(i) for i in range(3)])
        send([udp_frame(i) for i in range(2)], interface="v1")
        check(capture.end()[1], f"{wanted}\n", direction)


def test_any_interface():
    capture = Capture("-w", "out.pcapng", "udp port 53 or udp port 999", interface="any")
    send([udp_frame(i) for i in range(3)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"hello", ("127.0.0.1", 999))
    capture.end()
    # v0 sends, v1 receives; loopback shows its packet once.
    check(count_of("out.pcapng", "udp port 53"), 6, "both ends of the pair")
    check(count_of("out.pcapng", "udp port 999"), 1, "loopback")


def test_threads_see_each_packet_once():
    for mode in ("hash", "round-robin", "cpu", "queue"):
        capture = Capture("-w", "out.pcapng", "--threads", 3, "--fanout", mode, "--json", "udp")
        send(udp_frame(i, port=50 + i % 40) for i in range(3000))
        status, out, err = capture.end()
        told = summary(out)
        check((told["captured"], told["dropped"]), (3000, 0), mode)
        check(count_of("out.pcapng"), 3000, mode)


def test_filter_in_weir_gives_the_same():
    capture = Capture("-w", "out.pcapng", "--filter-in-weir", "--json", "udp port 53")
    send(udp_frame(i, port=53 + i % 2) for i in range(1000))
    told = summary(capture.end()[1])
    check((told["captured"], told["filtered_in"]), (500, "weir"), "summary")


def test_filters_in_weir_see_whole_packets():
    """A short snap length cuts behind the filter, wherever it runs."""
    for arguments in (["udp port 53"], ["greater 100"], ["udp[12:4] = 7 or len > 100"], ["ip[(ip[0] & 0xf) - 9] = 2"]):
        for interface in ("v1", "any"):
            counts = []
            for where in ([], ["--filter-in-weir"]):
                capture = Capture("-s", 1, "-w", "cut.pcapng", "--json", *where, *arguments, interface=interface)
                send(udp_frame(i, port=53 + i % 2, size=64 + i * 4) for i in range(20))
                told = summary(capture.end()[1])
                check(told["bytes"], told["captured"], "one byte of each packet")
                check(count_of("cut.pcapng"), told["captured"], "packets in the file")
                counts.append(told["captured"])
            assert counts[0] > 0, arguments
            check(counts[1], counts[0], f"{interface} {arguments}")


def test_ends_under_a_flood():
    """A ring that is never empty does not hold the end back."""
    flooders = [flooding("v0", 5) for _ in range(2)]
    try:
        time.sleep(0.5)
        start = time.monotonic()
        run = subprocess.run([WEIR, "capture", "-i", "v1", "--count", "--duration", "500ms", "--ring", "1M"], capture_output=True, text=True)
        assert run.returncode == 0 and time.monotonic() - start < 4, (run, time.monotonic() - start)
    finally:
        for flooder in flooders:
            flooder.kill()
            flooder.wait()


def test_one_of_two_interfaces_goes_away():
    for threads in (1, 2):
        subprocess.run("ip link add v2 type veth peer name v3 && ip link set v2 up && ip link set v3 up", shell=True, check=True)
        capture = Capture("-i", "v3", "--threads", threads, "--count", "udp")
        subprocess.run(["ip", "link", "delete", "v3"], check=True)
        time.sleep(0.5)
        send(udp_frame(i) for i in range(5))
        status, out, err = capture.end()
        check((status, out), (0, "5\n"), err)
        check((err.count("warning"), err.count("was removed")), (1, 1), err)


def test_long_filters_run_in_the_kernel_and_say_so():
    """More instructions than the kernel takes of classic programs: an extended program with maps, announced and exact."""
    hosts = " or ".join(f"src host 10.{i // 200}.{i % 200}.7" for i in range(6000))
    pathlib.Path("long").write_text(f"udp and ({hosts} or src host 10.99.0.1) and udp dst port 53")
    capture = Capture("-F", "long", "--count", "--json")
    send(udp_frame(i, port=53 + i % 2) for i in range(1000))
    status, out, err = capture.end()
    check((summary(out)["captured"], summary(out)["filtered_in"]), (500, "kernel"), err)
    assert "runs there as an extended program" in err and "values in maps" in err, err


def test_lists_of_hosts_run_in_the_kernel():
    """10,000 hosts of a file, in and out, on one interface and on `any`; without CAP_BPF the same in user space."""
    listed = scattered_hosts(10000)
    pathlib.Path("hosts").write_text("# a list\n" + "\n".join(listed) + "\n")
    frames = []
    for i in range(600):
        # In turns: the source is listed, the destination is, none is (an address beside a listed one).
        one, two = listed[(i * 97) % 10000], listed[(i * 61 + 5000) % 10000]
        beside = socket.inet_ntoa(struct.pack("!I", struct.unpack("!I", socket.inet_aton(one))[0] ^ 2))
        frames.append(udp_frame(i, source=(one, "10.99.0.1", beside)[i % 3], destination=("10.99.0.2", two, "10.99.0.2")[i % 3]))
    assert not any(host in listed for host in ("10.99.0.1", "10.99.0.2"))
    for interface, wanted in (("v1", 400), ("any", 800)):
        capture = Capture("--count", "--json", "host @hosts", interface=interface)
        send(frames)
        status, out, err = capture.end()
        check((summary(out)["captured"], summary(out)["received"], summary(out)["filtered_in"]),
              (wanted, wanted, "kernel"), f"{interface}: {err}")
        assert "runs there as an extended program" in err, err
    capture = Capture("--count", "--json", "host @hosts", without="bpf,sys_admin")
    send(frames)
    status, out, err = capture.end()
    check((summary(out)["captured"], summary(out)["received"], summary(out)["filtered_in"]), (400, 600, "weir"), err)
    assert "packets are filtered in weir" in err, err


def test_capture_under_load_counts_every_packet():
    """200,000 packets as fast as they go: captured and dropped ones add up."""
    pcap_of("load.pcap", [udp_frame(i) for i in range(10000)])
    capture = Capture("-w", "load.pcapng", "--ring", "64M", "--json", "udp")
    subprocess.run([WEIR, "inject", "-i", "v0", "-t", "--loop", "20", "-q", "load.pcap"], check=True)
    told = summary(capture.end()[1])
    check(told["captured"] + told["dropped"], 200000, f"sum of {told}")
    check(count_of("load.pcapng"), told["captured"], "packets in the file")


harness.main(globals())
