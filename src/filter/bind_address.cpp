// Hosts and nets: IPv4, IPv6, DECnet, by address and by name.
#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include <weir/base/bytes.h>
#include <weir/base/suggest.h>

#include "filter/binder.h"
#include "filter/lex.h"

namespace weir::filter {

FormulaId Binder::host4_at(std::uint32_t address, std::uint32_t mask, Direction direction, std::uint32_t source,
                           std::uint32_t destination) {
  return directed(
      direction,
      [&](Direction side) {
        if (mask == 0) return address == 0 ? yes() : no();
        return masked(network(side == Direction::kSource ? source : destination, 4), address, mask);
      },
      "host");
}

FormulaId Binder::host4(std::uint32_t address, std::uint32_t mask, Protocol protocol, Direction direction, Type type) {
  std::uint32_t ether = 0;
  std::uint32_t source = 14;  // of the sender and the target in ARP over Ethernet
  std::uint32_t destination = 24;
  switch (protocol) {
    case Protocol::kDefault: {
      const FormulaId ip = host4(address, mask, Protocol::kIp, direction, type);
      if (layout_.label_depth > 0 || error_) return ip;
      const FormulaId arp = host4(address, mask, Protocol::kArp, direction, type);
      return either({ip, arp, host4(address, mask, Protocol::kRarp, direction, type)});
    }
    case Protocol::kIp: ether = kEtherIp, source = 12, destination = 16; break;
    case Protocol::kArp: ether = kEtherArp; break;
    case Protocol::kRarp: ether = kEtherRarp; break;
    default: return bad_qualifier(name_of(protocol), type == Type::kNet ? "net" : "host");
  }
  const FormulaId carried = carries(ether);
  if (mask == 0 && address == 0) return carried;
  return both({carried, host4_at(address, mask, direction, source, destination)});
}

// Word by word from the first; words that the prefix does not reach are not loaded.
FormulaId Binder::host6_at(const Ipv6Address& address, std::uint32_t prefix, std::uint32_t offset) {
  SmallVector<FormulaId, 4> words;
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint32_t bits = prefix > 32 * i ? std::min(prefix - 32 * i, 32u) : 0;
    if (bits == 0) break;
    const std::uint32_t mask = bits == 32 ? 0xffffffff : ~(0xffffffff >> bits);
    words.push_back(masked(network(offset + 4 * i, 4), load_be32(address.data() + 4 * i), mask));
  }
  return words.empty() ? yes() : connect(FormulaKind::kAnd, words);
}

FormulaId Binder::host6(const Ipv6Address& address, std::uint32_t prefix, Protocol protocol, Direction direction,
                        Type type) {
  if (protocol != Protocol::kDefault && protocol != Protocol::kIp6)
    return bad_qualifier(name_of(protocol), type == Type::kNet ? "ip6 net" : "ip6 host");
  const FormulaId carried = carries(kEtherIp6);
  if (prefix == 0) return carried;
  const FormulaId hosts = directed(
      direction, [&](Direction side) { return host6_at(address, prefix, side == Direction::kSource ? 8 : 24); },
      "host");
  return both({carried, hosts});
}

FormulaId Binder::host_named(const std::string& name, Protocol protocol4, Protocol protocol6, Direction direction) {
  const std::optional<HostAddresses> addresses = resolver_.host(name);
  if (!addresses) {
    std::string hint = did_you_mean(name, known_words());
    return refuse(fmt::format("no address is known for host '{}'", name), node().id.span, std::move(hint));
  }
  SmallVector<FormulaId, 4> hosts;
  if (protocol4 != Protocol::kIp6)
    for (const Ipv4Address address : addresses->ipv4)
      hosts.push_back(host4(address, 0xffffffff, protocol4, direction, Type::kHost));
  if (protocol6 != Protocol::kArp && protocol6 != Protocol::kIp && protocol6 != Protocol::kRarp)
    for (const Ipv6Address& address : addresses->ipv6)
      hosts.push_back(host6(address, 128, protocol6, direction, Type::kHost));
  if (hosts.empty())
    return refuse(fmt::format("host '{}' has no address of the family that '{}' asks for", name, name_of(protocol4)),
                  node().id.span);
  return connect(FormulaKind::kOr, hosts);
}

