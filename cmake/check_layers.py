#!/usr/bin/env python3
"""Checks that modules include only what cmake/layers.txt lets them include.

usage: check_layers.py [ROOT]      prints each violation with its place; exit status 1 when there is one
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"](?:weir/)?([a-z]+)/[^>"]+[>"]')


def read_layers(path):
    layers = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        module, _, allowed = line.partition(":")
        for name in allowed.split():
            if name not in layers:
                sys.exit(f"{path}: '{module.strip()}' may include '{name}', which stands below it or nowhere")
        layers[module.strip()] = set(allowed.split())
    return layers


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    layers = read_layers(root / "cmake" / "layers.txt")
    folders = [(module, folder) for module in layers if module != "tools"
               for folder in (root / "src" / module, root / "include" / "weir" / module)]
    folders.append(("tools", root / "tools"))
    violations = 0
    for module, folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix not in (".h", ".cpp", ".def"):
                continue
            # Tests may compare with modules above them.
            if file.name.endswith("_test.cpp"):
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                found = INCLUDE.match(line)
                name = found.group(1) if found else None
                if name in layers and name != module and name not in layers[module]:
                    print(f"{file.relative_to(root)}:{number}: '{module}' may not include '{name}'")
                    violations += 1
    if violations:
        sys.exit(f"{violations} violation(s) of cmake/layers.txt")


main()
