// Tables of 802.11 names. Exports wlan_type_named, wlan_subtype_named, wlan_direction_named.
#include "filter/wlan_names.h"

#include <algorithm>
#include <span>

namespace weir::filter {
namespace {

struct Name {
  std::string_view text;
  std::uint32_t bits;
};

constexpr std::uint32_t kManagement = 0x00;
constexpr std::uint32_t kControl = 0x04;
constexpr std::uint32_t kData = 0x08;

constexpr Name kTypes[] = {
    {"mgt", kManagement}, {"management", kManagement}, {"ctl", kControl}, {"control", kControl}, {"data", kData}};
constexpr Name kManagementSubtypes[] = {
    {"assocreq", 0x00}, {"assoc-req", 0x00}, {"assocresp", 0x10}, {"assoc-resp", 0x10}, {"reassocreq", 0x20},
    {"reassoc-req", 0x20}, {"reassocresp", 0x30}, {"reassoc-resp", 0x30}, {"probereq", 0x40}, {"probe-req", 0x40},
    {"proberesp", 0x50}, {"probe-resp", 0x50}, {"beacon", 0x80}, {"atim", 0x90}, {"disassoc", 0xa0},
    {"disassociation", 0xa0}, {"auth", 0xb0}, {"authentication", 0xb0}, {"deauth", 0xc0}, {"deauthentication", 0xc0}};
constexpr Name kControlSubtypes[] = {{"bar", 0x80}, {"ba", 0x90}, {"ps-poll", 0xa0}, {"rts", 0xb0},
                                     {"cts", 0xc0}, {"ack", 0xd0}, {"cf-end", 0xe0}, {"cf-end-ack", 0xf0}};
constexpr Name kDataSubtypes[] = {
    {"data", 0x00}, {"data-cf-ack", 0x10}, {"data-cf-poll", 0x20}, {"data-cf-ack-poll", 0x30}, {"null", 0x40},
    {"cf-ack", 0x50}, {"cf-poll", 0x60}, {"cf-ack-poll", 0x70}, {"qos-data", 0x80}, {"qos-data-cf-ack", 0x90},
    {"qos-data-cf-poll", 0xa0}, {"qos-data-cf-ack-poll", 0xb0}, {"qos", 0xc0}, {"qos-cf-poll", 0xe0},
    {"qos-cf-ack-poll", 0xf0}};
constexpr Name kDirections[] = {{"nods", 0}, {"tods", 1}, {"fromds", 2}, {"dstods", 3}};

struct Kind {
  std::uint32_t type;
  std::span<const Name> subtypes;
};
constexpr Kind kKinds[] = {{kManagement, kManagementSubtypes}, {kControl, kControlSubtypes}, {kData, kDataSubtypes}};

std::optional<std::uint32_t> find(std::string_view name, std::span<const Name> names) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  for (const Name& row : names)
    if (std::equal(name.begin(), name.end(), row.text.begin(), row.text.end(),
                   [&](char a, char b) { return lower(a) == b; }))
      return row.bits;
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> wlan_type_named(std::string_view name) { return find(name, kTypes); }

std::optional<std::uint32_t> wlan_subtype_named(std::string_view name, std::optional<std::uint32_t> type) {
  for (const Kind& kind : kKinds) {
    if (type && *type != kind.type) continue;
    if (const auto bits = find(name, kind.subtypes)) return type ? *bits : *bits | kind.type;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> wlan_direction_named(std::string_view name) { return find(name, kDirections); }

}  // namespace weir::filter
