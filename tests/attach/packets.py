"""Packets for the tests here: random, the same at each run, sent on v0."""
import errno
import random
import socket
import struct
import sys
import time


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def frames(count):
    random.seed(7)
    made = []
    for _ in range(count):
        tcp = random.random() < 0.4
        ports = struct.pack("!HH", random.choice((53, 80, 443, 1000)), random.choice((53, 55, 80, 99)))
        body = bytes(random.randrange(256) for _ in range(random.randrange(2, 120)))
        rest = struct.pack("!IIBBHHH", 1, 2, 0x50, random.randrange(64), 100, 0, 0) if tcp else struct.pack("!HH", 8 + len(body), 0)
        payload = ports + rest + body
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, random.randrange(1, 65), 6 if tcp else 17, 0)
        ip += bytes((10, 99, 0, random.randrange(1, 255))) + bytes((10, 99, 0, 2))
        total = sum(struct.unpack("!10H", ip))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
        made.append((b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + ip + payload).ljust(60, b"\0"))
    return made


def write_pcap(path, packets, link_type):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type))
        for packet in packets:
            out.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def send(packets):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("v0", 0))
        for packet in packets:
            try:
                out.send(packet)
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # a program on the way out dropped it
                    raise
    time.sleep(0.2)
