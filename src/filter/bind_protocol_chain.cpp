// `protochain`: a protocol anywhere in the chain of headers behind an IP header. Exports Binder::protocol_chain.
//
// libpcap makes a loop, which no kernel takes. Here the loop is unrolled: kLongestChain headers are walked; a packet
// with more of them in front is rejected, as one whose chain leads out of the packet is. Headers walked, as in libpcap:
// over IPv6 hop-by-hop options, destination options, routing and fragment headers, over both Authentication Headers.
// libpcap restarts at the length of an Authentication Header, not behind it, so that it misses what follows a second
// one; what it documents is done here. Sources: RFC 8200, 4; RFC 4302, 2.
#include "filter/binder.h"

namespace weir::filter {
namespace {

constexpr int kLongestChain = 16;

}  // namespace

FormulaId Binder::protocol_chain(std::uint32_t number, Protocol protocol) {
  if (protocol == Protocol::kDefault) {
    const FormulaId ip = protocol_chain(number, Protocol::kIp);
    return either({ip, protocol_chain(number, Protocol::kIp6)});
  }
  if (protocol != Protocol::kIp && protocol != Protocol::kIp6) return bad_qualifier(name_of(protocol), "protochain");
  if (!within("the protocol number", number, 0xff)) return 0;
  if (layout_.payload.variable)
    return refuse("'protochain' is not possible behind headers of variable length", node().span,
                  "802.11, 'geneve' and 'vxlan' have such headers", ErrorCode::kUnsupported);
  const bool ipv6 = protocol == Protocol::kIp6;
  const FormulaId carried = carries(ipv6 ? kEtherIp6 : kEtherIp);
  // One pair serves all chains of a filter, as the classic machine has but sixteen scratch words.
  if (!chain_) chain_ = {new_variable(), new_variable()};
  const auto [next, at] = *chain_;
  const FormulaId first = assign(next, network(ipv6 ? 6 : 9, 1));
  const FormulaId start = assign(at, ipv6 ? constant(40) : ipv4_header_length());
  return both({carried, first, start, rest_of_chain(number, ipv6, next, at)});
}

// From the last step to the first, as each holds the one after it. Variables `next` and `at` hold the number and the
// place, from the IP header on, of the header that comes next.
FormulaId Binder::rest_of_chain(std::uint32_t number, bool ipv6, VariableId next, VariableId at) {
  const std::uint32_t base = layout_.payload.constant + layout_.network;
  const auto is = [&](std::uint32_t protocol) { return equal(variable(next), protocol); };
  // The header's length is (its second byte + `add`) units of `unit` bytes.
  const auto skip = [&](FormulaId this_header, std::uint32_t add, std::uint32_t unit) {
    const FormulaId read_next = assign(next, load_at(variable(at), base, 1));
    const TermId units = binary(TermOp::kAdd, load_at(variable(at), base + 1, 1), constant(add));
    const TermId length = binary(TermOp::kMultiply, units, constant(unit));
    return both({this_header, read_next, assign(at, binary(TermOp::kAdd, variable(at), length))});
  };
  constexpr std::uint32_t kBeyondAnyPacket = 0x7fffffff;
  FormulaId rest = equal(load_at(kNoTerm, kBeyondAnyPacket, 1), 0);  // too long a chain: rejects
  for (int step = 0; step < kLongestChain; ++step) {
    FormulaId walk = skip(is(kProtocolAh), 2, 4);
    if (ipv6) {
      const FormulaId hop_by_hop = is(0);
      const FormulaId destination = is(60);
      const FormulaId routing = is(43);
      const FormulaId options = either({hop_by_hop, destination, routing, is(kProtocolIp6Fragment)});
      walk = either({skip(options, 1, 8), walk});
    }
    const FormulaId found = is(number);
    rest = either({found, both({walk, rest})});
  }
  return rest;
}

}  // namespace weir::filter
