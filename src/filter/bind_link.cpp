// What a link layer carries, and link-layer addresses.
#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "filter/binder.h"

namespace weir::filter {

using packet::LinkType;

// LLC and SNAP headers in full: DSAP and SSAP SNAP, control UI, organisation, type.
FormulaId Binder::snap(std::uint32_t organisation, std::uint32_t type) {
  const std::uint8_t bytes[] = {kSapSnap,
                                kSapSnap,
                                0x03,
                                static_cast<std::uint8_t>(organisation >> 16),
                                static_cast<std::uint8_t>(organisation >> 8),
                                static_cast<std::uint8_t>(organisation),
                                static_cast<std::uint8_t>(type >> 8),
                                static_cast<std::uint8_t>(type)};
  return bytes_equal(layout_.payload, 0, bytes);
}

FormulaId Binder::ethernet_carries(std::uint32_t protocol) {
  const auto is_length = [&] { return at_most(type_field(0, 2), kLongestEtherLength); };
  switch (protocol) {
    case kSapIso:
    case kSapIp:
    case kSapNetbeui: {
      const FormulaId length = is_length();
      return both({length, equal(llc(0, 2), protocol << 8 | protocol)});
    }
    case kSapIpx: {  // Ethernet II, then on 802.3 frames: SNAP, LLC, raw 802.3
      const FormulaId ethernet2 = equal(type_field(0, 2), kEtherIpx);
      const FormulaId length = is_length();
      const FormulaId in_snap = snap(0, kEtherIpx);
      const FormulaId in_llc = equal(llc(0, 1), kSapIpx);
      const FormulaId raw = equal(llc(0, 2), 0xffff);
      return either({ethernet2, both({length, either({in_snap, either({in_llc, raw})})})});
    }
    case kEtherAtalk:
    case kEtherAarp: {
      const FormulaId ethernet2 = equal(type_field(0, 2), protocol);
      const FormulaId length = is_length();
      return either({ethernet2, both({length, snap(protocol == kEtherAtalk ? 0x080007 : 0, protocol)})});
    }
    default: break;
  }
  if (protocol > kLongestEtherLength) {
    if (!within("the EtherType", protocol, 0xffff)) return 0;
    return equal(type_field(0, 2), protocol);
  }
  if (!within("the LLC DSAP", protocol, 0xff)) return 0;
  const FormulaId length = is_length();
  return both({length, equal(type_field(2, 1), protocol)});
}

FormulaId Binder::sll_carries(std::uint32_t protocol) {
  constexpr std::uint32_t kSll8023 = 0x0001;  // <linux/if_ether.h>, ETH_P_802_3
  constexpr std::uint32_t kSll8022 = 0x0004;  // ETH_P_802_2
  const auto is_llc = [&] { return equal(type_field(0, 2), kSll8022); };
  switch (protocol) {
    case kSapIso:
    case kSapIp:
    case kSapNetbeui: {
      const FormulaId in_llc = is_llc();
      return both({in_llc, equal(llc(0, 2), protocol << 8 | protocol)});
    }
    case kSapIpx: {
      const FormulaId ethernet2 = equal(type_field(0, 2), kEtherIpx);
      const FormulaId raw = equal(type_field(0, 2), kSll8023);
      const FormulaId in_llc = is_llc();
      const FormulaId sap = equal(llc(0, 1), kSapIpx);
      return either({ethernet2, either({raw, both({in_llc, either({sap, snap(0, kEtherIpx)})})})});
    }
    case kEtherAtalk:
    case kEtherAarp: {
      const FormulaId ethernet2 = equal(type_field(0, 2), protocol);
      const FormulaId in_llc = is_llc();
      return either({ethernet2, both({in_llc, snap(protocol == kEtherAtalk ? 0x080007 : 0, protocol)})});
    }
    default: break;
  }
  if (protocol > kLongestEtherLength) {
    if (!within("the EtherType", protocol, 0xffff)) return 0;
    return equal(type_field(0, 2), protocol);
  }
  if (!within("the LLC DSAP", protocol, 0xff)) return 0;
  const FormulaId in_llc = is_llc();
  return both({in_llc, equal(link(layout_.payload.constant, 1), protocol)});
}

// Link types with 802.2 LLC on every frame. An EtherType is looked for where SNAP has it; the SNAP header itself is
// not checked, as in libpcap.
FormulaId Binder::llc_carries(std::uint32_t protocol) {
  switch (protocol) {
    case kSapIso:
    case kSapIp:
    case kSapNetbeui: return equal(llc(0, 2), protocol << 8 | protocol);
    case kSapIpx: return equal(llc(0, 1), kSapIpx);
    case kEtherAtalk: return snap(0x080007, kEtherAtalk);
    default: break;
  }
  if (protocol <= kLongestEtherLength) {
    if (!within("the LLC DSAP", protocol, 0xff)) return 0;
    return equal(llc(0, 1), protocol);
  }
  if (!within("the EtherType", protocol, 0xffff)) return 0;
  return equal(llc(6, 2), protocol);
}

// A 32-bit address family. AF_INET is 2 everywhere; AF_INET6 has a value a system: 24 (NetBSD, OpenBSD), 28 (FreeBSD),
// 30 (macOS), 10 (Linux). LOOP has it in network order, NULL and ENC in the order of the host that captured.
FormulaId Binder::loopback_carries(std::uint32_t protocol) {
  if (protocol != kEtherIp && protocol != kEtherIp6) return no();
  const bool either_order = layout_.type != LinkType::kLoop;
  const auto family = [&](std::uint32_t value, bool swapped) {
    return equal(link(0, 4), swapped ? __builtin_bswap32(value) : value);
  };
  if (!options_.capture_file) return family(protocol == kEtherIp ? 2 : 10, either_order);
  SmallVector<FormulaId, 8> families;
  for (const bool swapped : {false, true}) {
    if (swapped && !either_order) break;
    if (protocol == kEtherIp) families.push_back(family(2, swapped));
    else
      for (const std::uint32_t value : {30u, 24u, 28u}) families.push_back(family(value, swapped));
  }
  return connect(FormulaKind::kOr, families);
}

FormulaId Binder::ppp_carries(std::uint32_t protocol) {
  struct Pair {
    std::uint32_t ether, ppp;
  };
  // Source: IANA PPP protocol numbers.
  static constexpr Pair kPairs[] = {{kEtherIp, 0x0021},         {kEtherIp6, 0x0057}, {kEtherDecnet, 0x0027},
                                    {kEtherAtalk, 0x0029},      {kEtherNs, 0x0025},  {kSapIso, 0x0023},
                                    {kSapSpanningTree, 0x0031}, {kSapIpx, 0x002b}};
  if (layout_.family == LinkFamily::kPppBsdos && protocol == kEtherIp) {
    // Also IP with Van Jacobson's compression, both forms.
    const FormulaId plain = equal(type_field(0, 2), 0x0021);
    const FormulaId compressed = equal(type_field(0, 2), 0x002d);
    return either({either({plain, compressed}), equal(type_field(0, 2), 0x002f)});
  }
  for (const Pair& pair : kPairs)
    if (pair.ether == protocol) return equal(type_field(0, 2), pair.ppp);
  if (!within("the PPP protocol", protocol, 0xffff)) return 0;
  return equal(type_field(0, 2), protocol);
}

// System codes of RFC 1201.
FormulaId Binder::arcnet_carries(std::uint32_t protocol) {
  switch (protocol) {
    case kEtherIp6: return equal(type_field(0, 1), 0xc4);
    case kEtherIp: return equal(type_field(0, 1), 0xd4);
    case kEtherArp: return equal(type_field(0, 1), 0xd5);
    case kEtherRarp: return equal(type_field(0, 1), 0xd6);
    case kEtherAtalk: return equal(type_field(0, 1), 0xdd);
    default: return no();
  }
}

// A UI control field and the network-layer protocol identifier, behind a two-byte address.
FormulaId Binder::frame_relay_carries(std::uint32_t protocol) {
  const auto identifier = [&](std::uint32_t value) { return equal(link(2, 2), 0x0300 | value); };
  switch (protocol) {
    case kEtherIp: return identifier(0xcc);
    case kEtherIp6: return identifier(0x8e);
    case kSapIso: {
      const FormulaId clnp = identifier(kIsoClnp);
      const FormulaId esis = identifier(kIsoEsis);
      return either({clnp, either({esis, identifier(kIsoIsis)})});
    }
    default: return no();
  }
}

// Behind MPLS labels nothing says what follows: the bottom-of-stack bit and the IP version must do.
FormulaId Binder::mpls_carries(std::uint32_t protocol) {
  if (protocol != kEtherIp && protocol != kEtherIp6)
    return refuse("behind 'mpls' only IPv4 and IPv6 can be told apart", node().span, {}, ErrorCode::kUnsupported);
  const FormulaId bottom = masked(network(0xfffffffe, 1), 0x01, 0x01);
  return both({bottom, masked(network(0, 1), protocol == kEtherIp ? 0x40 : 0x60, 0xf0)});
}

FormulaId Binder::has_ethernet() {
  if (layout_.encapsulated) {
    // Geneve may carry a packet without an Ethernet header: header and payload then start at the same place.
    return negate(
        test(flow::Condition::kEqual, variable(*layout_.link_header.variable), variable(*layout_.payload.variable)));
  }
  if (layout_.lane)  // not an LE Control frame
    return negate(equal(load(layout_.previous_link_header, 4, 2), 0xff00));
  return yes();
}

FormulaId Binder::carries(std::uint32_t protocol) {
  if (error_) return 0;
  if (layout_.label_depth > 0) return mpls_carries(protocol);
  switch (layout_.family) {
    case LinkFamily::kEthernet: {
      if (layout_.encapsulated || !layout_.lane) return ethernet_carries(protocol);
      const FormulaId data = has_ethernet();
      return both({data, ethernet_carries(protocol)});
    }
    case LinkFamily::kCiscoHdlc:
      if (!within("the HDLC protocol", protocol, 0xffff)) return 0;
      return equal(type_field(0, 2), protocol == kSapIso ? kSapIso << 8 | kSapIso : protocol);
    case LinkFamily::kWlan: {
      const FormulaId data = masked(link(0, 1), 0x08, 0x0c);
      return both({data, llc_carries(protocol)});
    }
    case LinkFamily::kLlc: return llc_carries(protocol);
    case LinkFamily::kSunAtm: {
      const FormulaId in_llc = masked(link(0, 1), 0x02, 0x0f);
      return both({in_llc, llc_carries(protocol)});
    }
    case LinkFamily::kLinuxSll: return sll_carries(protocol);
    case LinkFamily::kVersion:
      if (protocol == kEtherIp) return masked(link(0, 1), 0x40, 0xf0);
      if (protocol == kEtherIp6) return masked(link(0, 1), 0x60, 0xf0);
      return no();
    case LinkFamily::kIpv4Only: return protocol == kEtherIp ? yes() : no();
    case LinkFamily::kIpv6Only: return protocol == kEtherIp6 ? yes() : no();
    case LinkFamily::kPpp:
    case LinkFamily::kPppBsdos: return ppp_carries(protocol);
    case LinkFamily::kLoopback: return loopback_carries(protocol);
    case LinkFamily::kPflog: {
      if (protocol == kEtherIp) return equal(link(1, 1), 2);
      if (protocol != kEtherIp6) return no();
      if (!options_.capture_file) return equal(link(1, 1), 10);
      const FormulaId macos = equal(link(1, 1), 30);
      const FormulaId openbsd = equal(link(1, 1), 24);
      return either({macos, openbsd, equal(link(1, 1), 28)});
    }
    case LinkFamily::kArcnet: return arcnet_carries(protocol);
    case LinkFamily::kLocalTalk: return protocol == kEtherAtalk ? yes() : no();
    case LinkFamily::kFrameRelay: return frame_relay_carries(protocol);
    case LinkFamily::kJuniper: return masked(link(0, 4), 0x4d474300, 0xffffff00);  // the magic number alone
    case LinkFamily::kIpnet:
      if (protocol == kEtherIp) return equal(type_field(0, 1), 2);
      if (protocol == kEtherIp6) return equal(type_field(0, 1), 26);
      return no();
    case LinkFamily::kEtherType:
      if (!within("the EtherType", protocol, 0xffff)) return 0;
      return equal(type_field(0, 2), protocol);
    case LinkFamily::kOpaque: break;
  }
  return refuse(fmt::format("packets of link type {} do not say what they carry", packet::name_of(layout_.type)),
                node().span, "only 'link[...]' and 'len' can be tested", ErrorCode::kUnsupported);
}

bool Binder::link_has_mac48() const {
  switch (layout_.family) {
    case LinkFamily::kEthernet:
    case LinkFamily::kWlan: return true;
    case LinkFamily::kLlc:
      return layout_.type == LinkType::kFddi || layout_.type == LinkType::kTokenRing ||
             layout_.type == LinkType::kIpOverFc;
    default: return false;
  }
}

FormulaId Binder::mac48(const Mac48& mac, Direction direction, std::string_view word) {
  if (!link_has_mac48()) return not_on_this_link(word);
  if (layout_.family == LinkFamily::kWlan) return wlan_host(mac, direction);
  std::uint32_t source = 6;
  std::uint32_t destination = 0;
  if (layout_.type == LinkType::kFddi) source = 7, destination = 1;
  if (layout_.type == LinkType::kTokenRing) source = 8, destination = 2;
  if (layout_.type == LinkType::kIpOverFc) source = 10, destination = 2;
  const bool check = layout_.encapsulated || layout_.lane;
  const FormulaId there = check ? has_ethernet() : 0;
  const FormulaId address = directed(
      direction,
      [&](Direction side) {
        return bytes_equal(layout_.link_header, side == Direction::kSource ? source : destination, mac);
      },
      word);
  return check ? both({there, address}) : address;
}

FormulaId Binder::mac48_named(const std::string& name, Direction direction, std::string_view word) {
  if (!link_has_mac48()) return not_on_this_link(word);
  const std::optional<Mac48> mac = resolver_.ether_host(name);
  if (!mac)
    return refuse(fmt::format("no Ethernet address is known for '{}'", name), node().id.span,
                  "names of Ethernet addresses come from /etc/ethers");
  return mac48(*mac, direction, word);
}

FormulaId Binder::mac8(std::uint8_t mac, Direction direction, std::string_view word) {
  const bool arcnet = layout_.family == LinkFamily::kArcnet;
  if (!arcnet && layout_.type != LinkType::kBacnetMsTp) return not_on_this_link(word);
  const std::uint32_t source = arcnet ? 0 : 4;
  const std::uint32_t destination = arcnet ? 1 : 3;
  return directed(
      direction, [&](Direction side) { return equal(link(side == Direction::kSource ? source : destination, 1), mac); },
      word);
}

}  // namespace weir::filter
