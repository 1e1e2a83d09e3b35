"""What the scripts of this folder share: a network namespace of their own with a veth pair, frames, a running capture.

usage of each: SCRIPT WEIR [PATTERN...]    only the cases that match a pattern; '!PATTERN': those that do not
exit status 77 when this machine cannot make namespaces: the test is skipped

A script starts itself again in a new network namespace, so nothing outside sees its packets. Each of its functions
test_NAME is a case, which may return a remark. Traffic is a few hundred thousand packets at most.
"""
import fnmatch
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ETHERNET = b"\xff" * 6 + b"\x02" * 6
WEIR = os.path.abspath(sys.argv[1])
SCRIPT = os.path.abspath(sys.argv[0])


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def udp_frame(number, port=53, vlan=None, size=64, source="10.99.0.1", destination="10.99.0.2"):
    body = struct.pack("!I", number).ljust(size - 42, b"x")
    udp = struct.pack("!HHHH", 1000, port, 8 + len(body), 0) + body
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source),
                     socket.inet_aton(destination))
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    return ETHERNET + tag + b"\x08\x00" + ip + udp


def send(frames, interface="v0"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        for frame in frames:
            out.send(frame)


def pcap_of(path, frames, gap=1000):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for i, frame in enumerate(frames):
            when = i * gap
            out.write(struct.pack("<IIII", when // 1000000, when % 1000000, len(frame), len(frame)) + frame)


class Capture:
    """weir capture in the background, ready when the kernel lists its packet socket with a running hook."""

    def __init__(self, *arguments, interface="v1", without=None, prefix=(), stdout=subprocess.PIPE):
        """`interface`: None where the arguments name it. `without`: capabilities that it does not get. `prefix`: what
        stands before the command."""
        before = self.sockets()
        lowered = "" if without is None else ",".join("-" + name for name in without.split(","))
        prefix = ["setpriv", "--bounding-set", lowered, "--inh-caps", lowered, "--"] if lowered else prefix
        named = [] if interface is None else ["-i", interface]
        self.process = subprocess.Popen([*prefix, WEIR, "capture", *named, *map(str, arguments)],
                                        stdout=stdout, stderr=subprocess.PIPE, text=True)
        for _ in range(1000):
            there = "--af-xdp" in arguments or len(self.sockets() - before) > 0
            if self.process.poll() is not None or there and self.started():
                break
            time.sleep(0.01)

    @staticmethod
    def sockets():
        lines = pathlib.Path("/proc/net/packet").read_text().splitlines()[1:]
        return {line.split()[-1] for line in lines if line.split()[3] != "0000"}

    def started(self):
        # Privileges are given up right before packets are let in.
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        if "--keep-privileges" in self.process.args:
            time.sleep(0.3)
            return True
        if "NoNewPrivs:\t1" not in status:
            return False
        time.sleep(0.05)
        return True

    def end(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def count_of(path, *expression):
    run = subprocess.run(["tcpdump", "-nr", str(path), "--count", *expression], capture_output=True, text=True)
    return int(run.stdout.split()[0])


def summary(text):
    return json.loads(text.strip().splitlines()[-1])


def check(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r}, not {wanted!r}")


def scattered_hosts(count):
    """Addresses without order, of which no two are neighbours."""
    return [socket.inet_ntoa(struct.pack("!I", (i * 2654435761 + 16777217) % (223 << 24) | 1)) for i in range(1, count + 1)]


def flooding(interface, seconds):
    """A process that sends 100 packets a millisecond, and ends by itself."""
    return subprocess.Popen([sys.executable, SCRIPT, "--flood", interface, str(seconds)])


def flood(interface, seconds):
    end = time.monotonic() + seconds
    frame = udp_frame(1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        while time.monotonic() < end:
            for _ in range(100):
                out.send(frame)
            time.sleep(0.001)


def chosen(name, pattern):
    return not fnmatch.fnmatch(name, pattern[1:]) if pattern.startswith("!") else fnmatch.fnmatch(name, pattern)


def run_cases(cases, names):
    failed = 0
    for name, case in sorted(cases.items()):
        if not name.startswith("test_") or not all(chosen(name[5:], pattern) for pattern in names):
            continue
        start = time.monotonic()
        try:
            said = case()
            print(f"ok   {name[5:]} ({time.monotonic() - start:.1f} s){': ' + said if said else ''}", flush=True)
        except Exception as error:  # every case is run, whatever one does
            failed += 1
            print(f"FAIL {name[5:]}: {error!r}", flush=True)
    return 1 if failed else 0


def run(cases):
    if sys.argv[1] == "--flood":
        return flood(sys.argv[2], float(sys.argv[3]))
    if os.environ.get("WEIR_LIVE_NAMESPACE") != "1":
        for tool in ("unshare", "ip", "tcpdump", "setpriv"):
            if shutil.which(tool) is None:
                skip(f"there is no {tool}")
        if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
            skip("no permission to make a network namespace")
        return subprocess.run(["unshare", "--net", sys.executable, SCRIPT, WEIR, *sys.argv[2:]],
                              env={**os.environ, "WEIR_LIVE_NAMESPACE": "1"}).returncode
    made = subprocess.run("ip link add v0 type veth peer name v1 && sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
                          "ip link set lo up && ip link set v0 up && ip link set v1 up", shell=True)
    if made.returncode != 0:
        skip("this kernel has no veth")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        os.chdir(folder)
        return run_cases(cases, sys.argv[2:])


def main(cases):
    """Runs the functions test_NAME among `cases`, and ends the process."""
    sys.exit(run(cases))
