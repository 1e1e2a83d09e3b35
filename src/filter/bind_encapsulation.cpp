// What changes the layout for all tests after it: vlan, mpls, pppoes, geneve, vxlan, lane.
#include <fmt/format.h>

#include "filter/binder.h"

namespace weir::filter {

using packet::LinkType;

// People expect `vlan 5 or port 80` to test the port of untagged packets, and `not vlan and ip` to mean untagged IP;
// they do not, since a shift holds for all that is written after it.
void Binder::warn_of_shift(Span word, bool negated, const Node& later) {
  if (shifts_warned_ == shifts_.size()) return;
  shifts_warned_ = shifts_.size();
  const std::string text(words_of(word));
  const bool vlans = text.substr(0, 4) == "vlan" && words_of(later.span).substr(0, 4) == "vlan";
  std::string hint = fmt::format("put the tests of packets without it before '{}'", text);
  if (vlans && !negated) hint = "for one tag with several identifiers: 'vlan and (link[14:2] & 0xfff = 5 or ...)'";
  warnings_.push_back({.severity = Severity::kWarning,
                       .message = negated
                                      ? fmt::format("the tests after 'not {}' look behind it", text)
                                      : fmt::format("the tests after '{}' look behind it, also those after 'or'", text),
                       .place = word,
                       .hint = std::move(hint)});
}

FormulaId Binder::vlan_type() {
  const FormulaId q = carries(kEther8021q);
  const FormulaId ad = carries(kEther8021ad);
  return either({q, ad, carries(kEther8021qinq)});
}

FormulaId Binder::vlan() {
  if (layout_.label_depth > 0)
    return refuse("'vlan' cannot be found behind 'mpls'", node().span, {}, ErrorCode::kUnsupported);
  const bool possible = layout_.family == LinkFamily::kEthernet ||
                        (layout_.family == LinkFamily::kWlan && layout_.type != LinkType::kPpi);
  if (!possible) return not_on_this_link("vlan");
  if (options_.vlan == VlanMode::kAuto && !layout_.encapsulated && layout_.family == LinkFamily::kEthernet)
    return vlan_auto();
  const bool outermost = layout_.type == LinkType::kEthernet && layout_.vlan_depth == 0 &&
                         !layout_.link_header.variable && layout_.link_header.constant == outer_link_header_.constant;
  const FormulaId result = options_.platform == Platform::kLinux && outermost ? vlan_linux() : vlan_tagged();
  ++layout_.vlan_depth;
  shifts_.push_back(node().span);
  return result;
}

FormulaId Binder::vlan_tagged() {
  FormulaId result = vlan_type();
  if (has_operand())
    result = both({result, operand_test([&] { return network(0, 2); }, 0x0fff, 0, "the VLAN identifier", 0xfff)});
  layout_.payload.constant += 4;
  layout_.type_field.constant += 4;
  return result;
}

// Linux takes the outer tag out of the packet and keeps it beside: then nothing shifts. A tag that is still in the
// packet shifts at run time.
FormulaId Binder::vlan_linux() {
  const VariableId payload = new_variable();
  const VariableId type = new_variable();
  const auto beside = [&] { return equal(extension(cbpf::Extension::kVlanPresent), 1); };
  const FormulaId taken = beside();
  const FormulaId shift_payload = assign(payload, binary(TermOp::kAdd, variable(payload), constant(4)));
  const FormulaId shift_type = assign(type, binary(TermOp::kAdd, variable(type), constant(4)));
  FormulaId result = either({taken, both({shift_payload, shift_type, vlan_type()})});
  if (has_operand()) {
    const auto identifier_in = [&](auto field) { return operand_test(field, 0x0fff, 0, "the VLAN identifier", 0xfff); };
    const FormulaId present = beside();
    const FormulaId from_metadata = identifier_in([&] { return extension(cbpf::Extension::kVlanTci); });
    const FormulaId absent = negate(beside());
    const FormulaId from_packet = identifier_in([&] { return network(0, 2); });
    result = both({result, either({both({present, from_metadata}), both({absent, from_packet})})});
  }
  layout_.payload.variable = payload;
  layout_.type_field.variable = type;
  return result;
}

FormulaId Binder::mpls() {
  FormulaId result = 0;
  if (layout_.label_depth > 0) {
    result = masked(load(layout_.payload, layout_.network - 2, 1), 0, 0x01);  // the label before is not the last
  } else if (layout_.family == LinkFamily::kCiscoHdlc || layout_.family == LinkFamily::kEthernet) {
    result = carries(kEtherMpls);
  } else if (layout_.type == LinkType::kPpp) {
    result = carries(0x0281);  // PPP protocol number of MPLS unicast, RFC 3032
  } else {
    return not_on_this_link("mpls");
  }
  if (has_operand())
    result = both({result, operand_test([&] { return network(0, 4); }, 0xfffff000, 12, "the MPLS label", 0xfffff)});
  layout_.network += 4;
  layout_.network_no_snap += 4;
  ++layout_.label_depth;
  shifts_.push_back(node().span);
  return result;
}

FormulaId Binder::pppoes() {
  FormulaId result = carries(kEtherPppoeSession);
  if (has_operand())
    result = both({result, operand_test([&] { return network(2, 2); }, 0xffffffff, 0, "the PPPoE session", 0xffff)});
  // A PPP packet without HDLC framing follows the 6 bytes of the PPPoE header.
  layout_.previous_link_header = layout_.link_header;
  layout_.link_header = {layout_.payload.variable, layout_.payload.constant + layout_.network + 6};
  layout_.type = LinkType::kPpp;
  layout_.family = LinkFamily::kPpp;
  layout_.type_field = layout_.link_header;
  layout_.payload.constant = layout_.link_header.constant + 2;
  layout_.network = layout_.network_no_snap = 0;
  shifts_.push_back(node().span);
  return result;
}

void Binder::push_ethernet(VariableId header, VariableId type, VariableId payload) {
  layout_.previous_link_header = layout_.link_header;
  layout_.type = LinkType::kEthernet;
  layout_.family = LinkFamily::kEthernet;
  layout_.link_header = {header, 0};
  layout_.type_field = {type, 0};
  layout_.payload = {payload, 0};
  layout_.network = 0;
  layout_.encapsulated = true;
  shifts_.push_back(node().span);
}

FormulaId Binder::tunnel_check(bool geneve, bool ipv6) {
  const std::uint32_t number = geneve ? options_.geneve_port : options_.vxlan_port;
  const auto behind_udp = [&](std::uint32_t more, std::uint8_t size) {
    if (ipv6 && walks_ip6())
      return load_at(variable(chain_->second), layout_.payload.constant + layout_.network + 8 + more, size);
    return ipv6 ? transport6(8 + more, size) : transport4(8 + more, size);
  };
  SmallVector<FormulaId, 8> parts;
  parts.push_back(ipv6 ? port6(number, number, kProtocolUdp, Direction::kDestination, "port")
                       : port4(number, number, kProtocolUdp, Direction::kDestination, "port"));
  parts.push_back(geneve ? masked(behind_udp(0, 1), 0, 0xc0) : equal(behind_udp(0, 1), 0x08));
  if (has_operand())
    parts.push_back(operand_test([&] { return behind_udp(4, 4); }, 0xffffff00, 8, "the network identifier", 0xffffff));
  return connect(FormulaKind::kAnd, parts);
}

// Geneve and VXLAN over UDP, IPv4 or IPv6. Where the inner headers start is known at run time only: the length of the
// IP header varies, and Geneve has options and may carry packets without an Ethernet header.
FormulaId Binder::tunnel(bool geneve) {
  const VariableId ip_length = new_variable();
  const VariableId header = new_variable();
  const VariableId type = new_variable();
  const VariableId payload = new_variable();

  const FormulaId check4 = tunnel_check(geneve, false);
  const FormulaId length4 = assign(ip_length, ipv4_header_length());
  const FormulaId check6 = tunnel_check(geneve, true);
  TermId fixed = walks_ip6() ? variable(chain_->second) : constant(40);
  if (layout_.payload.variable && !walks_ip6())
    fixed = binary(TermOp::kAdd, fixed, variable(*layout_.payload.variable));
  const FormulaId length6 = assign(ip_length, fixed);
  SmallVector<FormulaId, 8> steps;
  steps.push_back(either({both({check4, length4}), both({check6, length6})}));

  const std::uint32_t tunnel_header = layout_.payload.constant + layout_.network + 8;  // behind UDP, from ip_length
  const auto plus = [&](VariableId v, std::uint32_t k) { return binary(TermOp::kAdd, variable(v), constant(k)); };
  if (geneve) {
    steps.push_back(assign(type, plus(ip_length, tunnel_header + 2)));
    const TermId options = binary(TermOp::kAnd, load_at(variable(ip_length), tunnel_header, 1), constant(0x3f));
    const TermId option_bytes = binary(TermOp::kMultiply, options, constant(4));
    const TermId length = binary(TermOp::kAdd, option_bytes, constant(8));
    steps.push_back(assign(header, binary(TermOp::kAdd, length, plus(ip_length, tunnel_header))));
    const FormulaId ethernet = equal(load_at(variable(ip_length), tunnel_header + 2, 2), kEtherTransparentBridging);
    const FormulaId inner_type = assign(type, plus(header, 12));
    const FormulaId inner_payload = assign(payload, plus(header, 14));
    const FormulaId no_ethernet = assign(payload, variable(header));
    steps.push_back(either({both({ethernet, inner_type, inner_payload}), no_ethernet}));
  } else {
    steps.push_back(assign(header, plus(ip_length, tunnel_header + 8)));
    steps.push_back(assign(type, plus(header, 12)));
    steps.push_back(assign(payload, plus(header, 14)));
  }
  push_ethernet(header, type, payload);
  return connect(FormulaKind::kAnd, steps);
}

// ATM LAN emulation: Ethernet behind a two-byte LANE header.
FormulaId Binder::lane() {
  const FormulaId result = masked(link(0, 1), 0x01, 0x0f);
  layout_.previous_link_header = layout_.link_header;
  layout_.type = LinkType::kEthernet;
  layout_.family = LinkFamily::kEthernet;
  layout_.link_header = {std::nullopt, 4 + 2};
  layout_.type_field = {std::nullopt, 4 + 2 + 12};
  layout_.payload = {std::nullopt, 4 + 2 + 14};
  layout_.network = 0;
  layout_.network_no_snap = 3;
  layout_.lane = true;
  shifts_.push_back(node().span);
  return result;
}

}  // namespace weir::filter
