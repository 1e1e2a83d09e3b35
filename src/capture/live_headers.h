// Records of pcapng and pcap, put together where they are needed: in the byte order of this host, with timestamps in
// nanoseconds. Formats: draft-ietf-opsawg-pcapng-03, draft-ietf-opsawg-pcap-05.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include <weir/capture/live.h>
#include <weir/capture/source.h>

namespace weir::capture {

void append_section_header(std::vector<std::uint8_t>& to);
void append_interface(std::vector<std::uint8_t>& to, const Interface& interface);
void append_statistics(std::vector<std::uint8_t>& to, std::uint32_t interface, const LiveStatistics& statistics);
void append_pcap_header(std::vector<std::uint8_t>& to, const Interface& interface);

inline std::uint32_t enhanced_size(std::uint32_t length) { return 32 + ((length + 3) & ~3u); }

// The 28 bytes before the packet in an Enhanced Packet Block; returns where the packet begins.
inline std::uint8_t* put_enhanced_head(std::uint8_t* at, const packet::Packet& packet, const Record& record,
                                       std::uint32_t interface) {
  const std::uint32_t head[7] = {6,
                                 enhanced_size(packet.length),
                                 interface,
                                 static_cast<std::uint32_t>(record.ticks >> 32),
                                 static_cast<std::uint32_t>(record.ticks),
                                 packet.length,
                                 packet.wire_length};
  std::memcpy(at, head, sizeof head);
  return at + sizeof head;
}

// Padding to four bytes, and the block's length again.
inline std::uint8_t* put_enhanced_tail(std::uint8_t* at, std::uint32_t length) {
  constexpr std::uint32_t kZero = 0;
  std::memcpy(at, &kZero, sizeof kZero);
  at += (4 - length % 4) % 4;
  const std::uint32_t size = enhanced_size(length);
  std::memcpy(at, &size, sizeof size);
  return at + sizeof size;
}

inline std::uint8_t* put_pcap_head(std::uint8_t* at, const packet::Packet& packet, const Record& record) {
  const std::uint32_t head[4] = {static_cast<std::uint32_t>(record.ticks / 1000000000),
                                 static_cast<std::uint32_t>(record.ticks % 1000000000), packet.length,
                                 packet.wire_length};
  std::memcpy(at, head, sizeof head);
  return at + sizeof head;
}

}  // namespace weir::capture
