// A small dissector. Exports find_attribute, find_nested_attribute, payload_offset.
#include "engine/payload_offset.h"

#include <algorithm>
#include <cstring>

#include <weir/base/bytes.h>

namespace weir::engine {
namespace {

constexpr std::uint32_t kAttributeHeader = 4;
constexpr std::uint16_t kTypeMask = 0x3fff;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

std::uint16_t host_word(const std::uint8_t* at) {
  std::uint16_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint32_t find_in(const packet::Packet& packet, std::uint32_t start, std::uint32_t end, std::uint32_t type) {
  std::uint64_t at = start;
  while (at + kAttributeHeader <= end) {
    const std::uint32_t length = host_word(packet.data + at);
    if (length < kAttributeHeader || at + length > end) return 0;
    if ((host_word(packet.data + at + 2) & kTypeMask) == type) return static_cast<std::uint32_t>(at);
    at += (length + 3) / 4 * 4;
  }
  return 0;
}

// What the dissector knows so far.
struct Dissection {
  const packet::Packet& packet;
  std::uint32_t at;        // of the next header
  std::uint32_t protocol;  // EtherType of the header at `at`
  std::uint8_t transport = 0;
  bool later_fragment = false;

  bool has(std::uint32_t bytes) const { return std::uint64_t{at} + bytes <= packet.length; }
  std::uint32_t byte(std::uint32_t offset) const { return packet.data[at + offset]; }
  std::uint32_t half(std::uint32_t offset) const { return load_be16(packet.data + at + offset); }
};

enum class Next { kNetwork, kTransport, kDone, kBad };

constexpr std::uint32_t kIpv4 = 0x0800;
constexpr std::uint32_t kIpv6 = 0x86dd;

Next dissect_ipv4(Dissection& d) {
  if (!d.has(20)) return Next::kBad;
  const std::uint32_t header = (d.byte(0) & 0xf) * 4;
  if (header < 20) return Next::kBad;
  const std::uint32_t fragment = d.half(6) & 0x3fff;  // more fragments, and the offset
  d.transport = static_cast<std::uint8_t>(d.byte(9));
  d.at += header;
  if (fragment == 0) return Next::kTransport;
  d.later_fragment = (fragment & 0x1fff) != 0;
  return Next::kDone;
}

Next dissect_ipv6(Dissection& d) {
  if (!d.has(40)) return Next::kBad;
  d.transport = static_cast<std::uint8_t>(d.byte(6));
  d.at += 40;
  return Next::kTransport;
}

// Tags and session headers between the link layer and IP.
Next dissect_network(Dissection& d) {
  switch (d.protocol) {
    case kIpv4: return dissect_ipv4(d);
    case kIpv6: return dissect_ipv6(d);
    case 0x8100:
    case 0x88a8:
      if (!d.has(4)) return Next::kBad;
      d.protocol = d.half(2);
      d.at += 4;
      return Next::kNetwork;
    case 0x8864: {  // PPPoE session; the PPP protocol follows its 6 bytes
      if (!d.has(8)) return Next::kBad;
      const std::uint32_t ppp = d.half(6);
      if (ppp != 0x0021 && ppp != 0x0057) return ppp == 0x0281 || ppp == 0x0283 ? Next::kDone : Next::kBad;
      d.protocol = ppp == 0x0021 ? kIpv4 : kIpv6;
      d.at += 8;
      return Next::kNetwork;
    }
    case 0x0806:
    case 0x8035:
    case 0x8847:
    case 0x8848: return Next::kDone;  // ARP, RARP, MPLS: known, and nothing inside is looked at
    default: return Next::kBad;
  }
}

Next dissect_gre(Dissection& d) {
  if (!d.has(4)) return Next::kBad;
  const std::uint32_t flags = d.half(0);
  if ((flags & 0x7) != 0 || (flags & 0x4000) != 0) return Next::kDone;  // another version, or source routing
  std::uint32_t header = 4;
  for (const std::uint32_t flag : {0x8000u, 0x2000u, 0x1000u})  // checksum, key, sequence number
    if ((flags & flag) != 0) header += 4;
  d.protocol = d.half(2);
  d.at += header;
  if (d.protocol != 0x6558) return Next::kNetwork;
  if (!d.has(14)) return Next::kBad;  // bridged Ethernet
  d.protocol = d.half(12);
  d.at += 14;
  return Next::kNetwork;
}

Next dissect_transport(Dissection& d) {
  switch (d.transport) {
    case 4: d.protocol = kIpv4; return Next::kNetwork;
    case 41: d.protocol = kIpv6; return Next::kNetwork;
    case 47: return dissect_gre(d);
    case 0:
    case 43:
    case 60:  // options of IPv6
      if (d.protocol != kIpv6) return Next::kDone;
      if (!d.has(2)) return Next::kBad;
      d.transport = static_cast<std::uint8_t>(d.byte(0));
      d.at += (d.byte(1) + 1) * 8;
      return Next::kTransport;
    case 44: {
      if (d.protocol != kIpv6) return Next::kDone;
      if (!d.has(8)) return Next::kBad;
      d.transport = static_cast<std::uint8_t>(d.byte(0));
      d.later_fragment = (d.half(2) & 0xfff8) != 0;
      d.at += 8;
      return Next::kDone;
    }
    default: return Next::kDone;
  }
}

std::uint32_t transport_header(const Dissection& d) {
  switch (d.transport) {
    case 6: return d.has(13) ? std::max(20u, (d.byte(12) & 0xf0) >> 2) : 0;
    case 1:
    case 2:
    case 17:
    case 58:
    case 136: return 8;
    case 33:
    case 132: return 12;
    default: return 0;
  }
}

}  // namespace

std::uint32_t find_attribute(const packet::Packet& packet, std::uint32_t start, std::uint32_t type) {
  if (packet.length < kAttributeHeader || start > packet.length - kAttributeHeader) return 0;
  return find_in(packet, start, packet.length, type);
}

std::uint32_t find_nested_attribute(const packet::Packet& packet, std::uint32_t start, std::uint32_t type) {
  if (packet.length < kAttributeHeader || start > packet.length - kAttributeHeader) return 0;
  const std::uint32_t length = host_word(packet.data + start);
  if (length > packet.length - start || length < kAttributeHeader) return 0;
  return find_in(packet, start + kAttributeHeader, start + length, type);
}

std::uint32_t payload_offset(const packet::Packet& packet) {
  constexpr std::uint32_t kEthernet = 1;
  constexpr std::uint32_t kLoopback = 772;
  constexpr int kMostHeaders = 15;  // MAX_FLOW_DISSECT_HDRS
  const packet::Metadata* const known = packet.metadata;
  const bool ethernet = known == nullptr || known->hardware_type == kEthernet || known->hardware_type == kLoopback;
  Dissection d{packet, ethernet ? 14u : 0u, known != nullptr ? known->protocol : 0};
  if (known == nullptr) {
    if (packet.length < 14) return 0;
    d.protocol = load_be16(packet.data + 12);
  }
  Next next = Next::kNetwork;
  for (int headers = 0; headers <= kMostHeaders && (next == Next::kNetwork || next == Next::kTransport); ++headers)
    next = next == Next::kNetwork ? dissect_network(d) : dissect_transport(d);
  if (next == Next::kBad) return 0;
  d.at = std::min(d.at, packet.length);
  return d.later_fragment ? d.at : d.at + transport_header(d);
}

}  // namespace weir::engine
