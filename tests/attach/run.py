#!/usr/bin/env python3
"""Programs of weir in iptables (xt_bpf) and tc (cls_bpf), on a veth pair in a network namespace of its own.

usage: run.py WEIR       exit status 77 when this machine cannot: the test is skipped

What a rule counts must be what `weir filter` counts in a capture of the same packets.
"""
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing appears beside the sources
from packets import frames, send, skip, write_pcap  # noqa: E402

EXPRESSIONS = ["udp port 53", "tcp dst port 80 and src net 10.99.0.0/25", "portrange 50-60", "udp[8] & 1 = 1",
               "ip[8] > 32 and not tcp", "host 10.99.0.7 or host 10.99.0.9 or host 10.99.0.200", "greater 100",
               "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"]


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done


def bytecode(weir, expression, *arguments):
    return run(weir, "compile", "--to", "bytecode", *arguments, expression).stdout.strip()


def expected(weir, expression, path):
    return int(run(weir, "filter", "--count", "-q", expression, path, check=False).stdout)


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
