#!/usr/bin/env bash
# The check of cmake/layers.txt finds what it should find: includes that point upward, tables with a cycle.
#
# usage: run.sh PROJECT_FOLDER
set -euo pipefail
check=$1/cmake/check_layers.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{cmake,src/low,src/high,include/weir/low}
printf 'low:\nhigh: low\n' >"$work/cmake/layers.txt"
printf '#include <weir/low/a.h>\n#include "high/b.h"\n' >"$work/src/high/a.cpp"
printf '#include <vector>\n' >"$work/src/low/a.cpp"
python3 "$check" "$work" || { echo "a clean tree was refused"; exit 1; }

printf '#include <vector>\n#  include <weir/high/b.h>\n' >"$work/include/weir/low/a.h"
out=$(python3 "$check" "$work" 2>&1) && { echo "an include that points upward was not found"; exit 1; }
grep -q "include/weir/low/a.h:2: 'low' may not include 'high'" <<<"$out" || { echo "unexpected: $out"; exit 1; }
printf '#include "high/b.h"\n' >"$work/src/low/a.cpp"
: >"$work/include/weir/low/a.h"
python3 "$check" "$work" >/dev/null 2>&1 && { echo "a quoted include that points upward was not found"; exit 1; }

: >"$work/src/low/a.cpp"
printf 'low: high\nhigh: low\n' >"$work/cmake/layers.txt"
python3 "$check" "$work" >/dev/null 2>&1 && { echo "a cycle in the table was not found"; exit 1; }
echo ok
