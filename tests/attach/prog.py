#!/usr/bin/env python3
"""`weir prog` and `weir map` on the running kernel: programs from expressions and from assembler text, loaded, pinned,
attached everywhere, with real packets, in namespaces of the test's own.

usage: prog.py WEIR       exit status 77 when this machine cannot: the test is skipped

What passes must be what `weir filter` counts in a capture of the same packets.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing appears beside the sources
import packets as made  # noqa: E402

EXPRESSIONS = ["udp port 53", "tcp dst port 80 and src net 10.99.0.0/25", "ip[8] > 32 and not tcp",
               "host 10.99.0.7 or host 10.99.0.9 or host 10.99.0.200", "greater 100"]
COUNTER = """.program {type} counter
.license "GPL"
.map counts, array, key 4, value 8, entries 1
r6 = r1
{guard}
*(u32 *)(r10 - 4) = 0
r1 = map[counts]
r2 = r10
r2 += -4
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
out: r0 = {result}
exit
"""
STORING = """.program cgroup_skb storing
.license "GPL"
.map stored, cgroup_storage, key 16, value 8, entries 0
r1 = map[stored]
r2 = 0
call bpf_get_local_storage
r0 = 1
exit
"""
UDP_4 = """.program {type} udp4
.license "GPL"
r0 = 0
r2 = *(u32 *)(r1 + 0)
if r2 != 36 goto out
r2 = *(u32 *)(r1 + 16)
r2 = be16 r2
if r2 != 0x800 goto out
r2 = *(u32 *)(r1 + 76)
r3 = *(u32 *)(r1 + 80)
r4 = r2
r4 += 20
if r4 > r3 goto out
r5 = *(u8 *)(r2 + 0)
if r5 != 0x45 goto out
r5 = *(u8 *)(r2 + 9)
if r5 != 17 goto out
r0 = 1
out: exit
"""
TWO_PROGRAMS = """struct { int (*type)[1]; int (*max_entries)[1]; int *key; long *value; } counts
  __attribute__((section(".maps"), used));
static void *(*lookup)(void *, const void *) = (void *)1;
__attribute__((section("xdp"), used)) int good(void *context) { int key = 0; return lookup(&counts, &key) ? 2 : 1; }
__attribute__((section("xdp.bad"), used)) int bad(void *context) { return 2; }
char terms[] __attribute__((section("license"), used)) = "GPL";
"""
OPTIONAL_PROGRAM = """int target(void *context);
struct { int (*type)[3]; int (*max_entries)[1]; int (*key_size)[4]; int (*values[])(void *); } jumps
  __attribute__((section(".maps"), used)) = { .values = { target } };
static long (*tail)(void *, void *, unsigned) = (void *)12;
__attribute__((section("xdp"), used)) int target(void *context) { return 2; }
__attribute__((section("?xdp"), used)) int optional(void *context) { tail(context, &jumps, 0); return 1; }
char terms[] __attribute__((section("license"), used)) = "GPL";
"""
PINS = "/sys/fs/bpf"


class Test:
    def __init__(self, weir, packets):
        self.weir = weir
        self.packets = packets

    def run(self, *arguments, status=0, text=None):
        done = subprocess.run([self.weir, *arguments], capture_output=True, text=True, input=text)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *arguments, status=3):
        """What it says on standard error."""
        done = subprocess.run([self.weir, *arguments], capture_output=True, text=True)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr

    def json(self, *arguments, **more):
        return json.loads(self.run(*arguments, "--json", **more))

    def expected(self, expression, capture="ethernet.pcap"):
        done = subprocess.run([self.weir, "filter", "--count", "-q", expression, capture], capture_output=True, text=True)
        return int(done.stdout)

    def object(self, expression, kind):
        path = f"{kind}.o"
        done = subprocess.run([self.weir, "compile", "--to", "ebpf-elf", "--for", kind, expression], capture_output=True)
        assert done.returncode == 0, done.stderr
        pathlib.Path(path).write_bytes(done.stdout)
        return path

    def counter(self, kind, result, guard=""):
        """A counting program from text, loaded and pinned with its map: the paths of both."""
        self.run("prog", "load", "-", f"{PINS}/counter", "--pin-maps", f"{PINS}/maps",
                 text=COUNTER.format(type=kind, result=result, guard=guard))
        return f"{PINS}/counter", f"{PINS}/maps/counts"

    def count(self, path):
        value = self.json("map", "lookup", path, "0")["value"]
        return int.from_bytes(bytes.fromhex(value), sys.byteorder)

    def forget(self, *paths):
        for path in paths:
            os.unlink(path)

    def arriving(self, filter_pin=None):
        """How many of the packets sent on v0 a socket on v1 gets."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as tap:
            tap.bind(("v1", 3))
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            if filter_pin:
                attach_pinned(tap, filter_pin)
            made.send(self.packets)
            tap.setblocking(False)
            count = 0
            try:
                while True:
                    _, address = tap.recvfrom(65536)
                    count += address[2] != socket.PACKET_OUTGOING
            except BlockingIOError:
                return count


