// Extensions that look into the packet: netlink attributes and the payload's offset. Exports find_attribute,
// find_nested_attribute and payload_offset.
//
// Sources: net/core/filter.c (bpf_skb_get_nlattr, bpf_skb_get_nlattr_nest, bpf_skb_get_pay_offset),
// net/core/flow_dissector.c (skb_get_poff). Thread-safe: no state.
#pragma once

#include <cstdint>

#include <weir/packet/packet.h>

namespace weir::engine {

// The offset of the first netlink attribute of type `type` in the run that starts at `start`; 0 when there is none. An
// attribute is a length and a type, 16 bits each in the machine's order, and its payload; runs are aligned to 4.
std::uint32_t find_attribute(const packet::Packet& packet, std::uint32_t start, std::uint32_t type);
// The same among the attributes inside of the one at `start`.
std::uint32_t find_nested_attribute(const packet::Packet& packet, std::uint32_t start, std::uint32_t type);

// Where the payload of the innermost transport header starts that the dissector gets to; 0 when it gets nowhere.
// It goes through VLAN tags, PPPoE, IPv4, IPv6 and its extension headers, IP in IP and plain GRE, and stops at
// fragments. The link layer is Ethernet, unless metadata names a hardware type without a link header.
std::uint32_t payload_offset(const packet::Packet& packet);

}  // namespace weir::engine
