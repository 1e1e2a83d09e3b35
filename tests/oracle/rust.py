#!/usr/bin/env python3
"""What weir writes as Rust is compiled, and gives the same instructions.

usage: rust.py WEIR     (needs rustc: Debian's package of that name)
Exit status: 0 all equal, 1 some differ, 77 there is no Rust.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

# The crate `libc`, as far as a program of filters needs it.
MAIN = """#![deny(warnings)]
#![allow(non_camel_case_types)]
mod libc {
    pub struct sock_filter { pub code: u16, pub jt: u8, pub jf: u8, pub k: u32 }
}

%s
fn main() {
    for i in PROGRAM.iter() {
        println!("{} {} {} {}", i.code, i.jt, i.jf, i.k);
    }
}
"""
EXPRESSIONS = ["ip", "tcp port 22", "host {10.0.0.1, 10.0.0.0/28, 192.168.1.1} and len > 100", "ip6 protochain 6", "1 = 1"]


def main():
    if shutil.which("rustc") is None:
        print("rustc is not installed")
        sys.exit(77)
    weir = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as place:
        for number, expression in enumerate(EXPRESSIONS):
            def form(name):
                return subprocess.run([weir, "compile", "--to", name, expression], capture_output=True, text=True,
                                      check=True).stdout
            source = pathlib.Path(place) / f"main{number}.rs"
            source.write_text(MAIN % form("rust"))
            subprocess.run(["rustc", "--edition", "2021", "-o", source.with_suffix(""), source], check=True)
            got = subprocess.run([source.with_suffix("")], capture_output=True, text=True, check=True).stdout.splitlines()
            wanted = form("decimal").splitlines()
            if wanted[1:] != got or int(wanted[0]) != len(wanted) - 1:
                sys.exit(f"{expression}: Rust gives\n{got}\nand weir\n{wanted}")
            print(f"{expression}: {wanted[0]} instructions agree")


main()
