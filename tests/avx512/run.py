#!/usr/bin/env python3
"""Runs a test program on an emulated processor with AVX-512, for machines whose own has none.

usage: run.py TESTS [--shared FOLDER] [--rounds N] [--model NAME] [--timeout SECONDS] [--keep FOLDER] [-- ARGUMENT...]

Bochs (its model corei7_skylake_x) boots a Debian kernel from a CD image. The initial memory disk holds the test program,
the libraries that it is linked with, the cases that it reads, and one process that starts it (init.c). What the tests
print comes out of the serial port. Arguments are the test program's, WEIR_ROUNDS is --rounds.

Exit status: the test program's; 77 where Bochs, a boot loader or a kernel is not installed; 1 where the machine did not
come to an end, or had no AVX-512 after all, so that the tests would have tested nothing.

Packages: bochs bochsbios vgabios bochs-term isolinux syslinux-common xorriso linux-image-cloud-amd64. Of the last one only
the file is needed: WEIR_KERNEL may name one, and `apt-get download` fetches it where /boot has none.
"""
import argparse
import glob
import os
import pathlib
import pty
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tty

HERE = pathlib.Path(__file__).resolve().parent
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
VGA_BIOS = "/usr/share/vgabios/vgabios.bin"
BOOT = ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32")
CASES = ("data/pcap-filter/accept.tsv", "data/classic/kernel-verdicts.jsonl")
# One emulated instruction is a tick; this many are a second, for the clock and for waits of the kernel.
SPEED = 20_000_000
# Bochs says the wrong size for compacted states, and Linux then uses none: no AVX-512. The other words save time.
KERNEL_WORDS = ("console=ttyS0,115200 quiet loglevel=1 clearcpuid=xsavec,xsaves nopku nosmp nokaslr mitigations=off "
                f"apparmor=0 tsc=reliable tsc_early_khz={SPEED // 1000} lpj=100000 random.trust_cpu=on panic=1")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def kernel_file(cache):
    named = os.environ.get("WEIR_KERNEL")
    found = [named] if named else sorted(glob.glob("/boot/vmlinuz-*-amd64")) + sorted(glob.glob(f"{cache}/boot/vmlinuz-*"))
    if found:
        return found[-1]
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if not package:
        skip("no kernel: neither in /boot nor linux-image-cloud-amd64 among apt's packages")
    pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
    if subprocess.run(["apt-get", "download", package[1]], cwd=cache, capture_output=True).returncode != 0:
        skip(f"no kernel: apt-get download {package[1]} failed")
    for archive in glob.glob(f"{cache}/{package[1]}*.deb"):
        subprocess.run(f"dpkg-deb --fsys-tarfile '{archive}' | tar -x -C '{cache}' ./boot", shell=True, check=True)
    return sorted(glob.glob(f"{cache}/boot/vmlinuz-*"))[-1]


