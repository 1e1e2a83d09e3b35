#!/usr/bin/env python3
"""bpfc (netsniff-ng) beside weir: programs in the language of both give the same bytes, and what bpfc prints is read.

usage: bpfc.py WEIR
Exit status: 0 all equal, 1 some differ, 77 there is no bpfc.
"""
import pathlib
import random
import shutil
import subprocess
import sys

LOADS = ["#len", "#pktlen", "#pto", "#proto", "#type", "#poff", "#ifx", "#ifidx", "#nla", "#nlan", "#mark", "#que", "#queue", "#Q",
         "#hat", "#hatype", "#rxh", "#rxhash", "#cpu", "#vlant", "#vlan_tci", "#vlana", "#vlan_acc", "#vlanp"]


def number(rng):
    value = rng.choice([0, 1, 7, 15, 42, 0x806, 0x7fffffff, rng.randrange(1 << 31)])
    return rng.choice(["%d", "0x%x", "0%o" if value else "%d"]) % value


def statement(rng, label):
    k = number(rng)
    op = rng.choice(["add", "sub", "mul", "div", "mod", "and", "or", "xor", "lsh", "rsh"])
    jump = rng.choice(["jeq", "jgt", "jge", "jset"])
    negated = rng.choice(["jneq", "jne", "jlt", "jle"])
    operand = rng.choice(["#" + k, "x", "%x"])
    return rng.choice([
        "ld #" + k, "ldi " + k, "ldi #" + k, "ldx #" + k, "ldxi " + k, "ld M[%d]" % rng.randrange(16), "ldx M[%d]" % rng.randrange(16),
        "st M[%d]" % rng.randrange(16), "stx M[%d]" % rng.randrange(16), "%s [%s]" % (rng.choice(["ld", "ldh", "ldb"]), k),
        "%s [x + %s]" % (rng.choice(["ld", "ldh", "ldb"]), k), "%s [ %%x + %s ]" % (rng.choice(["ld", "ldh", "ldb"]), k),
        rng.choice(["ldx", "ldxb"]) + " 4*([%s]&0xf)" % k, "ld " + rng.choice(LOADS), "ld " + rng.choice(LOADS)[1:], "ldx #len",
        op + " " + operand, "neg", "tax", "txa", "ret a", "ret %a", "ret #" + k, rng.choice(["ja", "jmp"]) + " " + label,
        "%s %s,%s,%s" % (jump, operand, label, label), "%s %s, %s" % (jump, operand, label), "%s %s,%s" % (negated, operand, label)])


def program(rng):
    count = 2 + rng.randrange(40)
    lines = ["L%02d: %s" % (i, statement(rng, "L%02d" % rng.randrange(i + 1, count + 1))) for i in range(count)]
    text = rng.choice(["\n", "\n", " ; note\n", " /* note */ "]).join(lines + ["L%02d: ret #1" % count]) + "\n"
    return text.upper() if rng.random() < 0.1 else text


def main():
    weir = str(pathlib.Path(sys.argv[1]).resolve())
    if shutil.which("bpfc") is None:
        print("skipped: there is no bpfc")
        return 77

    def run(command, text):
        return subprocess.run(command, input=text, text=True, capture_output=True)

    rng, wrong, count = random.Random(7), 0, 150
    for _ in range(count):
        text = program(rng)
        ours = run([weir, "asm"], text)
        for form in ["xt_bpf", "tcpdump", "C"]:
            theirs = run(["bpfc", "-b", "-f", form, "-i", "-"], text)
            read = run([weir, "disasm", "--to", "bytecode"], theirs.stdout)
            if theirs.returncode != 0 or ours.returncode != 0 or read.stdout != ours.stdout:
                print(text, ours.stdout, ours.stderr, form, theirs.stdout, theirs.stderr, read.stdout, read.stderr, sep="\n")
                wrong += 1
                break
    print(count, "programs,", wrong, "differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
