#!/usr/bin/env python3
"""Go's golang.org/x/net/bpf beside weir: what weir writes as Go is compiled and gives the same bytes, and the text of
every instruction that Go does not get wrong is Go's.

usage: xnet.py WEIR     (needs go and x/net's sources in /usr/share/gocode: Debian's golang-go, golang-golang-x-net-dev)
Exit status: 0 all equal, 1 some differ, 77 there is no Go.
"""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

GOPATH = "/usr/share/gocode"
# The opcodes of Linux.
CODES = [0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24,
         0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25,
         0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07, 0x87]

MAIN = """package main

import (
	"fmt"
	"golang.org/x/net/bpf"
)

%s
func main() {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic(err)
	}
	for _, r := range raw {
		i := r.Disassemble()
		again, err := i.Assemble()
		same := err == nil && again == r
		fmt.Printf("%%d %%d %%d %%d|%%t|%%v\\n", r.Op, r.Jt, r.Jf, r.K, same, i)
	}
}
"""


def random_program(rng, count):
    rows = []
    for _ in range(count):
        code = rng.choice(CODES) if rng.random() < 0.95 else rng.randrange(0x10000)
        jt, jf = (rng.randrange(6), rng.randrange(6)) if code & 7 == 5 and code != 5 or rng.random() < 0.1 else (0, 0)
        k = rng.choice([0, 1, 3, 15, 42, 0x806, 0x80000000, 0xffffffff, 0xfffff000 + rng.randrange(64), rng.randrange(1 << 32)])
        if code in (0x60, 0x61, 0x02, 0x03):
            k = rng.randrange(16)
        if code == 0x05:
            k = rng.randrange(8)
        if code in (0x80, 0x81, 0x0c, 0x84, 0x07, 0x87, 0x16) or (code & 0x0f) in (0x0c, 0x0d):
            k = 0
        rows.append((code, jt, jf, k))
    return rows + [(6, 0, 0, 0)] * 10


def main():
    weir = str(pathlib.Path(sys.argv[1]).resolve())
    if shutil.which("go") is None or not os.path.isdir(GOPATH + "/src/golang.org/x/net/bpf"):
        print("skipped: no go, or no golang.org/x/net in", GOPATH)
        return 77
    rows = random_program(random.Random(1), 1200)
    line = "%d,%s" % (len(rows), ",".join("%d %d %d %d" % row for row in rows))

    def disasm(form):
        return subprocess.run([weir, "disasm", "--to", form], input=line, text=True, capture_output=True, check=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "main.go")
        source.write_text(MAIN % disasm("go"))
        environment = dict(os.environ, GO111MODULE="off", GOPATH=GOPATH, GOFLAGS="", GOCACHE=folder + "/cache")
        ran = subprocess.run(["go", "run", str(source)], env=environment, text=True, capture_output=True)
    if ran.returncode != 0:
        print(ran.stderr)
        return 1
    theirs = ran.stdout.splitlines()
    texts = disasm("xnet").splitlines()
    wrong, compared = 0, 0
    for row, their, text in zip(rows, theirs, texts):
        numbers, same, said = their.split("|", 2)
        if numbers != "%d %d %d %d" % row:
            print("bytes differ:", row, "Go assembles", numbers)
            wrong += 1
        # Go's text is comparable where Go itself loses nothing and weir has not said it raw; numbers beyond the
        # signed range Go prints as its own type does.
        if same == "true" and not text.startswith(".raw") and not said.startswith(("{", "unknown")):
            compared += 1
            if text != said:
                print("text differs:", row, "Go:", said, "weir:", text)
                wrong += 1
    print(len(rows), "instructions,", compared, "texts compared,", wrong, "differ")
    return 1 if wrong or len(theirs) != len(rows) or compared < 500 else 0


if __name__ == "__main__":
    sys.exit(main())