// An IPv4 address by itself, with a prefix length, or with a mask; or a plain number that stands for one.
FormulaId Binder::ipv4_id() {
  const Id& id = node().id;
  const Qualifiers& qualifiers = node().qualifiers;
  if (qualifiers.type == Type::kPort || qualifiers.type == Type::kPortRange || qualifiers.type == Type::kProto ||
      qualifiers.type == Type::kProtoChain)
    return refuse(fmt::format("'{}' needs a number or a name, not an address", name_of(qualifiers.type)), id.span);
  if (qualifiers.type == Type::kGateway)
    return refuse("'gateway' needs the name of a host", id.span, "a name with an Ethernet and an IPv4 address");
  if (qualifiers.protocol == Protocol::kDecnet) {
    const std::optional<std::uint32_t> address = id.kind == IdKind::kIpv4 ? parse_decnet(id.text) : std::nullopt;
    if (!address || qualifiers.type == Type::kNet)
      return refuse(fmt::format("'{}' is not a DECnet address", id.text), id.span, "as in 'decnet host 10.15'");
    const FormulaId carried = carries(kEtherDecnet);
    return both({carried, decnet_at(*address, qualifiers.direction)});
  }
  if (id.kind == IdKind::kNumber) {
    if (qualifiers.protocol == Protocol::kLink) return not_a_link_address();
    std::uint32_t address = id.number;
    std::uint32_t mask = 0xffffffff;
    // `net 10` is 10.0.0.0/8: leading zero octets are shifted out.
    while (qualifiers.type == Type::kNet && address != 0 && (address & 0xff000000) == 0) address <<= 8, mask <<= 8;
    return host4(address, mask, qualifiers.protocol, qualifiers.direction, qualifiers.type);
  }
  const std::optional<PartialIpv4> address = parse_ipv4(id.text);
  if (!address)
    return refuse(fmt::format("'{}' is not an IPv4 address", id.text), id.span, "each part is decimal, at most 255");
  const int missing = 32 - address->bits;
  const std::uint32_t value = missing == 0 ? address->value : address->value << missing;
  if (id.kind == IdKind::kIpv4) {
    if (qualifiers.protocol == Protocol::kLink) return not_a_link_address();
    return host4(value, 0xffffffffu << missing, qualifiers.protocol, qualifiers.direction, qualifiers.type);
  }
  std::uint32_t mask = id.number == 0 ? 0 : ~static_cast<std::uint32_t>(0xffffffffULL >> id.number);
  if (id.kind == IdKind::kIpv4Mask) {
    const std::optional<PartialIpv4> given = parse_ipv4(id.second);
    if (!given) return refuse(fmt::format("'{}' is not an IPv4 mask", id.second), id.span);
    mask = given->bits == 32 ? given->value : given->value << (32 - given->bits);
  }
  if ((value & ~mask) != 0) {
    const std::string network = fmt::format("{}.{}.{}.{}", (value & mask) >> 24, (value & mask) >> 16 & 0xff,
                                            (value & mask) >> 8 & 0xff, value & mask & 0xff);
    std::string hint = "the network is " + network;
    if (qualifiers.type != Type::kNet)
      hint += id.kind == IdKind::kIpv4Mask ? fmt::format(", as in 'net {} mask {}'", network, id.second)
                                           : fmt::format(", as in 'net {}/{}'", network, id.number);
    return refuse(fmt::format("'{}' has bits outside of its mask", id.text), id.span, std::move(hint));
  }
  if (qualifiers.type != Type::kNet)
    return refuse("a prefix or mask needs 'net' before it", id.span, fmt::format("as in 'net {}'", words_of(id.span)));
  return host4(value, mask, qualifiers.protocol, qualifiers.direction, Type::kNet);
}

FormulaId Binder::ipv6_id() {
  const Id& id = node().id;
  const Qualifiers& qualifiers = node().qualifiers;
  const std::size_t percent = id.text.find('%');
  const std::optional<Ipv6Address> address = parse_ipv6(id.text.substr(0, percent));
  if (!address) return refuse(fmt::format("'{}' is not an IPv6 address", id.text), id.span);
  const std::uint32_t prefix = id.kind == IdKind::kIpv6Prefix ? id.number : 128;
  for (std::uint32_t bit = prefix; bit < 128; ++bit)
    if (((*address)[bit / 8] & (0x80 >> bit % 8)) != 0)
      return refuse(fmt::format("'{}/{}' has bits outside of its prefix", id.text, prefix), id.span);
  switch (qualifiers.type) {
    case Type::kDefault:
    case Type::kHost:
      if (prefix != 128)
        return refuse("a prefix needs 'net' before it", id.span, fmt::format("as in 'net {}/{}'", id.text, prefix));
      break;
    case Type::kNet: break;
    default: return refuse(fmt::format("'{}' does not take an IPv6 address", name_of(qualifiers.type)), id.span);
  }
  const FormulaId found = host6(*address, prefix, qualifiers.protocol, qualifiers.direction, qualifiers.type);
  return percent == std::string::npos ? found : scoped(found, id.text.substr(percent + 1));
}

// fe80::1%eth0: the address, seen on this interface. Where packets do not tell their interface, the address alone.
FormulaId Binder::scoped(FormulaId address, const std::string& interface) {
  const Span span = node().id.span;
  const bool cooked = layout_.type == packet::LinkType::kLinuxSll2;
  if (!cooked && options_.platform != Platform::kLinux) {
    warnings_.push_back(
        {.severity = Severity::kWarning,
         .message = fmt::format("the scope '%{}' is left out: a packet does not tell its interface", interface),
         .place = span,
         .hint = "--platform linux can test it"});
    return address;
  }
  std::optional<std::uint32_t> index = parse_number(interface);
  if (!index) index = resolver_.interface(interface);
  if (!index) return refuse(fmt::format("there is no interface '{}'", interface), span);
  const FormulaId there = equal(cooked ? link(4, 4) : extension(cbpf::Extension::kInterfaceIndex), *index);
  return both({address, there});
}

