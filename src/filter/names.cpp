// Built-in names and the text forms of addresses. Exports the functions of names.h.
#include "filter/names.h"

#include <span>
#include <string>

#include <arpa/inet.h>

namespace weir::filter {
namespace {

struct Name {
  std::string_view text;
  std::uint32_t number;
};

constexpr Name kEtherTypes[] = {{"aarp", kEtherAarp},     {"arp", kEtherArp},     {"atalk", kEtherAtalk},
                                {"decnet", kEtherDecnet}, {"ip", kEtherIp},       {"ip6", kEtherIp6},
                                {"lat", kEtherLat},       {"lldp", 0x88cc},       {"loopback", 0x9000},
                                {"mopdl", kEtherMopdl},   {"moprc", kEtherMoprc}, {"rarp", kEtherRarp},
                                {"sca", kEtherSca},       {"slow", 0x8809}};
constexpr Name kSaps[] = {{"iso", kSapIso}, {"stp", kSapSpanningTree}, {"ipx", kSapIpx}, {"netbeui", kSapNetbeui}};
constexpr Name kIsoProtocols[] = {{"esis", kIsoEsis}, {"isis", kIsoIsis}, {"clnp", kIsoClnp}};

std::optional<std::uint32_t> find(std::span<const Name> names, std::string_view text) {
  for (const Name& name : names)
    if (name.text == text) return name.number;
  return std::nullopt;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decimal digits up to `limit`; at least one.
std::optional<std::uint32_t> take_decimal(std::string_view& text, std::uint32_t limit) {
  std::uint32_t value = 0;
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    value = value * 10 + static_cast<std::uint32_t>(text[digits++] - '0');
    if (value > limit) return std::nullopt;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

}  // namespace

std::optional<std::uint32_t> ether_type_named(std::string_view name) { return find(kEtherTypes, name); }
std::optional<std::uint32_t> llc_sap_named(std::string_view name) { return find(kSaps, name); }
std::optional<std::uint32_t> iso_protocol_named(std::string_view name) { return find(kIsoProtocols, name); }

std::optional<PartialIpv4> parse_ipv4(std::string_view text) {
  PartialIpv4 address;
  for (;;) {
    const auto octet = take_decimal(text, 255);
    if (!octet || address.bits == 32) return std::nullopt;
    address.value = address.value << 8 | *octet;
    address.bits += 8;
    if (text.empty()) return address;
    if (text.front() != '.') return std::nullopt;
    text.remove_prefix(1);
  }
}

std::optional<std::uint32_t> parse_decnet(std::string_view text) {
  const auto area = take_decimal(text, 63);
  if (!area || text.empty() || text.front() != '.') return std::nullopt;
  text.remove_prefix(1);
  const auto node = take_decimal(text, 1023);
  if (!node || !text.empty()) return std::nullopt;
  return *area << 10 | *node;
}

// Six groups of one or two digits with one of : - . between them all, three groups of four with dots, or twelve digits.
std::optional<Mac48> parse_mac48(std::string_view text) {
  const std::size_t first = text.find_first_of(":-.");
  const bool bytes = first != std::string_view::npos && first <= 2;
  const std::size_t group = bytes ? 2 : first == std::string_view::npos ? 12 : 4;
  Mac48 mac{};
  std::size_t count = 0;
  std::size_t at = 0;
  std::size_t group_start = 0;
  while (at < text.size()) {
    if (count == mac.size() || hex_digit(text[at]) < 0) return std::nullopt;
    int value = hex_digit(text[at++]);
    if (at < text.size() && hex_digit(text[at]) >= 0) value = value * 16 + hex_digit(text[at++]);
    else if (!bytes) return std::nullopt;
    mac[count++] = static_cast<std::uint8_t>(value);
    const bool complete = bytes || at - group_start == group;
    if (!complete || at == text.size()) continue;
    if (first == std::string_view::npos || text[at] != (bytes ? text[first] : '.')) return std::nullopt;
    if (++at == text.size()) return std::nullopt;
    group_start = at;
  }
  if (count != mac.size()) return std::nullopt;
  return mac;
}

std::optional<std::uint8_t> parse_mac8(std::string_view text) {
  if (text.size() < 2 || text.size() > 3 || text[0] != '$') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(1)) {
    if (hex_digit(c) < 0) return std::nullopt;
    value = value * 16 + hex_digit(c);
  }
  return static_cast<std::uint8_t>(value);
}

std::optional<Ipv6Address> parse_ipv6(std::string_view text) {
  Ipv6Address address{};
  if (::inet_pton(AF_INET6, std::string(text).c_str(), address.data()) != 1) return std::nullopt;
  return address;
}

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint64_t base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const bool hexadecimal = text[1] == 'x' || text[1] == 'X';
    base = hexadecimal ? 16 : 8;
    text.remove_prefix(hexadecimal ? 2 : 1);
  }
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    const int digit = hex_digit(c);
    if (digit < 0 || static_cast<std::uint64_t>(digit) >= base) return std::nullopt;
    value = value * base + static_cast<std::uint64_t>(digit);
    if (value > 0xffffffff) return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

}  // namespace weir::filter