def attach_pinned(tap, path):
    """SO_ATTACH_BPF with the program of this pin."""
    name = ctypes.create_string_buffer(path.encode())
    attributes = ctypes.create_string_buffer(struct.pack("QII", ctypes.addressof(name), 0, 0), 16)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(321, 7, attributes, 16)  # x86-64: bpf(BPF_OBJ_GET)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    tap.setsockopt(socket.SOL_SOCKET, 50, descriptor)  # SO_ATTACH_BPF
    os.close(descriptor)


def expressions_as_xdp(test):
    for expression in EXPRESSIONS:
        for place in ("xdp", "xdp_generic"):
            test.run("prog", "attach", test.object(expression, "xdp"), place, "v1")
            got, wanted = test.arriving(), test.expected(expression)
            assert got == wanted and wanted > 0, f"{place} {expression}: {got} packets, not {wanted}"
            there = int(subprocess.run(["ip", "-j", "link", "show", "v1"], capture_output=True, text=True)
                        .stdout.split('"prog":{"id":')[1].split(",")[0])
            test.run("prog", "detach", str(there), place, "v1")
    assert test.arriving() == len(test.packets)


def expressions_as_sockets(test):
    for expression in EXPRESSIONS:
        for loader in ("weir", "libbpf"):
            test.run("prog", "load", test.object(expression, "socket"), f"{PINS}/socket", "--loader", loader)
            got, wanted = test.arriving(f"{PINS}/socket"), test.expected(expression)
            assert got == wanted, f"socket {expression}: {got} packets, not {wanted}"
            test.forget(f"{PINS}/socket")


def expressions_as_tc_classes(test):
    """Packets that match go to the class of the filter, whoever loads the object: weir, or tc with libbpf."""
    for expression in EXPRESSIONS:
        for loader in ("weir", "tc"):
            subprocess.run(["tc", "qdisc", "add", "dev", "v0", "root", "handle", "1:", "htb"], check=True)
            subprocess.run(["tc", "class", "add", "dev", "v0", "parent", "1:", "classid", "1:1", "htb", "rate", "10gbit"],
                           check=True)
            source = ["obj", test.object(expression, "classifier"), "sec", "tc"]
            if loader == "weir":
                test.run("prog", "load", "classifier.o", f"{PINS}/classifier")
                source = ["object-pinned", f"{PINS}/classifier"]
            subprocess.run(["tc", "filter", "add", "dev", "v0", "parent", "1:", "prio", "1", "bpf", *source, "classid", "1:1"],
                           check=True)
            made.send(test.packets)
            text = subprocess.run(["tc", "-s", "class", "show", "dev", "v0"], capture_output=True, text=True).stdout
            got, wanted = int(re.search(r"(\d+) pkt", text).group(1)), test.expected(expression)
            assert got == wanted, f"tc ({loader}) {expression}: {got} packets, not {wanted}"
            subprocess.run(["tc", "qdisc", "del", "dev", "v0", "root"], check=True)
            if loader == "weir":
                test.forget(f"{PINS}/classifier")


def modes_of_xdp(test):
    """xdp takes a program off in whichever mode it runs, a mode's own name there alone."""
    program, counts = test.counter("xdp", 2)
    attached = {"xdp_generic": "xdp_generic", "xdp": "xdp_driver"}
    for place, shown in attached.items():
        for off in ("xdp", shown):
            test.run("prog", "attach", program, place, "v1")
            places = [one["kind"] for one in test.json("prog", "show", program)["attached"]]
            if places != [shown] and place == "xdp":
                test.run("prog", "detach", program, "xdp", "v1")
                test.forget(program, counts)
                return "skipped: this veth runs no XDP"
            assert places == [shown], places
            other = next(mode for mode in ("xdp_driver", "xdp_generic") if mode != shown)
            said = test.refused("prog", "detach", program, other, "v1")
            assert f"the program is not at {other} v1" in said, said
            test.run("prog", "detach", program, off, "v1")
            assert test.json("prog", "show", program)["attached"] == [], (place, off)
            assert "no program is at 'v1'" in test.refused("prog", "detach", program, off, "v1")
    test.forget(program, counts)
    return "ok"