FormulaId Binder::net_named() {
  const std::optional<Ipv4Address> found = resolver_.network(node().id.text);
  if (!found || *found == 0)
    return refuse(fmt::format("no network is known as '{}'", node().id.text), node().id.span,
                  "names of networks come from /etc/networks");
  std::uint32_t address = *found;
  std::uint32_t mask = 0xffffffff;
  while ((address & 0xff000000) == 0) address <<= 8, mask <<= 8;
  if (const int zeroes = std::countr_zero(address) / 8 * 8; mask == 0xffffffff && zeroes > 0) {
    const std::string number = fmt::format("{}.{}.{}.0", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff);
    warnings_.push_back({.severity = Severity::kWarning,
                         .message = fmt::format("'net {}' is the address {} alone", node().id.text, number),
                         .place = node().id.span,
                         .hint = fmt::format("names of networks have no masks: write the number, as in 'net {}/{}'",
                                             number, 32 - zeroes)});
  }
  return host4(address, mask, node().qualifiers.protocol, node().qualifiers.direction, Type::kNet);
}

// The packet passed the gateway: one Ethernet address is its own, no IPv4 address is. Packets without IPv4 addresses
// do not match.
FormulaId Binder::gateway() {
  const Protocol protocol = node().qualifiers.protocol;
  if (protocol != Protocol::kDefault && protocol != Protocol::kIp && protocol != Protocol::kArp &&
      protocol != Protocol::kRarp)
    return bad_qualifier(name_of(protocol), "gateway");
  const std::string& name = node().id.text;
  const FormulaId through = mac48_named(name, Direction::kSourceOrDestination, "gateway");
  if (error_) return 0;
  const std::optional<HostAddresses> addresses = resolver_.host(name);
  if (!addresses || addresses->ipv4.empty())
    return refuse(fmt::format("no IPv4 address is known for host '{}'", name), node().id.span);
  SmallVector<FormulaId, 8> alternatives;
  const auto carrier = [&](Protocol which, std::uint32_t ether, std::uint32_t source, std::uint32_t destination) {
    if (protocol != Protocol::kDefault && protocol != which) return;
    const FormulaId carried = carries(ether);
    SmallVector<FormulaId, 4> itself;
    for (const Ipv4Address address : addresses->ipv4)
      itself.push_back(host4_at(address, 0xffffffff, Direction::kSourceOrDestination, source, destination));
    alternatives.push_back(both({carried, negate(connect(FormulaKind::kOr, itself))}));
  };
  carrier(Protocol::kIp, kEtherIp, 12, 16);
  if (protocol != Protocol::kDefault || layout_.label_depth == 0) {
    carrier(Protocol::kArp, kEtherArp, 14, 24);
    carrier(Protocol::kRarp, kEtherRarp, 14, 24);
  }
  return both({through, connect(FormulaKind::kOr, alternatives)});
}

// Data packets with a long or short header, with no padding or one byte of it. Addresses are little-endian.
// Source: DECnet Phase IV routing layer; the same four cases as libpcap.
FormulaId Binder::decnet_at(std::uint32_t address, Direction direction) {
  return directed(
      direction,
      [&](Direction side) {
        const bool to = side == Direction::kDestination;
        const std::uint32_t swapped = (address & 0xff) << 8 | address >> 8;
        const std::uint32_t short_at = to ? 1 : 3;
        const std::uint32_t long_at = to ? 7 : 15;
        const FormulaId plain_short = to ? masked(network(2, 4), 0x02000000 | swapped << 8, 0x07ffff00) : [&] {
          const FormulaId flags = masked(network(2, 1), 0x02, 0x07);
          return both({flags, equal(network(2 + short_at, 2), swapped)});
        }();
        const FormulaId padded_short = to ? masked(network(2, 4), 0x81020000 | swapped, 0xff07ffff) : [&] {
          const FormulaId flags = masked(network(2, 2), 0x8102, 0xff07);
          return both({flags, equal(network(3 + short_at, 2), swapped)});
        }();
        const FormulaId plain_flags = masked(network(2, 1), 0x06, 0x07);
        const FormulaId plain_long = both({plain_flags, equal(network(2 + long_at, 2), swapped)});
        const FormulaId padded_flags = masked(network(2, 2), 0x8106, 0xff07);
        const FormulaId padded_long = both({padded_flags, equal(network(3 + long_at, 2), swapped)});
        return either({plain_short, padded_short, plain_long, padded_long});
      },
      "host");
}

}  // namespace weir::filter
