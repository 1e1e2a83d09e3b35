// Where the headers of a packet lie, for one link type and after each encapsulation that a filter has named.
//
// Source: libpcap's code for each DLT is the meaning that expressions have (pcap-filter(7)); link types themselves:
// https://www.tcpdump.org/linktypes.html.
#pragma once

#include <cstdint>
#include <optional>

#include <weir/filter/formula.h>
#include <weir/packet/link_type.h>

namespace weir::filter {

inline constexpr std::uint32_t kNotThere = 0xffffffff;

// How the headers before the network layer are read: link types that are tested alike share a family.
enum class LinkFamily : std::uint8_t {
  kEthernet,  // a type field that is an 802.3 length when at most 1500
  kCiscoHdlc,
  kWlan,  // 802.11, perhaps behind a radio header
  kLlc,   // FDDI, Token Ring, IP over Fibre Channel, ATM (RFC 1483): 802.2 LLC always
  kSunAtm,
  kLinuxSll,
  kVersion,  // raw IP, SLIP: the IP version tells
  kIpv4Only,
  kIpv6Only,
  kPpp,
  kPppBsdos,
  kLoopback,  // NULL, LOOP, ENC: a 32-bit address family
  kPflog,
  kArcnet,
  kLocalTalk,
  kFrameRelay,
  kJuniper,
  kIpnet,
  kEtherType,  // a type field that is an EtherType, nothing else known
  kOpaque,     // only link[...] and len
};

// A place in the packet: a variable, if it is known only at run time, plus a constant.
struct Offset {
  std::optional<VariableId> variable{};
  std::uint32_t constant = 0;  // kNotThere when the link type has no such place
};

struct Layout {
  packet::LinkType type{};  // of the innermost link layer: an encapsulation may have pushed one
  LinkFamily family{};
  Offset link_header{};  // where its header starts
  Offset previous_link_header{};
  Offset type_field{};                // where it says what it carries
  Offset payload{};                   // where what it carries starts (LLC included)
  std::uint32_t network = 0;          // network header, relative to the payload
  std::uint32_t network_no_snap = 0;  // the same where 802.2 LLC stands without SNAP
  std::uint32_t label_depth = 0;      // MPLS labels passed
  std::uint32_t vlan_depth = 0;
  bool encapsulated = false;  // inside of Geneve or VXLAN
  bool lane = false;          // inside of ATM LAN emulation
};

// The layout at the start of a packet; opaque where nothing is known of the link type.
// Variables of variable-length headers are not assigned yet: Binder does.
Layout layout_of(packet::LinkType type);

bool has_variable_link_header(packet::LinkType type);  // radio headers
bool has_variable_payload(packet::LinkType type);      // 802.11, PFLOG

}  // namespace weir::filter
