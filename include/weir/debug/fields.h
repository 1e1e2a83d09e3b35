// Names for the bytes of a packet: enough of the common headers to read a packet dump.
//
// Ethernet (with VLAN tags), Linux cooked captures, BSD loopback, raw IP; ARP, IPv4, IPv6 with its extension headers,
// TCP, UDP, ICMP, ICMPv6. Fields come in the order of their offsets and never lie beyond the captured bytes. This
// names; it does not judge: nothing here decides whether a packet matches. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/debug/machine.h>
#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::debug {

struct Field {
  ByteRange bytes;
  std::string name;   // "ip proto", in the words of the filter language where it has them
  std::string value;  // "6 (tcp)"
};

std::vector<Field> name_fields(const packet::Packet& packet, packet::LinkType link_type);

// The names of the fields that the bytes touch: "ip src"; "tcp sport, tcp dport". Empty when none is known.
std::string names_of(const std::vector<Field>& fields, const ByteRange& bytes);

// What the kernel would know of such a packet beside its bytes, as far as the bytes tell: protocol, type and hardware
// type from the link-layer header, whether it came in for everybody.
packet::Metadata guess_metadata(const packet::Packet& packet, packet::LinkType link_type);

}  // namespace weir::debug
