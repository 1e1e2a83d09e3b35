#!/usr/bin/env bash
# Compiles a source twice: as it stands, which must succeed, and with MUST_FAIL, which must not.
#
# usage: run.sh CXX SOURCE INCLUDE_FOLDER
set -euo pipefail
compile=("$1" -std=c++20 -fsyntax-only -I"$3" "$2")
"${compile[@]}" || { echo "the control does not compile"; exit 1; }
if "${compile[@]}" -DMUST_FAIL 2>/dev/null; then
  echo "this must not compile"
  exit 1
fi