def filters_of_others(test):
    """What tc attached, for one protocol or in another chain, is taken off too."""
    program, counts = test.counter("sched_cls", 0)
    subprocess.run(["tc", "qdisc", "add", "dev", "v0", "clsact"], check=True)
    for more in ("protocol ip prio 5", "protocol all prio 5 chain 3", "protocol 0x1234 prio 7 chain 9", "prio 1"):
        subprocess.run(f"tc filter add dev v0 ingress {more} bpf da object-pinned {program}", shell=True, check=True)
        test.run("prog", "detach", program, "tc_ingress", "v0")
        assert test.json("prog", "show", program)["attached"] == [], more
    for more in ("prio 1", "prio 5 chain 3", "prio 5", "prio 7"):
        subprocess.run(f"tc filter add dev v0 ingress {more} bpf da object-pinned {program}", shell=True, check=True)
    said = test.refused("prog", "detach", program, "tc_ingress", "v0", status=2)
    assert "at priority 1 and 5 and 7" in said and "--priority" in said, said
    test.run("prog", "detach", program, "tc_ingress", "v0", "--priority", "5")
    assert [one["priority"] for one in test.json("prog", "show", program)["attached"]] == [1, 7]
    test.run("prog", "detach", program, "tc_ingress", "v0", "--priority", "1")
    test.run("prog", "detach", program, "tc_ingress", "v0")
    assert test.json("prog", "show", program)["attached"] == []
    subprocess.run(["tc", "qdisc", "del", "dev", "v0", "clsact"], check=True)
    test.forget(program, counts)