class MemoryDisk:
    """A cpio archive in the form that the kernel unpacks ("newc")."""

    def __init__(self):
        self.bytes = bytearray()
        self.names = set()

    def add(self, name, content=b"", mode=0o755 | stat.S_IFREG):
        name = name.lstrip("/")
        parent = str(pathlib.PurePosixPath(name).parent)
        if parent != "." and parent not in self.names:
            self.add(parent, mode=0o755 | stat.S_IFDIR)
        if name in self.names:
            return
        self.names.add(name)
        fields = [len(self.names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        self.bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.bytes += bytes(-len(self.bytes) % 4) + content
        self.bytes += bytes(-len(self.bytes) % 4)

    def finish(self):
        self.add("TRAILER!!!", mode=0)
        return bytes(self.bytes)


def libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def make_memory_disk(options, folder):
    init = folder / "init"
    subprocess.run(["cc", "-O1", "-static", str(HERE / "init.c"), "-o", str(init)], check=True)
    disk = MemoryDisk()
    for directory in ("dev", "proc", "tmp"):
        disk.add(directory, mode=0o755 | stat.S_IFDIR)
    disk.add("init", init.read_bytes())
    stripped = folder / "tests"
    subprocess.run(["strip", "-o", str(stripped), options.tests], check=True)
    disk.add("tests", stripped.read_bytes())
    for library in libraries(options.tests):
        disk.add(library, pathlib.Path(library).read_bytes())
    for case in CASES:
        path = pathlib.Path(options.shared) / case
        if path.exists():
            disk.add("shared/" + case, path.read_bytes())
    return disk.finish()


def make_image(options, folder):
    root = folder / "image"
    root.mkdir()
    for path in BOOT:
        shutil.copy(path, root)
    shutil.copy(kernel_file(options.cache), root / "vmlinuz")
    (root / "initrd").write_bytes(make_memory_disk(options, folder))
    words = f"{KERNEL_WORDS} WEIR_ROUNDS={options.rounds} WEIR_SHARED=/shared -- {' '.join(options.arguments)}"
    (root / "isolinux.cfg").write_text(f"DEFAULT linux\nPROMPT 0\nLABEL linux\n LINUX /vmlinuz\n INITRD /initrd\n APPEND {words}\n")
    image = folder / "boot.iso"
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", str(image), "-b", "isolinux.bin", "-c", "boot.cat",
                    "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(root)], check=True, capture_output=True)
    return image


def make_machine(options, folder, image):
    (folder / "commands").write_text("c\n")  # Debian's Bochs starts in its debugger
    (folder / "machine").write_text(f"""config_interface: textconfig
display_library: term
memory: guest=512, host=512
romimage: file={BIOS}
vgaromimage: file={VGA_BIOS}
cpu: model={options.model}, count=1, ips={SPEED}
clock: sync=none
boot: cdrom
ata0-master: type=cdrom, path={image}, status=inserted
com1: enabled=1, mode=file, dev={folder}/serial
sound: waveoutdrv=dummy, wavein=dummy, midioutdrv=dummy
log: {folder}/log
panic: action=fatal
error: action=ignore
info: action=ignore
""")


def drain(terminal):
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass


def drain_screen(machine):
    """Bochs writes its screen to a terminal of its own, and stops when nobody reads that."""
    while machine.poll() is None:
        for at in glob.glob(f"/proc/{machine.pid}/fd/*"):
            try:
                if os.readlink(at) != "/dev/ptmx":
                    continue
                number = re.search(r"tty-index:\s*(\d+)", pathlib.Path(at.replace("/fd/", "/fdinfo/")).read_text())
                terminal = os.open(f"/dev/pts/{number[1]}", os.O_RDONLY | os.O_NOCTTY)
                tty.setraw(terminal)
                return drain(terminal)
            except OSError:
                pass
        time.sleep(0.1)


def run_machine(options, folder):
    """Prints what comes out of the serial port, until the machine is off."""
    ours, theirs = pty.openpty()
    machine = subprocess.Popen(["bochs-bin", "-q", "-f", str(folder / "machine"), "-rc", str(folder / "commands")],
                               stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"},
                               start_new_session=True)
    os.close(theirs)
    threading.Thread(target=drain, args=(ours,), daemon=True).start()
    threading.Thread(target=drain_screen, args=(machine,), daemon=True).start()
    serial = folder / "serial"
    text = ""
    end = time.monotonic() + options.timeout
    try:
        while time.monotonic() < end:
            over = machine.poll() is not None
            now = serial.read_text(errors="replace").replace("\r", "") if serial.exists() else ""
            sys.stdout.write(now[len(text):])
            sys.stdout.flush()
            text = now
            if over:
                break
            time.sleep(0.5)
        else:
            print(f"run.py: {options.timeout} s are over")
    finally:
        if machine.poll() is None:
            machine.kill()
        machine.wait()
    return text


def main():
    arguments = sys.argv[1:]
    own, theirs = arguments, []
    if "--" in arguments:
        at = arguments.index("--")
        own, theirs = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("tests")
    parser.add_argument("--shared", default=os.environ.get("WEIR_SHARED", str(HERE.parents[2] / "shared")))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--model", default="corei7_skylake_x")
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("--cache", default=str(pathlib.Path.home() / ".cache/weir-kernel"))
    parser.add_argument("--keep", help="leave the machine's files here")
    options = parser.parse_args(own)
    options.arguments = theirs
    for needed in (BIOS, VGA_BIOS, *BOOT):
        if not os.path.exists(needed):
            skip(f"{needed} is not installed")
    for needed in ("bochs-bin", "xorriso", "cc", "strip"):
        if not shutil.which(needed):
            skip(f"{needed} is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make_machine(options, folder, make_image(options, folder))
        text = run_machine(options, folder)
    if "avx512f 1, avx512bw 1, avx512dq 1, avx512vl 1" not in text:
        print("run.py: the machine did not start, or has no AVX-512")
        return 1
    status = re.findall(r"^exit: (\d+)$", text, re.MULTILINE)
    if not status:
        print("run.py: the tests did not come to an end")
        return 1
    return int(status[-1])


sys.exit(main())
