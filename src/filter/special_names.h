// Names that are no keywords but stand after one: 802.11 frame types, pf reasons and actions, LLC frame kinds.
//
// Sources: IEEE 802.11-2020, 9.2.4.1 (frame control field); net/pfvar.h of OpenBSD, FreeBSD, NetBSD and macOS; IEEE
// 802.2. Names are those of pcap-filter(7); case is ignored. libpcap knows only the pf names of the system that it was
// built on; here the names of all are known, since a capture may come from any of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::filter {

struct SpecialName {
  std::string_view text;
  std::uint32_t number;
};

// Bits of the frame control field's first byte.
inline constexpr std::uint32_t kWlanTypeMask = 0x0c;
inline constexpr std::uint32_t kWlanSubtypeMask = 0xf0;

std::span<const SpecialName> wlan_types();
// The subtypes of one type, in order of the types; empty for a type that has none.
std::span<const SpecialName> wlan_subtypes(std::uint32_t type);
std::span<const SpecialName> wlan_directions();
std::span<const SpecialName> pf_reasons();
std::span<const SpecialName> pf_actions();
std::span<const SpecialName> llc_kinds();  // the number has no meaning

const SpecialName* find_name(std::span<const SpecialName> names, std::string_view text);
// "did you mean 'beacon'?", or all of the names if they are few.
std::string hint_of(std::span<const SpecialName> names, std::string_view text);

}  // namespace weir::filter