def links_elsewhere(test):
    """An interface's number means another one in another network namespace."""
    program, counts = test.counter("xdp", 2)
    other = subprocess.Popen(["unshare", "--net", "sh", "-c",
                              f"ip link add w0 index 3 type veth peer name w1 && "
                              f"{test.weir} prog attach {program} xdp w0 --pin {PINS}/link && "
                              f"{test.weir} prog show {program} && read end"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    shown = ""
    while "link " not in shown:
        shown = other.stdout.readline()
        assert shown != "", other.wait()
    assert shown.endswith("xdp w0\n"), shown
    identity = test.json("prog", "show", program)["id"]
    link, = [link for link in test.json("prog", "links")["links"] if link["program"] == identity]
    assert (link["interface_index"], link["in_this_network"]) == (3, False), link
    assert "xdp interface 3 of another network namespace\n" in test.run("prog", "show", program)
    other.communicate("end\n")
    for _ in range(100):
        shown = test.run("prog", "show", program)
        if "xdp an interface that is gone\n" in shown:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(shown)
    test.forget(f"{PINS}/link", program, counts)


def drops_on_the_way_out(test):
    everything = len(test.packets)
    for place in ("tcx_egress", "tc_egress"):
        program, counts = test.counter("sched_cls", 2)  # TC_ACT_SHOT
        test.run("prog", "attach", program, place, "v0")
        assert test.arriving() == 0 and test.count(counts) == everything, place
        test.run("prog", "detach", program, place, "v0")
        assert test.arriving() == everything and test.count(counts) == everything, place
        test.run("prog", "detach", program, place, "v0", status=3)
        test.forget(program, counts)


def pinned_links(test):
    everything = len(test.packets)
    program, counts = test.counter("xdp", 1)  # XDP_DROP
    test.run("prog", "attach", program, "xdp", "v1", "--pin", f"{PINS}/link")
    assert test.arriving() == 0 and test.count(counts) == everything
    identity = test.json("prog", "show", program)["id"]
    links = [link for link in test.json("prog", "links")["links"] if link["program"] == identity]
    assert len(links) == 1 and links[0]["type"] == "xdp" and links[0]["pins"] == [f"{PINS}/link"], links
    test.run("prog", "attach", program, "xdp", "v1", status=3)
    test.forget(f"{PINS}/link")
    time.sleep(0.5)
    assert test.arriving() == everything
    test.forget(program, counts)


def control_groups(test):
    folder = "/sys/fs/cgroup"
    if subprocess.run(["mount", "-t", "cgroup2", "none", folder], capture_output=True).returncode != 0:
        return "skipped: no control groups"
    group = f"{folder}/weir_test_{os.getpid()}"
    os.mkdir(group)
    program, counts = test.counter("cgroup_skb", 0)
    send = (f"import os,socket; open('{group}/cgroup.procs','w').write('0'); s=socket.socket(2,2); n=0\n"
            "for i in range(5):\n  try: s.sendto(b'x',('127.0.0.1',9)); n+=1\n  except PermissionError: pass\nprint(n)")

    def sent():
        return int(subprocess.run([sys.executable, "-c", send], capture_output=True, text=True).stdout)

    try:
        assert sent() == 5
        test.run("prog", "attach", program, "cgroup_inet_egress", group)
        assert sent() == 0 and test.count(counts) == 5
        os.mkdir(f"{group}/below")
        said = test.refused("prog", "attach", program, "cgroup_inet_egress", f"{group}/below")
        assert "allows no other beside it; --multi" in said and "::" not in said, said
        os.rmdir(f"{group}/below")
        test.run("prog", "detach", program, "cgroup_inet_egress", group)
        assert sent() == 5
        stored_by_group(test, group)
        test.run("prog", "attach", program, "cgroup_inet_egress", group, "--pin", f"{PINS}/link")
        assert sent() == 0 and test.count(counts) == 10
        test.forget(f"{PINS}/link", program, counts)
    finally:
        os.rmdir(group)
        subprocess.run(["umount", folder])
    return "ok"


def stored_by_group(test, group):
    """A map with an entry for each control group, however many those are."""
    test.run("prog", "load", "-", f"{PINS}/storing", "--pin-maps", f"{PINS}/maps", text=STORING)
    below = [f"{group}/{i}" for i in range(3)]
    try:
        for folder in below:
            os.mkdir(folder)
            test.run("prog", "attach", f"{PINS}/storing", "cgroup_inet_egress", folder)
        assert len(test.json("map", "dump", f"{PINS}/maps/stored")["entries"]) == len(below)
    finally:
        for folder in filter(os.path.isdir, below):
            os.rmdir(folder)
    test.forget(f"{PINS}/storing", f"{PINS}/maps/stored")


def objects_of_several_programs(test):
    """Of an object that libbpf loads, the program that is asked for is loaded alone; --log and --verbose show its log."""
    compiled = subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", "two.o"],
                              input=TWO_PROGRAMS, text=True) if shutil.which("clang") else None
    if compiled is None or compiled.returncode != 0:
        return "skipped: no clang that compiles for BPF"
    if "libbpf is not installed" in test.refused("prog", "load", "two.o", "--all", "--loader", "libbpf"):
        return "skipped: no libbpf"
    loaded = test.json("prog", "load", "two.o", "--log")
    assert [(one["name"], one["loader"]) for one in loaded["programs"]] == [("good", "libbpf")], loaded
    assert "processed " in loaded["log"] and "\n0: (" not in loaded["log"], loaded
    assert "\n0: (" in test.json("prog", "load", "two.o", "--verbose")["log"]
    test.refused("prog", "load", "two.o", "-p", "bad")
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", "optional.o"],
                   input=OPTIONAL_PROGRAM, text=True, check=True)
    for loader in ("auto", "libbpf", "weir"):
        loaded = test.json("prog", "load", "optional.o", "-p", "optional", "--loader", loader)
        assert [one["name"] for one in loaded["programs"]] == ["optional"], loaded
    for program in ("optional", "target"):
        assert test.run("run", "--engine", "kernel", "-p", program, "--mem-hex", "00" * 60, "optional.o") == "0x2 (pass)\n"
    test.run("prog", "run", "two.o", "--mem-hex", "00" * 60)


def tracepoints(test):
    if subprocess.run(["mount", "-t", "tracefs", "none", "/sys/kernel/tracing"], capture_output=True).returncode != 0:
        return "skipped: no tracefs"
    us = f"call bpf_get_current_pid_tgid\nr0 >>= 32\nif r0 != {os.getpid()} goto out"
    for kind, name, guard in (("tracepoint", "syscalls:sys_enter_getppid", us),
                              ("raw_tracepoint", "sys_enter", us + "\nr1 = *(u64 *)(r6 + 8)\nif r1 != 110 goto out")):
        program, counts = test.counter(kind, 0, guard)
        test.run("prog", "attach", program, kind, name, status=2)  # it would go at once
        test.run("prog", "attach", program, kind, name, "--pin", f"{PINS}/link")
        for _ in range(9):
            os.getppid()
        assert test.count(counts) == 9, (kind, test.count(counts))
        test.forget(f"{PINS}/link", program, counts)
    return "ok"


