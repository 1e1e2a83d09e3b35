// Protocols inside of IP and ISO, and ports.
#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "filter/binder.h"
#include "filter/lex.h"

namespace weir::filter {

// No fragment but the first has a transport header.
FormulaId Binder::first_fragment() { return negate(bits_set(network(6, 2), 0x1fff)); }

FormulaId Binder::proto(std::uint32_t number, Protocol protocol) {
  const bool hdlc = layout_.family == LinkFamily::kCiscoHdlc;
  switch (protocol) {
    case Protocol::kDefault: {
      const FormulaId ip = proto(number, Protocol::kIp);
      return either({ip, proto(number, Protocol::kIp6)});
    }
    case Protocol::kLink: return carries(number);
    case Protocol::kIp: {
      if (!within("the protocol number", number, 0xff)) return 0;
      const FormulaId ip = carries(kEtherIp);
      return both({ip, ip_protocol(number)});
    }
    case Protocol::kIp6: {  // directly, or behind a fragment header
      if (!within("the protocol number", number, 0xff)) return 0;
      const FormulaId ip6 = carries(kEtherIp6);
      const FormulaId directly = ip6_next_header(number);
      const FormulaId fragment = ip6_next_header(kProtocolIp6Fragment);
      return both({ip6, either({directly, both({fragment, equal(network(40, 1), number)})})});
    }
    case Protocol::kIso: {
      if (!within("the ISO protocol", number, 0xff)) return 0;
      if (layout_.family == LinkFamily::kFrameRelay) return equal(link(2, 2), 0x0300 | number);
      const FormulaId iso = carries(hdlc ? kSapIso << 8 | kSapIso : kSapIso);
      return both({iso, equal(network_no_snap(hdlc ? 1 : 0, 1), number)});  // Cisco puts a byte before
    }
    case Protocol::kIsis: {
      if (!within("the IS-IS PDU type", number, 0x1f)) return 0;
      const FormulaId isis = proto(kIsoIsis, Protocol::kIso);
      return both({isis, masked(network_no_snap(hdlc ? 5 : 4, 1), number, 0x1f)});
    }
    default: return bad_qualifier(name_of(protocol), "proto");
  }
}

FormulaId Binder::proto_named() {
  const Qualifiers& qualifiers = node().qualifiers;
  const Id& id = node().id;
  std::optional<std::uint32_t> number;
  if (id.kind == IdKind::kNumber) number = id.number;
  else if (qualifiers.protocol == Protocol::kDefault || qualifiers.protocol == Protocol::kIp ||
           qualifiers.protocol == Protocol::kIp6)
    number = resolver_.protocol(id.text);
  else if (qualifiers.protocol == Protocol::kLink) {
    number = ether_type_named(id.text);
    if (!number) number = llc_sap_named(id.text);
  } else if (qualifiers.protocol == Protocol::kIso) {
    number = iso_protocol_named(id.text);
  }
  if (!number)
    return refuse(fmt::format("unknown protocol '{}'", id.text), id.span,
                  qualifiers.protocol == Protocol::kIsis ? "'isis proto' takes a number" : "");
  if (qualifiers.type == Type::kProtoChain) return protocol_chain(*number, qualifiers.protocol);
  return proto(*number, qualifiers.protocol);
}

FormulaId Binder::isis_types(std::initializer_list<std::uint32_t> types) {
  SmallVector<FormulaId, 8> alternatives;
  for (const std::uint32_t type : types) alternatives.push_back(proto(type, Protocol::kIsis));
  return connect(FormulaKind::kOr, alternatives);
}

FormulaId Binder::protocol_alone(Protocol protocol) {
  // IS-IS PDU types, ISO/IEC 10589.
  constexpr std::uint32_t kL1Hello = 15, kL2Hello = 16, kPointHello = 17, kL1Lsp = 18, kL2Lsp = 20, kL1Csnp = 24,
                          kL2Csnp = 25, kL1Psnp = 26, kL2Psnp = 27;
  switch (protocol) {
    case Protocol::kSctp: return proto(kProtocolSctp, Protocol::kDefault);
    case Protocol::kTcp: return proto(kProtocolTcp, Protocol::kDefault);
    case Protocol::kUdp: return proto(kProtocolUdp, Protocol::kDefault);
    case Protocol::kPim: return proto(kProtocolPim, Protocol::kDefault);
    case Protocol::kAh: return proto(kProtocolAh, Protocol::kDefault);
    case Protocol::kEsp: return proto(kProtocolEsp, Protocol::kDefault);
    case Protocol::kIcmp: return proto(kProtocolIcmp, Protocol::kIp);
    case Protocol::kIgmp: return proto(kProtocolIgmp, Protocol::kIp);
    case Protocol::kIgrp: return proto(kProtocolIgrp, Protocol::kIp);
    case Protocol::kVrrp:
    case Protocol::kCarp: return proto(kProtocolVrrp, Protocol::kIp);
    case Protocol::kIcmp6: return proto(kProtocolIcmp6, Protocol::kIp6);
    case Protocol::kIp: return carries(kEtherIp);
    case Protocol::kIp6: return carries(kEtherIp6);
    case Protocol::kArp: return carries(kEtherArp);
    case Protocol::kRarp: return carries(kEtherRarp);
    case Protocol::kAtalk: return carries(kEtherAtalk);
    case Protocol::kAarp: return carries(kEtherAarp);
    case Protocol::kDecnet: return carries(kEtherDecnet);
    case Protocol::kSca: return carries(kEtherSca);
    case Protocol::kLat: return carries(kEtherLat);
    case Protocol::kMopdl: return carries(kEtherMopdl);
    case Protocol::kMoprc: return carries(kEtherMoprc);
    case Protocol::kIso: return carries(kSapIso);
    case Protocol::kStp: return carries(kSapSpanningTree);
    case Protocol::kIpx: return carries(kSapIpx);
    case Protocol::kNetbeui: return carries(kSapNetbeui);
    case Protocol::kEsis: return proto(kIsoEsis, Protocol::kIso);
    case Protocol::kIsis: return proto(kIsoIsis, Protocol::kIso);
    case Protocol::kClnp: return proto(kIsoClnp, Protocol::kIso);
    case Protocol::kIsisL1: return isis_types({kL1Psnp, kL1Csnp, kL1Lsp, kL1Hello, kPointHello});
    case Protocol::kIsisL2: return isis_types({kL2Psnp, kL2Csnp, kL2Lsp, kL2Hello, kPointHello});
    case Protocol::kIsisIih: return isis_types({kPointHello, kL1Hello, kL2Hello});
    case Protocol::kIsisLsp: return isis_types({kL1Lsp, kL2Lsp});
    case Protocol::kIsisSnp: return isis_types({kL2Psnp, kL1Psnp, kL1Csnp, kL2Csnp});
    case Protocol::kIsisCsnp: return isis_types({kL1Csnp, kL2Csnp});
    case Protocol::kIsisPsnp: return isis_types({kL1Psnp, kL2Psnp});
    default:
      return refuse(fmt::format("'{}' alone is no test", words_of(node().span)), node().span,
                    "add what it should be, as in 'ether host 00:11:22:33:44:55'");
  }
}

// The transport that a protocol qualifier names, or none for any; outer empty: refused.
std::optional<std::optional<std::uint32_t>> Binder::transport_of(Protocol protocol, std::string_view word) {
  switch (protocol) {
    case Protocol::kDefault: return std::optional<std::uint32_t>{};
    case Protocol::kTcp: return kProtocolTcp;
    case Protocol::kUdp: return kProtocolUdp;
    case Protocol::kSctp: return kProtocolSctp;
    default: bad_qualifier(name_of(protocol), word); return std::nullopt;
  }
}

// The transport asked for, or any that has ports.
template <typename Test>
FormulaId Binder::any_transport(std::optional<std::uint32_t> transport, Test carried) {
  if (transport) return carried(*transport);
  const FormulaId tcp = carried(kProtocolTcp);
  const FormulaId udp = carried(kProtocolUdp);
  return either({tcp, udp, carried(kProtocolSctp)});
}

FormulaId Binder::port4(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport,
                        Direction direction, std::string_view word) {
  const FormulaId ip = carries(kEtherIp);
  const FormulaId carried = any_transport(transport, [&](std::uint32_t number) { return ip_protocol(number); });
  const FormulaId fragment = first_fragment();
  const FormulaId ports = directed(
      direction,
      [&](Direction side) {
        const std::uint32_t at = side == Direction::kSource ? 0 : 2;
        if (first == last) return equal(transport4(at, 2), first);
        const FormulaId low = at_least(transport4(at, 2), first);
        return both({low, at_most(transport4(at, 2), last)});
      },
      word);
  return both({ip, carried, fragment, ports});
}

FormulaId Binder::port6(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport,
                        Direction direction, std::string_view word) {
  const FormulaId ip6 = walks_ip6() ? walk_ip6() : carries(kEtherIp6);
  const FormulaId carried = any_transport(transport, [&](std::uint32_t number) {
    return walks_ip6() ? equal(variable(chain_->first), number) : ip6_next_header(number);
  });
  const auto field = [&](std::uint32_t at) {
    if (!walks_ip6()) return transport6(at, 2);
    return load_at(variable(chain_->second), layout_.payload.constant + layout_.network + at, 2);
  };
  const FormulaId ports = directed(
      direction,
      [&](Direction side) {
        const std::uint32_t at = side == Direction::kSource ? 0 : 2;
        if (first == last) return equal(field(at), first);
        const FormulaId low = at_least(field(at), first);
        return both({low, at_most(field(at), last)});
      },
      word);
  return both({ip6, carried, ports});
}

FormulaId Binder::port(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport,
                       Direction direction, std::string_view word) {
  if (first > last) std::swap(first, last);
  const FormulaId six = port6(first, last, transport, direction, word);
  return either({six, port4(first, last, transport, direction, word)});
}

FormulaId Binder::port_number() {
  const Qualifiers& qualifiers = node().qualifiers;
  const auto transport = transport_of(qualifiers.protocol, name_of(qualifiers.type));
  if (!transport || !within("the port", node().id.number, 0xffff)) return 0;
  return port(node().id.number, node().id.number, *transport, qualifiers.direction, name_of(qualifiers.type));
}

// A number, or the name of a service; a name that only one transport knows stands for that transport alone.
std::optional<Binder::ResolvedPort> Binder::resolve_port(const std::string& text) {
  if (const std::optional<std::uint32_t> number = parse_number(text)) {
    if (!within("the port", *number, 0xffff)) return std::nullopt;
    return ResolvedPort{*number, std::nullopt};
  }
  const std::optional<ServicePorts> ports = resolver_.service(text);
  if (!ports) {
    const bool range = text.find('-') != std::string_view::npos && parse_number(text.substr(0, text.find('-')));
    refuse(fmt::format("no port is known as '{}'", text), node().id.span,
           range ? fmt::format("a range is written 'portrange {}'", text) : did_you_mean(text, known_words()));
    return std::nullopt;
  }
  if (ports->tcp && ports->udp && *ports->tcp == *ports->udp) return ResolvedPort{*ports->tcp, std::nullopt};
  if (ports->tcp) return ResolvedPort{*ports->tcp, kProtocolTcp};
  return ResolvedPort{*ports->udp, kProtocolUdp};
}

namespace {

std::string_view transport_name(std::uint32_t transport) { return transport == kProtocolTcp ? "TCP" : "UDP"; }

}  // namespace

FormulaId Binder::port_named() {
  const Qualifiers& qualifiers = node().qualifiers;
  const auto asked = transport_of(qualifiers.protocol, "port");
  if (!asked) return 0;
  const std::optional<ResolvedPort> found = resolve_port(node().id.text);
  if (!found) return 0;
  if (*asked && found->transport && **asked != *found->transport)
    return refuse(fmt::format("port '{}' is known for {} only", node().id.text, transport_name(*found->transport)),
                  node().id.span, fmt::format("write the number, {}", found->number));
  return port(found->number, found->number, *asked ? *asked : found->transport, qualifiers.direction, "port");
}

FormulaId Binder::port_range_named() {
  const Qualifiers& qualifiers = node().qualifiers;
  const std::string& text = node().id.text;
  const auto asked = transport_of(qualifiers.protocol, "portrange");
  if (!asked) return 0;
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos || dash == 0 || dash + 1 == text.size() ||
      text.find('-', dash + 1) != std::string::npos)
    return refuse(fmt::format("'{}' is not a range of ports", text), node().id.span, "as in 'portrange 6000-6008'");
  const std::optional<ResolvedPort> first = resolve_port(text.substr(0, dash));
  if (!first) return 0;
  const std::optional<ResolvedPort> last = resolve_port(text.substr(dash + 1));
  if (!last) return 0;
  std::optional<std::uint32_t> transport;
  if (first->transport == last->transport) transport = first->transport;
  if (*asked && transport && **asked != *transport)
    return refuse(fmt::format("the ports of '{}' are known for {} only", text, transport_name(*transport)),
                  node().id.span, fmt::format("write the numbers, {}-{}", first->number, last->number));
  return port(first->number, last->number, *asked ? *asked : transport, qualifiers.direction, "portrange");
}

}  // namespace weir::filter
