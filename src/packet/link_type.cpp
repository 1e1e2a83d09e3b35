// The table of link types. Exports link_types, find, link_type_named, name_of.
#include <weir/packet/link_type.h>

#include <algorithm>
#include <array>

namespace weir::packet {
namespace {

constexpr std::array kLinkTypes = {
#define WEIR_LINK_TYPE(name, dlt_name, linktype, linux_dlt, description) \
  LinkTypeInfo{LinkType::name, dlt_name, linux_dlt, description},
#include <weir/packet/link_types.def>
#undef WEIR_LINK_TYPE
};

bool same_ignoring_case(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return upper(x) == upper(y); });
}

// Other names: of LINKTYPE_ values where they are not those of the DLT_ values, and older ones.
struct Alias {
  std::string_view name;
  LinkType type;
};
constexpr Alias kAliases[] = {
    {"ETHERNET", LinkType::kEthernet},
    {"EXP_ETHERNET", LinkType::kExperimentalEthernet},
    {"IEEE802_5", LinkType::kTokenRing},
    {"ARCNET_BSD", LinkType::kArcnet},
    {"PPP_HDLC", LinkType::kPppSerial},
    {"CHDLC", LinkType::kCiscoHdlc},
    {"IEEE802_11_PRISM", LinkType::kPrism},
    {"IEEE802_11_AIRONET", LinkType::kAironetHeader},
    {"IEEE802_11_RADIOTAP", LinkType::kIeee80211Radio},
    {"IEEE802_11_AVS", LinkType::kIeee80211RadioAvs},
    {"LINUX_PPP_WITHDIRECTION", LinkType::kPppPppd},
    {"PPP_WITH_DIRECTION", LinkType::kPppPppd},
    {"USB", LinkType::kUsbFreebsd},
    {"IEEE802_15_4_WITHFCS", LinkType::kIeee80215_4WithFcs},
    {"IPMB_LINUX", LinkType::kI2cLinux},
};

}  // namespace

std::span<const LinkTypeInfo> link_types() { return kLinkTypes; }

const LinkTypeInfo* find(LinkType type) {
  // The table is sorted by number (link_type_test checks it).
  const auto* at = std::lower_bound(kLinkTypes.begin(), kLinkTypes.end(), type,
                                    [](const LinkTypeInfo& row, LinkType wanted) { return row.type < wanted; });
  return at != kLinkTypes.end() && at->type == type ? at : nullptr;
}

std::optional<LinkType> link_type_named(std::string_view name) {
  for (std::string_view prefix : {"DLT_", "LINKTYPE_"})
    if (name.size() > prefix.size() && same_ignoring_case(name.substr(0, prefix.size()), prefix)) {
      name.remove_prefix(prefix.size());
      break;
    }
  for (const LinkTypeInfo& row : kLinkTypes)
    if (same_ignoring_case(row.name, name)) return row.type;
  for (const Alias& alias : kAliases)
    if (same_ignoring_case(alias.name, name)) return alias.type;
  return std::nullopt;
}

std::string_view name_of(LinkType type) {
  const LinkTypeInfo* row = find(type);
  return row != nullptr ? row->name : "unknown";
}

}  // namespace weir::packet