def places(test):
    """Where programs are without a link, and that links are not told twice."""
    program, counts = test.counter("sched_cls", 0)
    identity = test.json("prog", "show", program)["id"]
    test.run("prog", "attach", program, "tcx_ingress", "v1")
    test.run("prog", "attach", program, "tc_egress", "v1", "--priority", "9")
    test.run("prog", "attach", program, "tcx_egress", "v1", "--pin", f"{PINS}/link")
    index = socket.if_nametoindex("v1")
    wanted = [{"kind": "tc_egress", "interface_index": index, "priority": 9, "handle": 1, "direct_action": True},
              {"kind": "tcx_ingress", "interface_index": index}]
    assert test.json("prog", "show", program)["attached"] == wanted
    mine = [one for one in test.json("prog", "list")["programs"] if one["id"] == identity]
    assert mine[0]["attached"] == wanted, mine
    assert [one for one in test.json("prog", "links")["attached"] if one["program"] == identity] == \
        [{**one, "program": identity} for one in wanted]
    assert "attached: tc_egress v1 priority 9 handle 1\n" in test.run("prog", "show", program)
    assert "tc_egress v1 priority 9 handle 1, tcx_ingress v1, tcx_egress v1" in test.run("prog", "list")
    assert re.search(rf"- +none +{identity} +tcx_ingress v1\n", test.run("prog", "links"))
    test.run("prog", "attach", program, "xdp", "v1", status=3)  # another type
    test.run("prog", "attach", program, "xdp", "v2", status=3)
    test.run("prog", "attach", program, "xpd", "v1", status=2)
    other = f"{PINS}/other"  # may not take the filter of the first
    test.run("prog", "load", test.object("udp", "tc"), other)
    test.run("prog", "detach", other, "tc_egress", "v1", status=3)
    test.run("prog", "detach", other, "tc_egress", "v1", "--priority", "9", status=3)
    test.run("prog", "detach", program, "tc_egress", "v1", "--priority", "8", status=3)
    assert test.json("prog", "show", program)["attached"] == wanted
    test.forget(other)
    test.run("prog", "detach", program, "tc_egress", "v1")  # the only one, whatever its priority
    test.run("prog", "detach", program, "tcx_ingress", "v1")
    assert test.json("prog", "show", program)["attached"] == []
    test.forget(f"{PINS}/link", program, counts)


def idle_options(test):
    """What a place has no use for is refused, and detach takes no file."""
    program = f"{PINS}/program"
    text = ".program xdp idle_options\nr0 = 2\nexit\n"
    test.run("prog", "load", "-", program, text=text)
    test.run("prog", "attach", program, "xdp", "v1")
    assert "; --replace takes the place" in test.refused("prog", "attach", program, "xdp", "v1")
    assert "a link does not take" in test.refused("prog", "attach", program, "xdp", "v1", "--pin", f"{PINS}/link",
                                                  "--replace", status=2)
    for option in (("--multi",), ("--priority", "2")):
        assert f"{option[0]} means nothing at xdp" in test.refused("prog", "attach", program, "xdp", "v1", *option, status=2)
    assert "--replace means nothing" in test.refused("prog", "attach", program, "tcx_ingress", "v1", "--replace", status=2)
    subprocess.run("ip link add w0 type veth peer name w1", shell=True, check=True)
    assert "takes sched_cls" in test.refused("prog", "attach", program, "tc_ingress", "w0")
    assert "clsact" not in subprocess.run("tc qdisc show dev w0; ip link del w0", shell=True, capture_output=True, text=True).stdout
    subprocess.run("ip link add w0 type veth peer name w1; tc qdisc add dev w0 ingress", shell=True, check=True)
    assert "which has no egress" in test.refused("prog", "attach", program, "tc_egress", "w0")
    subprocess.run("ip link del w0", shell=True, check=True)
    for option in (("--program", "p"), ("--type", "xdp")):
        for verb in (("attach", program, "xdp", "v1"), ("run", program, "--mem-hex", "00" * 60)):
            assert f"{option[0]} means nothing with a loaded" in test.refused("prog", *verb, *option, status=2), verb
    pathlib.Path("idle_options").write_text(text)
    test.run("prog", "detach", "idle_options", "xdp", "v1")
    assert test.json("prog", "show", program)["attached"] == []
    # In the working folder a pin is found by its name.
    done = subprocess.run([test.weir, "prog", "run", "program", "--mem-hex", "00" * 60], cwd=PINS, capture_output=True, text=True)
    assert done.stdout == "0x2 (pass)\n", done
    test.forget(program)


