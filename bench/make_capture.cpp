// Writes a capture of made traffic for benchmarks, the same bytes every time.
//
// usage: make_capture FILE MEGABYTES mixed|small|large
//
// Ethernet frames as a busy link has them: TCP, UDP and some of everything else, IPv4 and IPv6, a few VLAN tags, ports
// and addresses skewed as in real traffic, sizes by the third argument. Neighbouring packets belong to different flows,
// which is the hard case for branch predictors.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace {

std::mt19937_64 source(20260101);

std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(source() % limit); }

void put16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
void put32(std::uint8_t* at, std::uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

std::uint32_t address() {
  if (below(3) == 0) return 0x0a000000u | below(1 << 10);
  return 0xc0a80000u + below(1 << 18);
}

std::uint32_t port() {
  constexpr std::uint32_t kKnown[] = {443, 443, 443, 80, 53, 22, 123, 6001, 7000, 8080};
  return below(2) == 0 ? kKnown[below(10)] : 1024 + below(64000);
}

std::uint32_t size_of(std::string_view kind) {
  if (kind == "small") return 60 + below(51);
  if (kind == "large") return 1300 + below(215);
  const std::uint32_t draw = below(100);
  if (draw < 22) return 60;
  if (draw < 60) return 65 + below(64);
  if (draw < 76) return 129 + below(128);
  if (draw < 88) return 257 + below(768);
  return 1100 + below(415);
}

void make_packet(std::vector<std::uint8_t>& p) {
  for (std::size_t i = 0; i < 12; ++i) p[i] = static_cast<std::uint8_t>(2 + i);
  std::size_t at = 12;
  if (below(20) == 0) {
    put16(&p[at], 0x8100);
    put16(&p[at + 2], 1 + below(200));
    at += 4;
  }
  const std::uint32_t kind = below(100);
  if (kind < 2) {  // ARP
    put16(&p[at], 0x0806);
    return;
  }
  const std::uint32_t transport = kind < 70 ? 6 : kind < 95 ? 17 : 1;
  std::size_t header = 0;
  if (below(12) == 0) {
    put16(&p[at], 0x86dd);
    std::uint8_t* ip = &p[at + 2];
    ip[0] = 0x60;
    put16(ip + 4, static_cast<std::uint32_t>(p.size() - at - 2 - 40));
    ip[6] = static_cast<std::uint8_t>(transport == 1 ? 58 : transport);
    for (std::size_t i = 8; i < 40; ++i) ip[i] = static_cast<std::uint8_t>(source());
    header = at + 2 + 40;
  } else {
    put16(&p[at], 0x0800);
    std::uint8_t* ip = &p[at + 2];
    ip[0] = 0x45;
    put16(ip + 2, static_cast<std::uint32_t>(p.size() - at - 2));
    if (below(50) == 0) put16(ip + 6, 1 + below(100));  // a later fragment
    ip[9] = static_cast<std::uint8_t>(transport);
    put32(ip + 12, address());
    put32(ip + 16, address());
    header = at + 2 + 20;
  }
  put16(&p[header], port());
  put16(&p[header + 2], port());
  if (transport == 6 && header + 13 < p.size()) p[header + 13] = static_cast<std::uint8_t>(below(8) == 0 ? 0x02 : 0x10);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: make_capture FILE MEGABYTES mixed|small|large\n");
    return 2;
  }
  std::FILE* out = std::fopen(argv[1], "wb");
  if (out == nullptr) {
    std::perror(argv[1]);
    return 1;
  }
  const std::uint64_t wanted = std::strtoull(argv[2], nullptr, 10) * 1000000;
  // Long writes: the file's memory then is in large pieces, as that of a file which was copied or read from a disk.
  // (Without a buffer of its own, stdio writes 4 KiB at a time, and the system keeps the file in such pieces.)
  static char buffer[4u << 20];
  std::setvbuf(out, buffer, _IOFBF, sizeof buffer);
  const std::uint32_t header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 262144, 1};
  std::fwrite(header, sizeof header, 1, out);
  std::vector<std::uint8_t> packet;
  std::uint64_t written = sizeof header;
  for (std::uint32_t number = 0; written < wanted; ++number) {
    packet.assign(size_of(argv[3]), 0);
    make_packet(packet);
    const auto length = static_cast<std::uint32_t>(packet.size());
    const std::uint32_t record[] = {1767254400 + number / 1000000, number % 1000000, length, length};
    std::fwrite(record, sizeof record, 1, out);
    std::fwrite(packet.data(), packet.size(), 1, out);
    written += sizeof record + packet.size();
  }
  return std::fclose(out) == 0 ? 0 : 1;
}
