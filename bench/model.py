#!/usr/bin/env python3
"""Cycles that llvm-mca's model of a processor takes for weir's code in lanes: an estimate for processors not at hand.

usage: model.py WEIR [--cpu NAME] [--features LIST] [FILTER...]

WEIR is the program. For each filter, the loop of the engine that has FEATURES (avx512,gather) is taken from `weir jit`
and given to llvm-mca as one block in which no jump is taken: so every group of packets runs all of the code that any of
them may want, and verdicts are stored as words. The model (icelake-server) knows no caches: all loads hit the first one.
Package: llvm. Exit status 1 where llvm-mca is not there or does not take the code.
"""
import argparse
import random
import re
import subprocess
import sys

LINE = re.compile(r"(?:^|  )([0-9a-f]+):  (\S.*)$")
JUMP = re.compile(r"(j\w+) +0x([0-9a-f]+)")


def filters():
    draw = random.Random(5)

    def hosts(count):
        return " or ".join("host " + ".".join(str(draw.randint(1, 223)) for _ in range(4)) for _ in range(count))

    return {
        "ip": "ip",
        "tcp port 443": "tcp port 443",
        "portrange 6000-8000": "portrange 6000-8000",
        "100 hosts": hosts(100),
        "1,000 hosts": hosts(1000),
    }


def loop_of(listing, register):
    """The instructions of the last loop: from a backward jump's target to that jump. What a jump passes over is left out
    where it is always taken, so that verdicts are stored once; of other jumps none is."""
    code = [(int(found[1], 16), found[2]) for found in map(LINE.search, listing.splitlines()) if found]
    begin = end = None
    for at, text in code:
        jump = JUMP.match(text)
        if jump and int(jump[2], 16) < at:
            begin, end = int(jump[2], 16), at
    if begin is None:
        sys.exit("model.py: there is no loop in the code")
    inside = []
    skipped_to = begin
    for at, text in code:
        if not skipped_to <= at <= end:
            continue
        jump = JUMP.match(text)
        if jump and jump[1] == "jmp":
            skipped_to = int(jump[2], 16)
        else:
            inside.append(f"{jump[1]} loop" if jump else text)
    if not any(register in text for text in inside):
        sys.exit("model.py: the program does not run in lanes")
    return ["loop:"] + inside


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weir")
    parser.add_argument("--cpu", default="icelake-server")
    parser.add_argument("--features", default="avx512,gather")
    parser.add_argument("filters", nargs="*")
    asked = parser.parse_args()
    engine = "avx512" if "avx512" in asked.features else "avx2"
    packets = 16 if engine == "avx512" else 8
    print(f"{asked.cpu}, {asked.features}: cycles for {packets} packets, for one, and instructions")
    for name, expression in ({text: text for text in asked.filters} or filters()).items():
        shown = subprocess.run(
            [asked.weir, "jit", "--engine", engine, "--features", asked.features, expression], capture_output=True, text=True
        )
        if shown.returncode != 0:
            sys.exit(shown.stderr)
        block = loop_of(shown.stdout, "zmm" if packets == 16 else "ymm")
        try:
            model = subprocess.run(
                ["llvm-mca", f"-mcpu={asked.cpu}", "-mtriple=x86_64", "-iterations=100"],
                input="\n".join(block) + "\n", capture_output=True, text=True,
            )
        except FileNotFoundError:
            sys.exit("model.py: llvm-mca is not there (package llvm)")
        cycles = re.search(r"Total Cycles: +(\d+)", model.stdout)
        if model.returncode != 0 or not cycles or "error" in model.stderr:
            sys.exit("model.py: llvm-mca does not take the code\n" + model.stderr)
        each = int(cycles[1]) / 100
        print(f"{name:24} {each:6.1f} {each / packets:6.2f} {len(block) - 1:6}")


if __name__ == "__main__":
    main()
