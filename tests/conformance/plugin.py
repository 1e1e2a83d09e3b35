#!/usr/bin/env python3
"""The plugin protocol of the bpf_conformance suite, as its runner speaks it: the program as hexadecimal digits on
standard input (or after --program), the memory as an argument, r0 in hexadecimal on standard output.

usage: plugin.py PLUGIN
"""
import subprocess
import sys

PLUGIN = sys.argv[1]
EXIT = "95 00 00 00 00 00 00 00"
FIRST_BYTE = "71 10 00 00 00 00 00 00"  # r0 = *(u8 *)(r1 + 0)
LENGTH = "bf 20 00 00 00 00 00 00"  # r0 = r2
UNKNOWN = "ff 00 00 00 00 00 00 00"
OUTSIDE = "71 10 09 00 00 00 00 00"  # r0 = *(u8 *)(r1 + 9)


def run(program, memory, *options, on_input=True):
    arguments = [PLUGIN, memory, *options]
    if not on_input:
        arguments += ["--program", program]
    done = subprocess.run(arguments, input=program if on_input else "", capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr


failures = 0


def expect(what, got, wanted):
    global failures
    if got != wanted:
        failures += 1
        print(f"{what}: {got!r}, not {wanted!r}")


for option in ([], ["--interpreter"], ["--native"], ["--jit"]):
    if option and option[0] in ("--native", "--jit") and run(EXIT, "", *option)[0] != 0:
        continue  # no machine code for this processor
    expect(option, run(f"{FIRST_BYTE} {EXIT}", "ab cd", *option)[:2], (0, "ab"))
    expect(option, run(f"{LENGTH}\n{EXIT}\n", "ab cd ef", *option)[:2], (0, "3"))
    expect(option, run(f"{LENGTH} {EXIT}".replace(" ", ""), "", *option)[:2], (0, "0"))
    expect(option, run(f"{LENGTH} {EXIT}", "aabb", *option, on_input=False)[:2], (0, "2"))
    for bad in (f"{UNKNOWN} {EXIT}", f"{OUTSIDE} {EXIT}", "zz", "95", ""):
        status, output, error = run(bad, "ab", *option)
        expect(f"{option} {bad}", (status != 0, output, error != ""), (True, "", True))
sys.exit(1 if failures else 0)
