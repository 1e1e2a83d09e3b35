#!/usr/bin/env python3
"""Machine code as weir prints it, beside what objdump prints: of the kernel's compiler (root) and of a compiled file.

usage: machine_code.py WEIR        exit status 77 without objdump

Also the kernel's own log and its listing by the tool of the kernel, where the folder of recordings (WEIR_SHARED) is.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

EXPRESSIONS = ["tcp port 80", "ip6 and udp", "net 10.0.0.0/8 or not arp", "ether[0] & 1 != 0 and len > 100",
               "ip[2:2] % 7 == 3 and ip[8] * 3 / 5 > 9", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src host 1.2.3.4"]
# Operands of string instructions, which no compiler of filters makes; what the end of the file cuts.
SKIP = re.compile(r"^(\.byte|rep|repz|repnz|stos|movs[bwlq] %ds|data16)")


def normal(text):
    text = re.sub(r"\s0x([0-9a-f]+)$", lambda m: " 0x%x" % int(m[1], 16), text.rstrip())
    return re.sub(r"\s+", " ", text)


def objdump(path):
    lines = subprocess.run(["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-w", "--no-show-raw-insn", path],
                           capture_output=True, text=True, check=True).stdout.splitlines()
    found = (re.match(r"\s*([0-9a-f]+):\t(.*)", line) for line in lines)
    return {int(m[1], 16): m[2] for m in found if m}


def compare(program, path, what):
    run = subprocess.run([program, "jit", "--image", path, "--processor", "x86_64", "--json"], capture_output=True,
                         text=True, check=True)
    ours = {one["offset"]: one["text"] for one in json.loads(run.stdout)["instructions"]}
    theirs = objdump(path)
    if not theirs:
        sys.exit(f"{what}: objdump printed nothing")
    for offset, text in theirs.items():
        if not SKIP.match(text) and normal(ours.get(offset, "nothing")) != normal(text):
            sys.exit(f"{what}: at {offset:#x} ours: {ours.get(offset)}   objdump: {text}")
    print(f"{what}: {len(theirs)} instructions agree")


def images(program, place, engine):
    for number, expression in enumerate(EXPRESSIONS):
        run = subprocess.run([program, "jit", "--json", "--engine", engine, expression], capture_output=True, text=True)
        if run.returncode != 0:
            print(f"no code of {engine}:", run.stderr.strip())
            return
        view = json.loads(run.stdout)
        begins = [n for one in view["instructions"] for n in one.get("begins", [])]
        if sorted(begins)[0] != 0 or len(begins) < 3:
            sys.exit(f"{expression}: code of instructions {begins}")
        path = place / f"image{number}"
        path.write_bytes(bytes.fromhex("".join(one["bytes"] for one in view["instructions"]).replace(" ", "")))
        compare(program, path, f"{engine}, {expression}")


def recorded_log(program, place):
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(os.environ.get("WEIR_SHARED", root.parent / "shared")) / "data/classic/bpf_jit_disasm"
    if not (folder / "doc.log").exists():
        print("no recorded log")
        return
    (place / "bpf_jit_disasm").symlink_to(program)
    for options, name in ([], "doc.out"), (["-o"], "doc-o.out"):
        run = subprocess.run([place / "bpf_jit_disasm", *options, "-f", folder / "doc.log"], capture_output=True,
                             text=True, check=True)
        if run.stdout != (folder / name).read_text():
            sys.exit(f"{name} differs:\n{run.stdout}")
    image = subprocess.run([place / "bpf_jit_disasm", "-f", folder / "doc.log", "-O", place / "out.bin"],
                           capture_output=True, text=True, check=True)
    if image.stdout.splitlines() != (folder / "doc.out").read_text().splitlines()[:2]:
        sys.exit(f"-O shows more or less than the heading:\n{image.stdout}")
    if (place / "out.bin").stat().st_size != 70:
        sys.exit("the image was not written")
    piped = subprocess.run([place / "bpf_jit_disasm", "-f", "-"], stdin=open(folder / "doc.log"), capture_output=True,
                           text=True, check=True)
    if piped.stdout != (folder / "doc.out").read_text():
        sys.exit("standard input gives something else")
    print("the recorded log gives the recorded listings")


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    if shutil.which("objdump") is None or shutil.which("objcopy") is None:
        print("objdump is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        recorded_log(program, place)
        images(program, place, "kernel")
        if os.uname().machine == "x86_64":
            images(program, place, "scalar")
            images(program, place, "avx2")
            text = place / "text"
            subprocess.run(["objcopy", "-O", "binary", "--only-section=.text", shutil.which("objdump"), text], check=True)
            text.write_bytes(text.read_bytes()[:200000])
            compare(program, text, "objdump itself")


main()
