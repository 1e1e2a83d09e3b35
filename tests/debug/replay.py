#!/usr/bin/env python3
"""Replays a recorded session of bpf_dbg and compares what it shows: registers, packets, verdicts, counts, listings.

usage: replay.py WEIR        WEIR_SHARED names the folder of recordings; exit status 77 when it is not there

The recording was made with a tool that selects packet n+1 when asked for n, so the replay asks for one more; and its
packet 11 of 11, which that tool cannot select, is there. Commands that the old tool passes over in silence get a message.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

FACTS = ("pc:", "code:", "curr:", "jt:", "jf:", "A:", "X:", "M[", "len:", "cap:", "l", "{", "bpf ", "breakpoint",
         "(going", "(next", "(breakpoint", "reached", "packet count", "  0:")


def facts(text):
    out = []
    command = ""
    for line in text.splitlines():
        if line.startswith("> "):
            command = line[2:]
            continue
        if command in ("select 1", "run 1", "select 11", "breakpoint 1", "breakpoint 99", "load", "load foo"):
            continue  # where the recording shows a defect, or a message of its own
        if line.startswith(FACTS) or line[:3].strip().isdigit():
            out.append(line)
    return out


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(os.environ.get("WEIR_SHARED", root.parent / "shared")) / "data" / "classic" / "bpf_dbg"
    if not (folder / "run1.in").exists():
        print("no recorded session at", folder)
        sys.exit(77)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        (place / "bpf_dbg").symlink_to(program)
        shutil.copy(folder / "dns_tcp.pcap", place)
        commands = (folder / "run1.in").read_text().replace("select 11\n", "select 12\n")
        commands = commands.replace("select 10\n", "select 11\n")
        (place / "in").write_text(commands)
        subprocess.run(["./bpf_dbg", "in", "out"], cwd=place, check=True, env={"HOME": str(place)})
        ours, theirs = facts((place / "out").read_text()), facts((folder / "run1.out").read_text())
    if len(theirs) < 150:
        sys.exit(f"only {len(theirs)} facts in the recording")
    if ours != theirs:
        for a, b in zip(ours + [None] * len(theirs), theirs + [None] * len(ours)):
            if a != b:
                sys.exit(f"ours:   {a}\ntheirs: {b}")
    print(len(theirs), "facts agree")


main()
