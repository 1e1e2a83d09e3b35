#!/usr/bin/env bash
# Installs the built tree into an empty folder and builds programs against it: one by find_package and by pkg-config, and
# the example of the README. The folder is not the configured prefix, and is moved before pkg-config is asked.
#
# usage: run.sh BUILD_FOLDER CXX
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$1" --prefix "$work/tree" >/dev/null
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$2" -DCMAKE_PREFIX_PATH="$work/tree" \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS="${3:-}" >/dev/null
cmake --build "$work/build" >/dev/null
expected="262144 ret absent"
[[ $("$work/build/consumer") == "$expected" ]] || { echo "find_package: $("$work/build/consumer")"; exit 1; }

mv "$work/tree" "$work/moved"
export PKG_CONFIG_PATH; PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name weir.pc)")
[[ $(realpath "$(pkg-config --variable=prefix weir)") == "$work/moved" ]] || { echo "pkg-config: wrong prefix"; exit 1; }
"$2" -std=c++20 ${3:-} "$here/consumer.cpp" $(pkg-config --cflags --libs weir) -Wl,-rpath,"$(pkg-config --variable=libdir weir)" \
  -o "$work/by-pkg-config"
[[ $("$work/by-pkg-config") == "$expected" ]] || { echo "pkg-config: $("$work/by-pkg-config")"; exit 1; }

sed -n '/^```cpp$/,/^```$/p' "$here/../../README.md" | grep -v '^```' > "$work/example.cpp"
"$2" -std=c++20 ${3:-} "$work/example.cpp" $(pkg-config --cflags --libs weir) -Wl,-rpath,"$(pkg-config --variable=libdir weir)" \
  -o "$work/example"
[[ $("$work/example") == matches ]] || { echo "the README's example: wrong verdict"; exit 1; }

# Each verb has a page, and its help names one.
weir="$work/moved/bin/weir"
manuals=$(dirname "$(find "$work/moved" -name weir.1)")
verbs=$("$weir" help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p')
[[ $verbs == *filter*seccomp* ]] || { echo "weir help lists no verbs"; exit 1; }
for verb in $verbs; do
  named=$("$weir" help "$verb" | sed -n "s/^'man \\(.*\\)' tells more\\.$/\\1/p")
  for page in "$manuals/weir-$verb.1" "$manuals/$named.1"; do
    [[ -f $page ]] || { echo "$verb: no manual page $page"; exit 1; }
  done
  described=$(sed -n 's/^\.so man1\///p' "$manuals/weir-$verb.1")
  [[ ${described:-weir-$verb.1} == "$named.1" ]] || { echo "$verb: described in $described, --help names $named"; exit 1; }
done

"$weir" --version
