#!/usr/bin/env python3
"""Times whole commands beside tcpdump and cat, interleaved, and prints the shortest times and their ratios.

usage: commands.py WEIR MAKE_CAPTURE [--megabytes 1000] [--runs 5] [--folder /tmp] [--what count,write,...]
                   [--kinds mixed,small,large] [--only TEXT] [--bare BARE_WALK] [--cpu]

The captures are made once and kept in the folder; each is read once before timing, so all runs find it in memory.
What is measured: count (one thread and two, beside cat and tcpdump --count), write (-w to /dev/null and to a file, at
rates of matches from 0.1 to 100 per cent), pipe (cat FILE |), compressed (beside the same decompressor with tcpdump
behind it), several (eight expressions in one pass beside one), pcapng, memory. --only measures the rows whose name has
this text: a table can be made in pieces. --bare is bench/bare_walk: what the walk from record to record takes without
any filter. On a machine that others use, --cpu compares processor time instead of the time on the wall. Ratios above 1
mean that weir is faster. Exit status 1: a result differs.
"""
import argparse
import pathlib
import resource
import shlex
import subprocess
import sys
import time

HOSTS = " or ".join(f"host 10.0.{i // 50}.{i % 50}" for i in range(100))
FILTERS = {"ip": "ip", "tcp port 443": "tcp port 443", "100 hosts": HOSTS, "portrange": "portrange 6000-8000",
           "syn or fin": "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not net 10.0.0.0/8"}
EIGHT = ["ip", "tcp port 443", "udp", "ip6", "portrange 6000-8000", "net 10.0.0.0/8", "vlan", "icmp"]
# Shares of the packets of made captures in per cent, by the last byte of an address, whose values are equally frequent.
RATES = {"0.1": "ip[15] < 1 and ip[19] < 77", "1": "ip[15] < 3", "10": "ip[15] < 30", "25": "ip[15] < 75", "50": "ip[15] < 150",
         "90": "not ip or ip[15] >= 30", "100": ""}
differs = False


def run(command, cpu):
    """The seconds that a command line took: on the wall, or of processors, its children's included.

    A shell takes as long to start as some of these commands, so it is asked only where it is needed.
    """
    shell = "|" in command
    command = command if shell else shlex.split(command)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, shell=shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime if cpu else wall


def output(command):
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout


def row(name, commands, options, note=lambda: "", outputs=()):
    """Prints the shortest times of commands, the first of which is what weir is compared with, and their ratios.

    `outputs` are files that the commands write: they are removed before each, since emptying a file takes time too.
    """
    if options.only not in name:
        return
    times = {key: [] for key in commands}
    for _ in range(options.runs):
        for key, command in commands.items():
            for path in outputs:
                pathlib.Path(path).unlink(missing_ok=True)
            times[key].append(run(command, options.cpu))
    best = {key: min(values) for key, values in times.items()}
    base = next(iter(best.values()))
    cells = [f"{key} {1000 * value:.1f}" for key, value in best.items()]
    ratios = [f"{key} x{base / value:.2f}" for key, value in best.items() if key.startswith("weir")]
    if "cat" in best:
        ratios.append(f"weir/cat {best['weir'] / best['cat']:.2f}")
    print(f"  {name:<26} {'  '.join(cells)}   {'  '.join(ratios)}  {note()}", flush=True)


def equal(a, b):
    global differs
    if a == b:
        return "equal"
    differs = True
    return f"DIFFERENT: {a!r} {b!r}"


def count(options, capture):
    for name, text in FILTERS.items():
        tcpdump = f"tcpdump -r {capture} --count '{text}'"
        weir = f"{options.weir} filter -q -c '{text}' {capture}"
        commands = {"tcpdump": tcpdump, "cat": f"cat {capture}", "weir": f"{weir} --threads 1",
                    "weir2": f"{weir} --threads 2"}
        if options.bare:
            commands["bare"] = f"{options.bare} {capture}"
        row(f"--count {name}", commands, options, lambda: equal(output(tcpdump).split(" ")[0], output(weir).strip()))


