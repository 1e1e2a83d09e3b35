// Tables of names that stand after a keyword. Exports the functions of special_names.h.
#include "filter/special_names.h"

#include <algorithm>
#include <vector>

#include <weir/base/suggest.h>

namespace weir::filter {
namespace {

constexpr std::uint32_t kManagement = 0x00;
constexpr std::uint32_t kControl = 0x04;
constexpr std::uint32_t kData = 0x08;

constexpr SpecialName kTypes[] = {
    {"mgt", kManagement}, {"management", kManagement}, {"ctl", kControl}, {"control", kControl}, {"data", kData}};
constexpr SpecialName kManagementSubtypes[] = {
    {"assocreq", 0x00},   {"assoc-req", 0x00},      {"assocresp", 0x10},   {"assoc-resp", 0x10},
    {"reassocreq", 0x20}, {"reassoc-req", 0x20},    {"reassocresp", 0x30}, {"reassoc-resp", 0x30},
    {"probereq", 0x40},   {"probe-req", 0x40},      {"proberesp", 0x50},   {"probe-resp", 0x50},
    {"beacon", 0x80},     {"atim", 0x90},           {"disassoc", 0xa0},    {"disassociation", 0xa0},
    {"auth", 0xb0},       {"authentication", 0xb0}, {"deauth", 0xc0},      {"deauthentication", 0xc0}};
constexpr SpecialName kControlSubtypes[] = {{"bar", 0x80}, {"ba", 0x90},  {"ps-poll", 0xa0}, {"rts", 0xb0},
                                            {"cts", 0xc0}, {"ack", 0xd0}, {"cf-end", 0xe0},  {"cf-end-ack", 0xf0}};
constexpr SpecialName kDataSubtypes[] = {
    {"data", 0x00},     {"data-cf-ack", 0x10},     {"data-cf-poll", 0x20},     {"data-cf-ack-poll", 0x30},
    {"null", 0x40},     {"cf-ack", 0x50},          {"cf-poll", 0x60},          {"cf-ack-poll", 0x70},
    {"qos-data", 0x80}, {"qos-data-cf-ack", 0x90}, {"qos-data-cf-poll", 0xa0}, {"qos-data-cf-ack-poll", 0xb0},
    {"qos", 0xc0},      {"qos-cf-poll", 0xe0},     {"qos-cf-ack-poll", 0xf0}};
constexpr SpecialName kDirections[] = {{"nods", 0}, {"tods", 1}, {"fromds", 2}, {"dstods", 3}};

constexpr SpecialName kReasons[] = {
    {"match", 0},           {"bad-offset", 1},    {"fragment", 2},     {"short", 3},      {"normalize", 4},
    {"memory", 5},          {"bad-timestamp", 6}, {"congestion", 7},   {"ip-option", 8},  {"proto-cksum", 9},
    {"state-mismatch", 10}, {"state-insert", 11}, {"state-limit", 12}, {"src-limit", 13}, {"synproxy", 14},
    {"map-failed", 15},     {"state-locked", 15}, {"translate", 15},   {"dummynet", 15},  {"no-route", 16}};
constexpr SpecialName kActions[] = {
    {"pass", 0},    {"accept", 0},  {"drop", 1},           {"block", 1},     {"scrub", 2},
    {"noscrub", 3}, {"nat", 4},     {"nonat", 5},          {"binat", 6},     {"nobinat", 7},
    {"rdr", 8},     {"nordr", 9},   {"synproxy-drop", 10}, {"defer", 11},    {"match", 12},
    {"divert", 13}, {"rt", 14},     {"afrt", 15},          {"dummynet", 11}, {"nodummynet", 12},
    {"nat64", 13},  {"nonat64", 14}};

constexpr SpecialName kLlcKinds[] = {{"i", 0},     {"s", 0},    {"u", 0},   {"rr", 0},   {"rnr", 0},
                                     {"rej", 0},   {"ui", 0},   {"ua", 0},  {"disc", 0}, {"dm", 0},
                                     {"sabme", 0}, {"test", 0}, {"xid", 0}, {"frmr", 0}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

}  // namespace

std::span<const SpecialName> wlan_types() { return kTypes; }
std::span<const SpecialName> wlan_directions() { return kDirections; }
std::span<const SpecialName> pf_reasons() { return kReasons; }
std::span<const SpecialName> pf_actions() { return kActions; }
std::span<const SpecialName> llc_kinds() { return kLlcKinds; }

std::span<const SpecialName> wlan_subtypes(std::uint32_t type) {
  switch (type) {
    case kManagement: return kManagementSubtypes;
    case kControl: return kControlSubtypes;
    case kData: return kDataSubtypes;
    default: return {};
  }
}

const SpecialName* find_name(std::span<const SpecialName> names, std::string_view text) {
  for (const SpecialName& name : names)
    if (std::equal(text.begin(), text.end(), name.text.begin(), name.text.end(),
                   [](char a, char b) { return lower(a) == b; }))
      return &name;
  return nullptr;
}

std::string hint_of(std::span<const SpecialName> names, std::string_view text) {
  constexpr std::size_t kFew = 15;
  std::vector<std::string_view> words;
  for (const SpecialName& name : names) words.push_back(name.text);
  std::string hint = did_you_mean(text, words);
  if (!hint.empty() || words.empty() || words.size() > kFew) return hint;
  hint = "one of " + std::string(words.front());
  for (std::size_t i = 1; i < words.size(); ++i) hint += ", " + std::string(words[i]);
  return hint;
}

}  // namespace weir::filter