def entries(test):
    """What the exit status of weir map says."""
    for kind, more in (("hash", []), ("bloom_filter", ["-v", "4"])):
        test.run("map", "create", "-t", kind, "-e", "10", f"{PINS}/{kind}", *more)
    test.run("map", "update", f"{PINS}/hash", "1", "2", "--existing", status=1)
    test.run("map", "update", f"{PINS}/hash", "1", "2", "--new")
    test.run("map", "update", f"{PINS}/hash", "1", "3", "--new", status=1)
    test.run("map", "lookup", f"{PINS}/hash", "2", status=1)
    test.run("map", "push", f"{PINS}/bloom_filter", "5")
    assert test.json("map", "lookup", f"{PINS}/bloom_filter", "5") == {"version": 1, "value": "05 00 00 00", "maybe": True}
    test.run("map", "lookup", f"{PINS}/bloom_filter", "6", status=1)
    test.run("map", "create", "-t", "array", "-k", "8", f"{PINS}/array", status=3)
    for kind in ("xskmap", "prog_array", "queue"):
        test.run("map", "create", "-t", kind, "-e", "4", f"{PINS}/{kind}", *(["-v", "4"] if kind == "queue" else []))
    test.run("prog", "load", test.object(EXPRESSIONS[0], "xdp"), f"{PINS}/slot")
    assert "the index is not below 4" in test.refused("map", "update", f"{PINS}/prog_array", "9", f"{PINS}/slot")
    assert "the index is not below 4" in test.refused("map", "update", f"{PINS}/xskmap", "9", "3")
    assert "the map is empty" in test.refused("map", "lookup", f"{PINS}/queue", status=1)
    test.forget(*(f"{PINS}/{name}" for name in ("xskmap", "prog_array", "queue", "slot")))
    test.forget(f"{PINS}/hash", f"{PINS}/bloom_filter")


def test_runs(test):
    """The kernel's test run over a capture says what weir filter says, from files, pins and ids."""
    for expression in EXPRESSIONS:
        runs = test.json("prog", "run", test.object(expression, "xdp"), "--pcap", "ethernet.pcap")["runs"]
        assert sum(run["result"] == 2 for run in runs) == test.expected(expression), expression
        runs = test.json("prog", "run", test.object(expression, "socket"), "--pcap", "ethernet.pcap")["runs"]
        assert sum(run["result"] != 0 for run in runs) == test.expected(expression), expression
        assert not any(run["changed"] for run in runs), expression
    program, counts = test.counter("xdp", 2)
    identity = test.json("prog", "show", program)["id"]
    assert len(test.run("prog", "run", str(identity), "--pcap", "ethernet.pcap").splitlines()) == len(test.packets)
    assert test.count(counts) == len(test.packets)
    once = test.json("prog", "run", program, "--mem-hex", "00" * 60, "--repeat", "1000")["runs"][0]
    assert once["nanoseconds"] >= 0 and test.count(counts) == len(test.packets) + 1000
    made.write_pcap("runt.pcap", [test.packets[0], b"short", test.packets[1]], 1)
    rows = test.json("prog", "run", program, "--pcap", "runt.pcap", status=3)["runs"]
    assert [(row["packet"], row.get("result"), row.get("fault")) for row in rows] == [(1, 2, None), (2, None, "kernel"),
                                                                                      (3, 2, None)], rows
    test.run("prog", "run", program, "--pcap", "ethernet.pcap", "--mem-hex", "00" * 60, status=2)
    shown_from_the_network_header(test)
    machine = test.run("prog", "dump", program, "--jited")
    assert "ret" in machine, machine
    test.forget(program, counts)
    # What the kernel runs assembles again, to the same slots.
    test.run("prog", "load", test.object(EXPRESSIONS[0], "xdp"), f"{PINS}/program")
    for form in ("asm", "ubpf", "listing"):
        text = test.run("prog", "dump", f"{PINS}/program", "--form", form)
        assert test.run("asm", "-x", "-", text=text) == test.run("prog", "dump", f"{PINS}/program", "--form", "hex"), form
    test.forget(f"{PINS}/program")