def write(options, capture):
    a, b = f"{options.folder}/weir-bench-a.pcap", f"{options.folder}/weir-bench-b.pcap"

    def compare():
        for command in (tcpdump, weir):
            subprocess.run(command, shell=True, stderr=subprocess.DEVNULL, check=False)
        return equal(output(f"cmp {a} {b} || echo differ"), "")

    for rate, text in RATES.items():
        for to in ("/dev/null", "file"):
            tcpdump = f"tcpdump -Z root -r {capture} -w {a if to == 'file' else to} '{text}'"
            weir = f"{options.weir} filter -q '{text}' {capture} -w {b if to == 'file' else to}"
            row(f"-w {to} {rate} %", {"tcpdump": tcpdump, "weir": f"{weir} --threads 1", "weir2": f"{weir} --threads 2"},
                options, compare if to == "file" else lambda: "", (a, b))
    for path in (a, b):
        pathlib.Path(path).unlink(missing_ok=True)


def pipe(options, capture):
    for name in ("ip", "tcp port 443", "100 hosts"):
        row(f"pipe {name}", {"tcpdump": f"cat {capture} | tcpdump -r - --count '{FILTERS[name]}'",
                             "weir": f"cat {capture} | {options.weir} filter -q -c '{FILTERS[name]}' -"}, options)


def compressed(options, capture):
    for program, ending, level in (("zstd", "zst", "-1"), ("lz4", "lz4", "-1"), ("gzip", "gz", "-1")):
        path = pathlib.Path(f"{capture}.{ending}")
        if not path.exists():
            subprocess.run(f"{program} {level} -c {capture} >{path}", shell=True, check=True)
        row(f"{program} tcp port 443", {"tcpdump": f"{program} -dc {path} | tcpdump -r - --count 'tcp port 443'",
                                        "weir": f"{options.weir} filter -q -c 'tcp port 443' {path}"}, options)


def several(options, capture):
    each = " ".join(f"-e '{text}'" for text in EIGHT)
    row("eight filters", {"one": f"{options.weir} filter -q -c --threads 1 '{EIGHT[1]}' {capture}",
                          "weir": f"{options.weir} filter -q -c --threads 1 {each} {capture}"}, options,
        lambda: "(one pass; the goal is x0.50 and more)")


def pcapng(options, capture):
    path = pathlib.Path(f"{capture}ng")
    if not path.exists():
        subprocess.run([options.weir, "filter", "-q", "", str(capture), "-w", str(path), "--format", "pcapng"], check=True)
    tcpdump = f"tcpdump -r {path} --count 'tcp port 443'"
    weir = f"{options.weir} filter -q -c 'tcp port 443' {path}"
    row("pcapng tcp port 443", {"tcpdump": tcpdump, "cat": f"cat {path}", "weir": f"{weir} --threads 1",
                                "weir2": f"{weir} --threads 2"}, options,
        lambda: equal(output(tcpdump).split(" ")[0], output(weir).strip()))


def memory(options, capture):
    for name in ("--count", f"-w {options.folder}/weir-bench-a.pcap"):
        command = f"{options.weir} filter 'tcp' {capture} {name}"
        print("  " + subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stderr.strip())
    pathlib.Path(f"{options.folder}/weir-bench-a.pcap").unlink(missing_ok=True)


KINDS = {"count": count, "write": write, "pipe": pipe, "compressed": compressed, "several": several, "pcapng": pcapng,
         "memory": memory}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("make_capture")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", default="/tmp")
    parser.add_argument("--what", default="count,write,pipe,several,pcapng,memory")
    parser.add_argument("--kinds", default="mixed,small,large")
    parser.add_argument("--only", default="")
    parser.add_argument("--bare")
    parser.add_argument("--keep", action="store_true", help="take captures as they lie in memory")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    for kind in options.kinds.split(","):
        capture = pathlib.Path(options.folder) / f"weir-bench-{kind}-{options.megabytes}.pcap"
        if not capture.exists():
            subprocess.run([options.make_capture, str(capture), str(options.megabytes), kind], check=True)
        # Copied in long writes: what was evicted and read again, or written 4 KiB at a time, lies in the page cache in
        # small pieces, and mapping those takes longer than filtering.
        fresh = f"{capture}.fresh"
        if not options.keep:
            subprocess.run(f"dd if={capture} of={fresh} bs=4M status=none && mv {fresh} {capture}", shell=True,
                           check=True)
        run(f"cat '{capture}'", False)
        print(f"{kind}: {capture.stat().st_size / 1e6:.0f} MB, milliseconds {'of processors' if options.cpu else 'on the wall'}, the shortest")
        for what in options.what.split(","):
            KINDS[what](options, capture)
    sys.exit(1 if differs else 0)


main()
