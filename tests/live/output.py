#!/usr/bin/env python3
"""Files and pipes that weir capture writes: lengths, times, interfaces, rotation, ends of every kind.

usage: output.py WEIR [PATTERN...]    see harness.py
"""
import json
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import time

import harness
from harness import WEIR, Capture, check, count_of, flooding, pcap_of, send, summary, udp_frame


def test_nothing_is_lost_at_a_signal():
    """Packets that came before the signal are in the file, for each signal that ends a capture."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        capture = Capture("-w", "out.pcapng", "--json", "udp port 53")
        send(udp_frame(i) for i in range(500))
        send(udp_frame(i, port=99) for i in range(50))
        status, out, err = capture.end(number)
        check(status, 0, err)
        told = summary(out)
        check((told["captured"], told["received"], told["dropped"]), (500, 500, 0), "summary")
        check(count_of("out.pcapng"), 500, "packets in the file")


def test_snap_length_and_wire_length():
    capture = Capture("-w", "out.pcap", "--format", "pcap", "-s", 60, "udp")
    frame = udp_frame(1, size=900)
    send([frame])
    capture.end()
    data = pathlib.Path("out.pcap").read_bytes()
    _, _, captured, wire = struct.unpack("<IIII", data[24:40])
    check((captured, wire, data[40:]), (60, 900, frame[:60]), "record")


def blocks_of(path):
    """(type, body) of each block of a pcapng file."""
    data, blocks = pathlib.Path(path).read_bytes(), []
    while data:
        kind, length = struct.unpack("<II", data[:8])
        check(struct.unpack("<I", data[length - 4:length])[0], length, "length behind a block")
        blocks.append((kind, data[8:length - 4]))
        data = data[length:]
    return blocks


def options_of(body):
    found = {}
    while len(body) >= 4:
        code, length = struct.unpack("<HH", body[:4])
        if code == 0:
            break
        found[code] = body[4:4 + length]
        body = body[4 + (length + 3) // 4 * 4:]
    return found


def test_times_are_in_nanoseconds_and_in_order():
    """Both formats say that they count nanoseconds; times lie between the sending and the end, and are not rounded."""
    for kind in ("pcapng", "pcap"):
        capture = Capture("-w", "time", "--format", kind, "udp")
        before = time.time_ns()
        send(udp_frame(i) for i in range(50))
        after = time.time_ns()
        capture.end()
        if kind == "pcap":
            data = pathlib.Path("time").read_bytes()
            check(struct.unpack("<I", data[:4])[0], 0xA1B23C4D, "magic number of nanoseconds")
            heads = [struct.unpack("<II", data[at:at + 8]) for at in range(24, len(data), 16 + 64)]
            times = [seconds * 10**9 + nanoseconds for seconds, nanoseconds in heads]
        else:
            blocks = blocks_of("time")
            check(options_of(blocks[1][1][8:])[9], b"\x09", "if_tsresol")
            check(options_of(blocks[1][1][8:])[2], b"v1", "if_name")
            times = [high << 32 | low for high, low in (struct.unpack("<II", body[4:12]) for code, body in blocks if code == 6)]
        check((len(times), times), (50, sorted(times)), kind)
        assert before - 10**6 <= times[0] and times[-1] <= after + 10**6, (before, times, after)
        assert any(when % 1000 for when in times), f"{kind}: whole microseconds"


def test_dropped_packets_are_counted():
    """A reader that stands still loses what finds no room in the ring, and tells of it, also in the file."""
    pcap_of("many.pcap", [udp_frame(i) for i in range(5000)])
    capture = Capture("-w", "dropped.pcapng", "--ring", "64K", "-s", "200", "--json", "udp")
    capture.process.send_signal(signal.SIGSTOP)
    subprocess.run([WEIR, "inject", "-i", "v0", "-t", "-q", "many.pcap"], check=True)
    capture.process.send_signal(signal.SIGCONT)
    status, out, err = capture.end()
    told = summary(out)
    assert told["dropped"] > 0 and told["captured"] > 0 and told["freezes"] > 0, told
    check((told["received"], told["captured"] + told["dropped"]), (5000, 5000), "sums")
    blocks = blocks_of("dropped.pcapng")
    check(sum(code == 6 for code, _ in blocks), told["captured"], "packets in the file")
    statistics = options_of(blocks[-1][1][12:])
    check((blocks[-1][0], struct.unpack("<Q", statistics[4])[0], struct.unpack("<Q", statistics[5])[0]),
          (5, 5000, told["dropped"]), "interface statistics block")


def test_large_and_small_packets_are_whole():
    """Small packets are copied, large ones go from the ring; both arrive as they were sent."""
    frames = [udp_frame(i, size=60 + (i * 37) % 1400) for i in range(2000)]
    capture = Capture("-w", "out.pcap", "--format", "pcap", "udp")
    send(frames)
    capture.end()
    data = pathlib.Path("out.pcap").read_bytes()[24:]
    for i, frame in enumerate(frames):
        length = struct.unpack("<I", data[8:12])[0]
        check(data[16:16 + length], frame, f"packet {i}")
        data = data[16 + length:]
    check(data, b"", "rest of the file")


def test_two_interfaces_in_one_file():
    capture = Capture("-i", "v0", "-w", "out.pcapng", "udp")
    send([udp_frame(i) for i in range(10)])
    capture.end()
    run = subprocess.run([WEIR, "info", "--json", "out.pcapng"], capture_output=True, text=True)
    check(sorted(one["name"] for one in json.loads(run.stdout)["interfaces"]), ["v0", "v1"], "interfaces")
    check(count_of("out.pcapng"), 20, "packets")


def test_rotation_by_size_keeps_whole_files():
    capture = Capture("-w", "r.pcapng", "--rotate-size", "16K", "--rotate-files", 3, "udp")
    send(udp_frame(i, size=200) for i in range(1000))
    capture.end()
    files = sorted(pathlib.Path(".").glob("r-*.pcapng"))
    check(len(files), 3, "files kept")
    for file in files:
        assert file.stat().st_size <= 16384, file
        assert count_of(file) > 0, file


def test_rotation_by_size_loses_nothing():
    capture = Capture("-w", "s.pcapng", "--rotate-size", "64K", "udp")
    send(udp_frame(i, size=100 + i % 1000) for i in range(1500))
    capture.end()
    files = sorted(pathlib.Path(".").glob("s-*.pcapng"))
    check(sum(count_of(file) for file in files), 1500, f"packets in {len(files)} files")


def test_rotation_leaves_no_file_empty():
    """Packets that are larger than a file have one each; small files are no larger than they may be."""
    subprocess.run(["ip", "link", "set", "v0", "mtu", "9000"], check=True)
    subprocess.run(["ip", "link", "set", "v1", "mtu", "9000"], check=True)
    capture = Capture("-w", "large.pcapng", "--rotate-size", "4K", "udp")
    send(udp_frame(i, size=6000) for i in range(5))
    capture.end()
    check([count_of(file) for file in sorted(pathlib.Path(".").glob("large-*.pcapng"))], [1] * 5, "packets")
    subprocess.run(["ip", "link", "set", "v1", "mtu", "1500"], check=True)
    subprocess.run(["ip", "link", "set", "v0", "mtu", "1500"], check=True)
    capture = Capture("-w", "small.pcapng", "--rotate-size", "4K", "udp")
    send(udp_frame(i, size=100 + i % 50) for i in range(1000))
    capture.end()
    files = sorted(pathlib.Path(".").glob("small-*.pcapng"))
    check([file.stat().st_size for file in files if file.stat().st_size > 4096], [], "too large")
    check(sum(count_of(file) for file in files), 1000, "packets")
    time.sleep(0.1)
    capture = Capture("-w", "late.pcapng", "--rotate-time", "100ms", "udp")
    time.sleep(0.3)
    send([udp_frame(1)])
    capture.end()
    check([count_of(file) for file in pathlib.Path(".").glob("late-*.pcapng")], [1], "packets")


def test_rotation_by_time():
    capture = Capture("-w", "t.pcapng", "--rotate-time", "100ms", "udp")
    for i in range(10):
        send([udp_frame(i)])
        time.sleep(0.15)
    capture.end()
    counts = [count_of(file) for file in sorted(pathlib.Path(".").glob("t-*.pcapng"))]
    assert len(counts) >= 4 and 0 not in counts, counts
    check(sum(counts), 10, "packets")


def test_killed_capture_leaves_a_readable_file():
    for kind in ("pcapng", "pcap"):
        capture = Capture("-w", f"killed.{kind}", "--format", kind, "udp")
        send(udp_frame(i) for i in range(400))
        time.sleep(0.8)  # a block that is not full is handed out after 300 ms, or twice that
        sender = flooding("v0", 0.3)
        time.sleep(0.2)
        capture.end(signal.SIGKILL)
        sender.wait()
        run = subprocess.run([WEIR, "filter", "--count", "--quiet", "udp port 53", f"killed.{kind}"],
                             capture_output=True, text=True)
        assert int(run.stdout) >= 400, run
        check(run.returncode, 0, run.stderr)


def test_pipe():
    capture = subprocess.Popen(f"{WEIR} capture -i v1 -w - udp port 53 -c 3 -q | {WEIR} filter --count -q udp -",
                               shell=True, stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    send(udp_frame(i) for i in range(5))
    check(capture.communicate(timeout=20)[0], "3\n", "packets through the pipe")


def test_stalled_reader_does_not_hold_a_signal_back():
    """A pipe, a socket, a terminal: it waits for the reader, which never comes."""
    ends = [os.pipe(), [end.detach() for end in socket.socketpair()]]
    if os.path.exists("/dev/pts/ptmx"):
        ends.append(pty.openpty())
    for reading, writing in ends:
        output = os.ttyname(writing) if os.isatty(writing) else "-"
        capture = subprocess.Popen([WEIR, "capture", "-i", "v1", "-w", output, "-q", "udp"], stdout=writing, stderr=subprocess.PIPE)
        time.sleep(0.5)
        send(udp_frame(i, size=1000) for i in range(500))
        time.sleep(1)
        capture.send_signal(signal.SIGTERM)
        try:
            check(capture.wait(timeout=10), 3, "status")
        finally:
            capture.kill()
            os.close(reading)
            os.close(writing)
        assert b"takes nothing" in capture.stderr.read()


def test_socket_gets_what_a_file_does():
    ours, theirs = socket.socketpair()
    capture = Capture("-w", "-", "-c", 2000, "-q", "udp", stdout=theirs).process
    theirs.close()
    ours.settimeout(20)
    try:
        send(udp_frame(i, size=1000) for i in range(2000))
        with ours, open("socket.pcapng", "wb") as out:
            while data := ours.recv(65536):
                out.write(data)
        check((capture.wait(timeout=10), count_of("socket.pcapng")), (0, 2000), "packets")
    finally:
        capture.kill()


def test_slow_reader_loses_nothing():
    """Few packets, each in a block of its own: the ring lasts as long as the reader stalls, and all come through."""
    capture = subprocess.Popen([WEIR, "capture", "-i", "v1", "-w", "-", "--json", "udp"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    for i in range(40):
        send(udp_frame(40 * i + j, size=1000) for j in range(5))
        time.sleep(0.1)
    capture.send_signal(signal.SIGINT)
    out, err = capture.communicate(timeout=20)
    told = summary(err.decode())
    check((told["captured"], told["dropped"]), (200, 0), told)
    pathlib.Path("slow.pcapng").write_bytes(out)
    check(count_of("slow.pcapng"), 200, "packets")


def test_closed_standard_output_is_not_the_network():
    sent = Capture("--count", interface="v0")
    run = subprocess.run(f"{WEIR} capture -i v1 -q -c 1 --duration 2s >&-", shell=True, stderr=subprocess.PIPE, text=True)
    check(run.returncode, 3, run.stderr)
    assert "standard output" in run.stderr, run.stderr
    check(sent.end()[1], "0\n", "packets on the network")
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        capture = subprocess.Popen(f"{WEIR} capture -i v1 -q -c 1 -w closed.pcapng udp {closed}", shell=True)
        time.sleep(0.5)
        send([udp_frame(1)])
        check((capture.wait(timeout=10), count_of("closed.pcapng")), (0, 1), closed)


def test_full_disk_counts_what_is_written():
    pathlib.Path("small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", "small"], check=True)
    try:
        capture = Capture("-w", "small/out.pcapng", "--json", "udp")
        send(udp_frame(i, size=200) for i in range(2000))
        out, err = capture.process.communicate(timeout=20)
        check(capture.process.returncode, 3, err)
        assert "No space left" in err, err
        check(count_of("small/out.pcapng"), summary(out)["captured"], "packets in the file")
    finally:
        subprocess.run(["umount", "small"], check=True)


def test_rotation_in_the_folder_of_another_user():
    for number, user in enumerate(([], ["-Z", "nobody"])):
        folder = pathlib.Path(f"theirs{number}")
        folder.mkdir(mode=0o755)
        os.chown(folder, 65534, 65534)
        capture = Capture("-w", folder / "r.pcapng", "--rotate-size", "16K", *user, "udp")
        send(udp_frame(i, size=200) for i in range(500))
        status, out, err = capture.end()
        check(status, 0, err)
        files = sorted(folder.iterdir())
        assert len(files) > 3, files
        check({file.stat().st_uid for file in files}, {65534 if user else 0}, "owners")
        check(sum(count_of(file) for file in files), 500, "packets")


def test_rotation_goes_on_behind_files_that_are_there():
    pathlib.Path("kept-00007.pcapng").write_text("precious")
    pathlib.Path("kept-x.pcapng").write_text("not counted")
    for _ in range(2):
        capture = Capture("-w", "kept.pcapng", "--rotate-size", "1M", "udp")
        send([udp_frame(1)])
        check(capture.end()[0], 0, "status")
    check(sorted(file.name for file in pathlib.Path(".").glob("kept-0*")), [f"kept-0000{i}.pcapng" for i in (7, 8, 9)], "files")
    check(pathlib.Path("kept-00007.pcapng").read_text(), "precious", "the file of before")


def test_closed_pipe_ends_quietly():
    capture = subprocess.Popen(f"{WEIR} capture -i v1 -w - udp -q; echo $? >status", shell=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    capture.stdout.close()
    for _ in range(100):
        send([udp_frame(1)])
        time.sleep(0.05)
        if capture.poll() is not None:
            break
    check((capture.poll(), capture.stderr.read()), (0, b""), "end")


harness.main(globals())
