#!/usr/bin/env python3
"""The C++ blocks of a document as a program, and its output beside what the document shows.

usage: document.py make DOCUMENT OUT.cpp     writes the program
       document.py check DOCUMENT PROGRAM    runs it and compares

A block marked `cpp` is the body of a function; the next block marked `text` is what it prints. A block marked `c++` holds
what stands before all functions.
"""
import difflib
import pathlib
import re
import subprocess
import sys

MARK = "----- block %d\n"


def blocks(document):
    """(language, line number, text) of each fenced block."""
    text = pathlib.Path(document).read_text()
    for found in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.M | re.S):
        yield found.group(1), text.count("\n", 0, found.start()) + 2, found.group(2)


def make(document, out):
    before = "#include <cstdio>\n#include <iostream>\n#include <vector>\n#include <weir/base/render.h>\n"
    bodies = []
    for language, line, text in blocks(document):
        if language == "c++":
            before += text
        if language == "cpp":
            bodies.append('#line %d "%s"\n%s' % (line, document, text))
    functions = "".join("static void block_%d() {\n%s}\n" % (i, body) for i, body in enumerate(bodies))
    calls = "".join('  std::cout << "%s";\n  block_%d();\n' % ((MARK % i).replace("\n", "\\n"), i) for i in range(len(bodies)))
    pathlib.Path(out).write_text(before + functions + "int main() {\n" + calls + "}\n")


def check(document, program):
    printed = subprocess.run([program], text=True, capture_output=True, check=True).stdout
    expected, count = "", 0
    for language, _, text in blocks(document):
        if language == "cpp":
            expected += MARK % count
            count += 1
        if language == "text":
            expected += text
    if printed != expected:
        sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), printed.splitlines(True), "shown", "printed"))
        return 1
    print(count, "blocks print what is shown")
    return 0 if count > 0 else 1


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    else:
        sys.exit(check(sys.argv[2], sys.argv[3]))
