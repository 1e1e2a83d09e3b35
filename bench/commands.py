#!/usr/bin/env python3
"""Times whole commands beside tcpdump and cat, interleaved, and prints medians and ratios.

usage: commands.py WEIR MAKE_CAPTURE [--megabytes 1000] [--runs 5] [--folder /tmp]

The captures are made once and kept in the folder; each is read once before timing, so all runs find it in memory.
"""
import argparse
import pathlib
import statistics
import subprocess
import time

FILTERS = ["ip", "tcp port 443", "portrange 6000-8000", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not net 10.0.0.0/8",
           "host 10.0.0.1 and tcp", "ip6", "vlan and ip", " or ".join(f"host 10.0.{i // 256}.{i % 256}" for i in range(10))]


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("make_capture")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", default="/tmp")
    options = parser.parse_args()
    for kind in ("mixed", "small", "large"):
        capture = pathlib.Path(options.folder) / f"weir-bench-{kind}-{options.megabytes}.pcap"
        if not capture.exists():
            subprocess.run([options.make_capture, str(capture), str(options.megabytes), kind], check=True)
        seconds(["cat", str(capture)])
        print(f"\n{kind}: {capture.stat().st_size / 1e6:.0f} MB")
        print(f"{'filter':<34} {'cat':>8} {'tcpdump':>8} {'weir':>8} {'tcpdump/weir':>13} {'weir/cat':>9}  counts")
        for expression in FILTERS:
            commands = {"cat": ["cat", str(capture)],
                        "tcpdump": ["tcpdump", "-r", str(capture), "--count", expression],
                        "weir": [options.weir, "filter", "--quiet", "--count", expression, str(capture)]}
            counts = (output(commands["tcpdump"]).split(" ")[0], output(commands["weir"]).strip())
            times = {name: [] for name in commands}
            for _ in range(options.runs):
                for name, command in commands.items():
                    times[name].append(seconds(command))
            cat, tcpdump, weir = (statistics.median(times[name]) for name in ("cat", "tcpdump", "weir"))
            shown = expression if len(expression) <= 32 else expression[:29] + "..."
            equal = "equal" if counts[0] == counts[1] else f"DIFFERENT: {counts}"
            print(f"{shown:<34} {cat:8.3f} {tcpdump:8.3f} {weir:8.3f} {tcpdump / weir:13.2f} {weir / cat:9.2f}  {counts[1]} {equal}")


main()
