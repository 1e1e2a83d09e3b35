// A packet as a filter sees it: captured bytes, the length on the wire, and what the kernel knows beside them.
//
// Packet borrows its bytes and metadata; whoever fills a batch keeps them alive until the batch was run. A capture file
// knows no metadata: `metadata` is then null and every extension load reads as 0 (but for the wire length).
// Plain values: no synchronisation needed to read.
#pragma once

#include <cstdint>
#include <span>

#include <weir/base/bytes.h>

namespace weir::packet {

// What Linux keeps about a packet beside its bytes: the extension loads of classic programs (SKF_AD_*) read these.
// Source: net/core/filter.c, convert_bpf_extensions. All in host byte order.
struct Metadata {
  std::uint32_t protocol = 0;         // EtherType
  std::uint32_t type = 0;             // PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3, OUTGOING 4
  std::uint32_t interface_index = 0;  // from 1; 0: no device
  std::uint32_t mark = 0;
  std::uint32_t queue = 0;
  std::uint32_t hardware_type = 0;  // ARPHRD_*
  std::uint32_t receive_hash = 0;
  std::uint32_t cpu = 0;
  std::uint32_t vlan_tci = 0;
  std::uint32_t vlan_present = 0;   // 0 or 1
  std::uint32_t vlan_protocol = 0;  // TPID
};

struct Packet {
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;       // bytes at data (captured length)
  std::uint32_t wire_length = 0;  // bytes it had on the wire
  const Metadata* metadata = nullptr;

  ByteSpan bytes() const { return {data, length}; }
};

inline Packet make_packet(ByteSpan bytes) {
  const auto length = static_cast<std::uint32_t>(bytes.size());
  return {bytes.data(), length, length, nullptr};
}

// Packets that are filtered in one call.
using Batch = std::span<const Packet>;

}  // namespace weir::packet
