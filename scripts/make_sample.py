#!/usr/bin/env python3
"""Writes the sample captures: a small network's morning, the same bytes every time.

usage: make_sample.py FOLDER      writes FOLDER/office.pcap and FOLDER/office.pcapng
"""
import pathlib
import struct
import sys

MAC = {"client": "02:00:00:00:00:01", "server": "02:00:00:00:00:02", "router": "02:00:00:00:00:fe",
       "all": "ff:ff:ff:ff:ff:ff"}
IP = {"client": "10.0.0.1", "server": "10.0.0.2", "router": "10.0.0.254", "outside": "192.0.2.80"}
IP6 = {"client": "20010db8000000000000000000000001", "server": "20010db8000000000000000000000002"}


def mac(name):
    return bytes.fromhex(MAC.get(name, name).replace(":", ""))


def ipv4(name):
    return bytes(int(part) for part in IP.get(name, name).split("."))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(source, destination, kind, payload, vlan=None):
    tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
    return mac(destination) + mac(source) + tag + struct.pack(">H", kind) + payload


def ip(source, destination, protocol, payload, identifier=0, fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identifier, fragment, 64, protocol, 0,
                       ipv4(source), ipv4(destination))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def transport(source, destination, protocol, segment, at):
    """A TCP or UDP segment with its checksum, which stands at the offset `at`."""
    pseudo = ipv4(source) + ipv4(destination) + struct.pack(">BBH", 0, protocol, len(segment))
    return segment[:at] + struct.pack(">H", checksum(pseudo + segment)) + segment[at + 2:]


def udp(source, destination, sport, dport, data):
    return transport(source, destination, 17, struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data, 6)


def tcp(source, destination, sport, dport, sequence, acknowledged, flags, data=b""):
    head = struct.pack(">HHIIBBHHH", sport, dport, sequence, acknowledged, 0x50, flags, 64240, 0, 0)
    return transport(source, destination, 6, head + data, 16)


def ip6(source, destination, protocol, payload):
    addresses = bytes.fromhex(IP6[source]) + bytes.fromhex(IP6[destination])
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + addresses + payload


def icmp6(source, destination, kind, data):
    message = struct.pack(">BBH", kind, 0, 0) + data
    pseudo = bytes.fromhex(IP6[source]) + bytes.fromhex(IP6[destination]) + struct.pack(">II", len(message), 58)
    return message[:2] + struct.pack(">H", checksum(pseudo + message)) + message[4:]


def dns_query(identifier, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1)


def arp(operation, sender, target):
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + mac(sender) + ipv4(sender)
    body += (mac(target) if operation == 2 else bytes(6)) + ipv4(target)
    return ethernet(sender, target if operation == 2 else "all", 0x0806, body)


def conversation(server, through, port, sport, request, answers):
    """A TCP connection from the client: handshake, one request, its answers, the end."""
    client_seq, server_seq = 1000 * sport, 77 * sport
    def up(flags, data=b""):
        return ethernet("client", through, 0x0800, ip("client", server, 6, tcp("client", server, sport, port, client_seq, server_seq, flags, data)))
    def down(flags, data=b""):
        return ethernet(through, "client", 0x0800, ip(server, "client", 6, tcp(server, "client", port, sport, server_seq, client_seq, flags, data)))
    yield up(0x02)
    client_seq += 1
    yield down(0x12)
    server_seq += 1
    yield up(0x10)
    yield up(0x18, request)
    client_seq += len(request)
    for answer in answers:
        yield down(0x18, answer)
        server_seq += len(answer)
        yield up(0x10)
    yield up(0x11)
    client_seq += 1
    yield down(0x11)
    server_seq += 1
    yield up(0x10)


def packets():
    yield arp(1, "client", "router")
    yield arp(2, "router", "client")
    for number, name in enumerate(["example.org", "www.example.org", "mail.example.org", "example.net"]):
        query = dns_query(number, name)
        answer = query[:2] + b"\x81\x80" + query[4:6] + b"\0\1" + query[8:] + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + ipv4("outside")
        yield ethernet("client", "server", 0x0800, ip("client", "server", 17, udp("client", "server", 40000 + number, 53, query)))
        yield ethernet("server", "client", 0x0800, ip("server", "client", 17, udp("server", "client", 53, 40000 + number, answer)))
    for i in range(3):
        request = b"GET /page%d HTTP/1.1\r\nHost: example.org\r\n\r\n" % i
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"weir " * 80
        yield from conversation("outside", "router", 80, 50000 + i, request, [answer])
    for i in range(4):
        hello = b"\x16\x03\x01\x00\x80" + bytes(range(128))
        records = [b"\x17\x03\x03\x02\x00" + bytes((i * 7 + j) & 255 for j in range(512)) for _ in range(3)]
        yield from conversation("outside", "router", 443, 51000 + i, hello, records)
    for i in range(3):
        for kind, source, destination in ((8, "client", "router"), (0, "router", "client")):
            message = struct.pack(">BBHHH", kind, 0, 0, 7, i) + bytes(range(32))
            message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
            yield ethernet(source, destination, 0x0800, ip(source, destination, 1, message))
    yield ethernet("client", "33:33:00:00:00:01", 0x86dd, ip6("client", "server", 58, icmp6("client", "server", 135, bytes(4) + bytes.fromhex(IP6["server"]))))
    yield ethernet("server", "client", 0x86dd, ip6("server", "client", 58, icmp6("server", "client", 136, b"\x60\0\0\0" + bytes.fromhex(IP6["server"]))))
    for i in range(6):
        yield ethernet("client", "server", 0x0800, ip("client", "server", 17, udp("client", "server", 5060, 5060, b"OPTIONS %d" % i)), vlan=100 if i % 2 else 200)
    whole = udp("client", "server", 6000, 7000, bytes(i & 255 for i in range(2000)))
    for start in range(0, len(whole), 1480):
        piece = whole[start:start + 1480]
        more = 0x2000 if start + len(piece) < len(whole) else 0
        yield ethernet("client", "server", 0x0800, ip("client", "server", 17, piece, identifier=99, fragment=more | start // 8))
    for i in range(3):
        yield ethernet("router", "01:00:5e:00:00:fb", 0x0800, ip("router", "224.0.0.251", 17, udp("router", "224.0.0.251", 5353, 5353, dns_query(0, "printer.local"))))


def stamped():
    time = 1767254400_000000  # 2026-01-01 08:00:00 UTC, microseconds
    for number, packet in enumerate(packets()):
        yield time, packet
        time += 1000 + 137 * (number % 17)


def write_pcap(path):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
        for time, packet in stamped():
            out.write(struct.pack("<IIII", time // 1000000, time % 1000000, len(packet), len(packet)) + packet)


def block(kind, body):
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def write_pcapng(path):
    end = struct.pack("<HH", 0, 0)
    with open(path, "wb") as out:
        out.write(block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1) + option(4, b"weir sample") + end))
        out.write(block(1, struct.pack("<HHI", 1, 0, 262144) + option(2, b"eth0") + option(9, b"\x09") + end))
        for time, packet in stamped():
            ticks = time * 1000
            head = struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xffffffff, len(packet), len(packet))
            out.write(block(6, head + packet))


folder = pathlib.Path(sys.argv[1])
write_pcap(folder / "office.pcap")
write_pcapng(folder / "office.pcapng")