def shown_from_the_network_header(test):
    """Control groups and routes: an IP packet with and without an Ethernet header is the same, whatever its source."""
    for kind in ("cgroup_skb", "lwt_in"):
        pathlib.Path("udp4").write_text(UDP_4.format(type=kind))
        test.run("prog", "load", "udp4", f"{PINS}/udp4")
        for source in ("0a630001", "08000001"):
            packet = f"450000240000000040110000{source}0a630002" + "03e80035001000000000000000000000"
            for frame in (packet, "ffffffffffff02020202020208 00" + packet, "4cffffffffff02020202020208 00" + packet):
                ran = test.json("prog", "run", f"{PINS}/udp4", "--mem-hex", frame, "--packets")["runs"]
                assert ran == [{"result": 1, "output": bytes.fromhex(frame).hex(" ")}], (kind, frame, ran)
                for engine in ("kernel",) if kind == "lwt_in" else ("kernel", "native", "interpreter"):
                    assert test.run("run", "--engine", engine, "--mem-hex", frame, "udp4") == "0x1\n", (kind, engine, frame)
        frame = "ffffffffffff020202020202 0806" + "00" * 46
        assert test.json("prog", "run", f"{PINS}/udp4", "--mem-hex", frame)["runs"][0]["result"] == 0
        test.forget(f"{PINS}/udp4")


def features(test):
    """What could not be asked is marked, and the reason told; in part, and with the words for it, below root's rights."""
    setpriv = ["setpriv", "--bounding-set", "-perfmon,-sys_admin", "--inh-caps", "-perfmon,-sys_admin", "--"]
    if shutil.which("setpriv") is None or subprocess.run([*setpriv, "true"], capture_output=True).returncode != 0:
        return "skipped: no setpriv"
    done = subprocess.run([*setpriv, test.weir, "prog", "features"], capture_output=True, text=True)
    assert done.returncode == 0 and re.search(r"\n  tracing +\?\n", done.stdout), done
    assert re.search(r"\n  array +yes\n", done.stdout), done
    assert "marked with '?' could not be asked" in done.stderr and "CAP_PERFMON" in done.stderr, done.stderr
    done = subprocess.run([*setpriv, test.weir, "prog", "features", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["program_types"]["tracing"] is None, done.stdout
    assert "marked with null could not be asked" in done.stderr and "CAP_PERFMON" in done.stderr, done.stderr


def main():
    weir = os.path.abspath(sys.argv[1])
    if os.environ.get("WEIR_LIVE_NAMESPACE") != "1":
        for tool in ("unshare", "ip", "tc"):
            if shutil.which(tool) is None:
                return made.skip(f"there is no {tool}")
        if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0:
            return made.skip("no permission to make a namespace")
        return subprocess.run(["unshare", "--net", "--mount", sys.executable, *sys.argv],
                              env={**os.environ, "WEIR_LIVE_NAMESPACE": "1"}).returncode
    if subprocess.run(["mount", "-t", "bpf", "bpf", PINS], capture_output=True).returncode != 0:
        return made.skip("no BPF file system")
    if subprocess.run("ip link add v0 type veth peer name v1 && sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
                      "ip link set lo up && ip link set v0 up && ip link set v1 up", shell=True).returncode != 0:
        return made.skip("this kernel has no veth")
    failed = 0
    test = Test(weir, made.frames(150))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        made.write_pcap("ethernet.pcap", test.packets, 1)
        for case in (test_runs, expressions_as_xdp, expressions_as_sockets, expressions_as_tc_classes, modes_of_xdp,
                     filters_of_others, links_elsewhere, drops_on_the_way_out, pinned_links, places,
                     idle_options, entries, control_groups, objects_of_several_programs, tracepoints, features):
            try:
                print(f"{case.__name__}: {case(test) or 'ok'}", flush=True)
            except Exception as error:  # every case is run, whatever one does
                failed = 1
                print(f"{case.__name__}: FAIL {error!r}", flush=True)
                for path in [*pathlib.Path(PINS).glob("*"), *pathlib.Path(PINS).glob("maps/*")]:
                    if path.is_file() and not path.name.endswith(".debug"):
                        path.unlink()
    return failed


sys.exit(main())
