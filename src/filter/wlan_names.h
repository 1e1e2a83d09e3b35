// Names of 802.11 frame types, subtypes and directions, as bits of the frame control field.
//
// Source: IEEE 802.11-2020, 9.2.4.1. Names are those of pcap-filter(7), case ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::filter {

inline constexpr std::uint32_t kWlanTypeMask = 0x0c;
inline constexpr std::uint32_t kWlanSubtypeMask = 0xf0;

std::optional<std::uint32_t> wlan_type_named(std::string_view name);
// A subtype of the given type; of any type (then with the type's bits) when type is empty.
std::optional<std::uint32_t> wlan_subtype_named(std::string_view name, std::optional<std::uint32_t> type);
std::optional<std::uint32_t> wlan_direction_named(std::string_view name);

}  // namespace weir::filter
