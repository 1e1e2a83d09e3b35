// Looking through headers: IPv6 extension headers before a transport (`--ip6=walk`), VLAN tags before everything
// (`--vlan=auto`). Neither is libpcap's; both are bounded, so that every kernel takes the programs.
//
// Extension headers: hop-by-hop and destination options, routing, mobility, HIP and shim6 headers have their length in
// units of eight bytes (RFC 8200, RFC 6564), an Authentication Header in units of four (RFC 4302), a fragment header
// has eight bytes; a fragment that is not the first has no transport header. A chain of more than kMostHeaders ends
// the walk where it is: the transport is then not found. Tags are passed once, before all tests, if any test needs it.
#include "filter/binder.h"

namespace weir::filter {
namespace {

constexpr int kMostHeaders = 8;
constexpr int kMostTags = 2;

}  // namespace

// The packet is IPv6; then chain_ holds the number of the first header that is no extension, and where it starts,
// counted from where the constant part of the network header's place ends.
FormulaId Binder::walk_ip6() {
  if (!chain_) chain_ = {new_variable(), new_variable()};
  const auto [next, at] = *chain_;
  const std::uint32_t base = layout_.payload.constant + layout_.network;
  const auto is = [&, next_header = next](std::uint32_t number) { return equal(variable(next_header), number); };
  const auto here = [&, place = at](std::uint32_t more, std::uint8_t size) {
    return load_at(variable(place), base + more, size);
  };
  const auto advance = [&, place = at](TermId bytes) {
    return assign(place, binary(TermOp::kAdd, variable(place), bytes));
  };
  const auto units = [&](std::uint32_t more, std::uint32_t size) {
    return binary(TermOp::kMultiply, binary(TermOp::kAdd, here(1, 1), constant(more)), constant(size));
  };
  const FormulaId ip6 = carries(kEtherIp6);
  SmallVector<FormulaId, 16> steps{ip6, assign(next, network(6, 1))};
  TermId start = constant(40);
  if (layout_.payload.variable) start = binary(TermOp::kAdd, start, variable(*layout_.payload.variable));
  steps.push_back(assign(at, start));
  for (int i = 0; i < kMostHeaders; ++i) {
    SmallVector<FormulaId, 8> kinds;
    for (const std::uint32_t number : {0u, 60u, 43u, 135u, 139u, 140u}) kinds.push_back(is(number));
    const FormulaId options = connect(FormulaKind::kOr, kinds);
    const FormulaId next_of_options = assign(next, here(0, 1));
    const FormulaId skip_options = both({options, next_of_options, advance(units(1, 8))});
    const FormulaId fragment = is(kProtocolIp6Fragment);
    const FormulaId first = masked(here(2, 2), 0, 0xfff8);
    const FormulaId next_of_fragment = assign(next, here(0, 1));
    const FormulaId skip_fragment = both({first, next_of_fragment, advance(constant(8))});
    const FormulaId no_transport = assign(next, constant(59));  // no next header
    const FormulaId fragments = both({fragment, either({skip_fragment, no_transport})});
    const FormulaId authentication = is(kProtocolAh);
    const FormulaId next_of_ah = assign(next, here(0, 1));
    const FormulaId skip_ah = both({authentication, next_of_ah, advance(units(2, 4))});
    steps.push_back(attempt(either({skip_options, fragments, skip_ah})));
  }
  return connect(FormulaKind::kAnd, steps);
}

// The packet has this transport over IPv4 or IPv6; then transport_ holds where its header starts.
FormulaId Binder::transport_anywhere(Protocol protocol) {
  const std::uint32_t number = protocol == Protocol::kTcp   ? kProtocolTcp
                               : protocol == Protocol::kUdp ? kProtocolUdp
                                                            : kProtocolSctp;
  if (!transport_) transport_ = new_variable();
  const FormulaId ip = carries(kEtherIp);
  const FormulaId carried = ip_protocol(number);
  const FormulaId fragment = first_fragment();
  const FormulaId over_ip4 = both({ip, carried, fragment, assign(*transport_, ipv4_header_length())});
  const FormulaId walk = walk_ip6();
  const FormulaId found = equal(variable(chain_->first), number);
  return either({over_ip4, both({walk, found, assign(*transport_, variable(chain_->second))})});
}

void Binder::look_through_tags() {
  if (layout_.family != LinkFamily::kEthernet) return;
  tags_ = new_variable();
  layout_.type_field.variable = layout_.payload.variable = tags_;
}

// Run before all tests.
FormulaId Binder::pass_tags() {
  const std::uint32_t type_field_at = outer_type_field_;
  const auto type = [&] { return load_at(variable(*tags_), type_field_at, 2); };
  SmallVector<FormulaId, 4> steps;
  for (int i = 0; i < kMostTags; ++i) {
    const FormulaId q = equal(type(), kEther8021q);
    const FormulaId ad = equal(type(), kEther8021ad);
    const FormulaId tagged = either({q, ad, equal(type(), kEther8021qinq)});
    const FormulaId pass = assign(*tags_, binary(TermOp::kAdd, variable(*tags_), constant(4)));
    steps.push_back(attempt(both({tagged, pass})));
  }
  return connect(FormulaKind::kAnd, steps);
}

// The packet has a tag, or one of its first two tags has an identifier that was asked for. Linux may keep the outer
// tag beside the packet.
FormulaId Binder::vlan_auto() {
  const auto tagged_at = [&](std::uint32_t more) {
    const auto type = [&] { return load_at(kNoTerm, outer_type_field_ + more, 2); };
    const FormulaId q = equal(type(), kEther8021q);
    const FormulaId ad = equal(type(), kEther8021ad);
    return either({q, ad, equal(type(), kEther8021qinq)});
  };
  const auto identifier = [&](auto field) { return operand_test(field, 0x0fff, 0, "the VLAN identifier", 0xfff); };
  const auto identifier_at = [&](std::uint32_t more) {
    return identifier([&] { return load_at(kNoTerm, outer_type_field_ + more + 2, 2); });
  };
  FormulaId result = tagged_at(0);
  if (has_operand()) {
    const FormulaId outer = identifier_at(0);
    const FormulaId tagged_twice = tagged_at(4);
    result = both({result, either({outer, both({tagged_twice, identifier_at(4)})})});
  }
  if (options_.platform != Platform::kLinux || layout_.type != packet::LinkType::kEthernet) return result;
  FormulaId beside = equal(extension(cbpf::Extension::kVlanPresent), 1);
  if (has_operand()) beside = both({beside, identifier([&] { return extension(cbpf::Extension::kVlanTci); })});
  return either({beside, result});
}

}  // namespace weir::filter
