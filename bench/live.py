#!/usr/bin/env python3
"""weir capture beside tcpdump and dumpcap, and weir inject beside tcpreplay, on a veth pair in a namespace of its own.

usage: live.py WEIR [--packets 2000000] [--runs 3] [--ring 8] [--sizes 64,1400] [--only captures|injections]

Captures: packets of one size are injected as fast as they go, on CPU 0; the reader runs on CPU 1 with rings of the same size
and writes to /dev/null. Printed are medians: packets that arrived, those lost, and the reader's CPU time a packet.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time


def write_capture(path, size, count):
    frame = (b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + struct.pack("!BBHHHBBH4s4sHHHH", 0x45, 0, size - 14, 0, 0, 64, 17, 0,
             b"\x0a\x63\0\1", b"\x0a\x63\0\2", 1000, 53, size - 34, 0)).ljust(size, b"x")
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        out.write((struct.pack("<IIII", 0, 0, size, size) + frame) * count)


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(fields[0])


def capture(command, weir, source, loops, pattern):
    """Packets that the reader tells of, packets lost, nanoseconds of CPU a packet."""
    reader = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.7)
    before = cpu_of(reader.pid)
    subprocess.run(["taskset", "-c", "0", weir, "inject", "-q", "-t", "--bypass-queues", "-i", "v0", "--loop", str(loops),
                    source], check=True)
    time.sleep(0.3)
    used = cpu_of(reader.pid) - before
    reader.send_signal(signal.SIGINT)
    out, err = reader.communicate(timeout=30)
    numbers = [int(number) for number in re.search(pattern, out + err, re.S).groups()]
    return numbers[0], numbers[-1], used / max(numbers[0], 1)


def captures(options, weir):
    megabytes = options.ring
    readers = {
        "weir": ([weir, "capture", "-i", "v1", "-w", "/dev/null", "--ring", f"{megabytes}M"],
                 r"(\d+) packets captured, .* (\d+) dropped"),
        "weir AF_XDP": ([weir, "capture", "-i", "v1", "-w", "/dev/null", "--ring", f"{megabytes}M", "--af-xdp"],
                        r"(\d+) packets captured, .* (\d+) dropped"),
        "tcpdump": (["tcpdump", "-i", "v1", "-w", "/dev/null", "-B", str(megabytes * 1024)],
                    r"(\d+) packets? captured.*?(\d+) packets? dropped by kernel"),
        "dumpcap": (["dumpcap", "-q", "-i", "v1", "-w", "/dev/null", "-B", str(megabytes)],
                    r"Packets captured: (\d+).*dropped on interface[^:]*: \d+/(\d+)"),
    }
    for size in options.sizes:
        source = f"packets-{size}.pcap"
        print(f"\n{size}-byte packets, {options.packets} sent, rings of {megabytes} MB, medians of {options.runs}")
        print(f"{'reader':<12} {'captured':>10} {'lost':>8} {'CPU ns/packet':>14} {'to tcpdump':>11}")
        results = {name: [] for name in readers}
        for _ in range(options.runs):
            for name, (command, pattern) in readers.items():
                if shutil.which(command[0]):
                    results[name].append(capture(command, weir, source, options.packets // 10000, pattern))
        cost = {name: statistics.median(run[2] for run in runs) for name, runs in results.items() if runs}
        for name, runs in results.items():
            if not runs:
                print(f"{name:<12} not installed")
                continue
            captured, lost = (statistics.median(run[i] for run in runs) for i in (0, 1))
            print(f"{name:<12} {captured:>10.0f} {lost:>8.0f} {cost[name]:>14.1f} {cost[name] / cost.get('tcpdump', cost[name]):>10.2f}x")


def injections(options, weir):
    senders = {
        "weir -t": [weir, "inject", "-q", "-t", "-i", "v0", "--loop"],
        "weir -t --bypass-queues": [weir, "inject", "-q", "-t", "--bypass-queues", "-i", "v0", "--loop"],
        "tcpreplay --topspeed": ["tcpreplay", "-q", "--topspeed", "-K", "-i", "v0", "--loop"],
    }
    for size in options.sizes:
        loops = options.packets // 10000
        print(f"\n{size}-byte packets, {options.packets} injected, medians of {options.runs}")
        rates = {name: [] for name in senders}
        for _ in range(options.runs):
            for name, command in senders.items():
                if not shutil.which(command[0]):
                    continue
                start = time.perf_counter()
                subprocess.run([*command, str(loops), f"packets-{size}.pcap"], check=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                rates[name].append(options.packets / (time.perf_counter() - start))
        reference = statistics.median(rates["tcpreplay --topspeed"] or [0])
        for name, runs in rates.items():
            if runs:
                rate = statistics.median(runs)
                ratio = f"{rate / reference:.2f}x" if reference else "-"
                print(f"{name:<26} {rate / 1e6:>6.2f} M packets/s {ratio:>8}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--packets", type=int, default=2000000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ring", type=int, default=8)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[64, 1400])
    parser.add_argument("--only", choices=["captures", "injections"])
    options = parser.parse_args()
    weir = os.path.abspath(options.weir)
    if os.environ.get("WEIR_LIVE_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, "WEIR_LIVE_NAMESPACE": "1"})
    subprocess.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link add v0 type veth peer name v1 && "
                   "ip link set v0 up && ip link set v1 up", shell=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        os.chdir(folder)
        for size in options.sizes:
            write_capture(f"packets-{size}.pcap", size, 10000)
        if options.only != "injections":
            captures(options, weir)
        if options.only != "captures":
            injections(options, weir)


main()
