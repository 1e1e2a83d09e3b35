#!/usr/bin/env python3
"""Programs of weir in iptables (xt_bpf) and tc (cls_bpf), on a veth pair in a network namespace of its own.

usage: run.py WEIR       exit status 77 when this machine cannot: the test is skipped

What a rule counts must be what `weir filter` counts in a capture of the same packets.
"""
import os
import pathlib
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

EXPRESSIONS = ["udp port 53", "tcp dst port 80 and src net 10.99.0.0/25", "portrange 50-60", "udp[8] & 1 = 1",
               "ip[8] > 32 and not tcp", "host 10.99.0.7 or host 10.99.0.9 or host 10.99.0.200", "greater 100",
               "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def frames(count):
    random.seed(7)
    made = []
    for _ in range(count):
        tcp = random.random() < 0.4
        ports = struct.pack("!HH", random.choice((53, 80, 443, 1000)), random.choice((53, 55, 80, 99)))
        body = bytes(random.randrange(256) for _ in range(random.randrange(2, 120)))
        rest = struct.pack("!IIBBHHH", 1, 2, 0x50, random.randrange(64), 100, 0, 0) if tcp else struct.pack("!HH", 8 + len(body), 0)
        payload = ports + rest + body
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, random.randrange(1, 65), 6 if tcp else 17, 0)
        ip += bytes((10, 99, 0, random.randrange(1, 255))) + bytes((10, 99, 0, 2))
        total = sum(struct.unpack("!10H", ip))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
        made.append((b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + ip + payload).ljust(60, b"\0"))
    return made


def write_pcap(path, packets, link_type):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type))
        for packet in packets:
            out.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done


def bytecode(weir, expression, *arguments):
    return run(weir, "compile", "--to", "bytecode", *arguments, expression).stdout.strip()


def expected(weir, expression, path):
    return int(run(weir, "filter", "--count", "-q", expression, path, check=False).stdout)


def send(packets):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("v0", 0))
        for packet in packets:
            out.send(packet)
    time.sleep(0.2)


def test_iptables(weir, packets, tool):
    if shutil.which(tool) is None:
        return f"skipped: there is no {tool}"
    # Rules see packets from the network header on, cut to the length that the IP header tells.
    datagrams = [packet[14:14 + struct.unpack("!H", packet[16:18])[0]] for packet in packets]
    write_pcap("ip.pcap", datagrams, 101)
    for expression in EXPRESSIONS:
        # tcp port 80 and such; "greater" compares the whole length, which is the datagram's here.
        added = run(tool, "-t", "raw", "-A", "PREROUTING", "-m", "bpf", "--bytecode",
                    bytecode(weir, expression, "-y", "RAW"), check=False)
        if added.returncode != 0:
            if "bpf" in added.stderr and "No such file" in added.stderr:
                return "skipped: this kernel has no xt_bpf"
            raise AssertionError(f"{expression}: {added.stderr}")
    send(packets)
    shown = run(tool, "-t", "raw", "-nvxL", "PREROUTING").stdout.splitlines()[2:]
    for expression, line in zip(EXPRESSIONS, shown):
        got, wanted = int(line.split()[0]), expected(weir, expression, "ip.pcap")
        assert got == wanted, f"{tool}: {expression}: {got} packets, not {wanted}"
        assert wanted > 0, expression
    run(tool, "-t", "raw", "-F", "PREROUTING")
    return "ok"


def test_tc(weir, packets):
    """Packets that match go to class 1:1: a verdict of -1 means the filter's classid."""
    write_pcap("ethernet.pcap", packets, 1)
    for expression in EXPRESSIONS:
        made = run("tc", "qdisc", "add", "dev", "v0", "root", "handle", "1:", "htb", check=False)
        if made.returncode != 0:
            return f"skipped: no qdisc with classes: {made.stderr.strip()}"
        run("tc", "class", "add", "dev", "v0", "parent", "1:", "classid", "1:1", "htb", "rate", "10gbit")
        run("tc", "filter", "add", "dev", "v0", "parent", "1:", "prio", "1", "bpf", "bytecode",
            bytecode(weir, expression, "-s", "4294967295"), "classid", "1:1")
        send(packets)
        text = run("tc", "-s", "class", "show", "dev", "v0").stdout
        got, wanted = int(re.search(r"(\d+) pkt", text).group(1)), expected(weir, expression, "ethernet.pcap")
        assert got == wanted, f"tc: {expression}: {got} packets, not {wanted}\n{text}"
        run("tc", "qdisc", "del", "dev", "v0", "root")
    return "ok"


def main():
    weir = os.path.abspath(sys.argv[1])
    if os.environ.get("WEIR_LIVE_NAMESPACE") != "1":
        for tool in ("unshare", "ip", "tc"):
            if shutil.which(tool) is None:
                skip(f"there is no {tool}")
        if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
            skip("no permission to make a network namespace")
        return subprocess.run(["unshare", "--net", sys.executable, *sys.argv],
                              env={**os.environ, "WEIR_LIVE_NAMESPACE": "1"}).returncode
    if subprocess.run("ip link add v0 type veth peer name v1 && sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
                      "ip link set v0 up && ip link set v1 up", shell=True).returncode != 0:
        skip("this kernel has no veth")
    failed = 0
    packets = frames(400)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, case in (("iptables", lambda: test_iptables(weir, packets, "iptables")),
                           ("iptables-legacy", lambda: test_iptables(weir, packets, "iptables-legacy")),
                           ("tc", lambda: test_tc(weir, packets))):
            try:
                print(f"{name}: {case()}", flush=True)
            except Exception as error:  # every case is run, whatever one does
                failed = 1
                print(f"{name}: FAIL {error!r}", flush=True)
    return failed


sys.exit(main())
