// Link types: what the first bytes of a packet are.
//
// The value is the LINKTYPE_ number that capture files carry (https://www.tcpdump.org/linktypes.html), the same on
// every system; the DLT_ numbers of libpcap differ from it in a few rows and between systems. The table is
// link_types.def. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir::packet {

enum class LinkType : std::uint16_t {
#define WEIR_LINK_TYPE(name, dlt_name, linktype, linux_dlt, description) name = linktype,
#include <weir/packet/link_types.def>
#undef WEIR_LINK_TYPE
};

struct LinkTypeInfo {
  LinkType type;
  std::string_view name;         // libpcap's DLT_ name without the prefix: "EN10MB"
  std::uint16_t dlt;             // DLT_ number on Linux
  std::string_view description;  // "Ethernet"
};

std::span<const LinkTypeInfo> link_types();

// The row of a link type; null for numbers that the table does not know.
const LinkTypeInfo* find(LinkType type);

// By DLT or LINKTYPE name, case ignored, with or without the prefix "DLT_" or "LINKTYPE_".
std::optional<LinkType> link_type_named(std::string_view name);
// "EN10MB", or "unknown".
std::string_view name_of(LinkType type);

}  // namespace weir::packet
