// The binder's state and rules: Binder turns one tree into one formula.
//
// bind.cpp walks the tree; bind_link.cpp tests what a link layer carries, bind_address.cpp hosts and nets,
// bind_transport.cpp protocols and ports, bind_protocol_chain.cpp chains of IP headers, bind_arithmetic.cpp relations,
// bind_encapsulation.cpp what shifts the layout (vlan, mpls, pppoes, geneve, vxlan), bind_wlan.cpp 802.11,
// bind_set.cpp sets from files and ranges of numbers, bind_extension.cpp IPv6 extension headers and tags that are
// looked through, contradiction.cpp tests that cannot hold together, bind_special.cpp the rest. The first error stops
// everything: rules return at once with some node when error_ is set.
#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <weir/base/small_vector.h>
#include <weir/filter/bind.h>

#include "filter/contradiction.h"
#include "filter/layout.h"
#include "filter/names.h"

namespace weir::filter {

class Binder {
 public:
  Binder(const Ast& ast, const BindOptions& options);
  Result<BindResult> run();

 private:
  // --- terms and formulas
  TermId term(const Term& wanted);
  TermId constant(std::uint32_t k);
  TermId variable(VariableId v) { return term({.op = TermOp::kVariable, .k = v}); }
  TermId binary(TermOp op, TermId a, TermId b) { return term({.op = op, .a = a, .b = b}); }
  TermId load_at(TermId base, std::uint32_t k, std::uint8_t size);
  TermId load(const Offset& offset, std::uint32_t more, std::uint8_t size);
  TermId extension(cbpf::Extension which);
  FormulaId yes() { return bound_.add({.kind = FormulaKind::kTrue}); }
  FormulaId no() { return bound_.add({.kind = FormulaKind::kFalse}); }
  FormulaId both(std::initializer_list<FormulaId> children);
  FormulaId either(std::initializer_list<FormulaId> children);
  FormulaId connect(FormulaKind kind, std::span<const FormulaId> children);
  FormulaId negate(FormulaId f);
  FormulaId attempt(FormulaId f);
  FormulaId test(flow::Condition condition, TermId lhs, TermId rhs);
  FormulaId equal(TermId lhs, std::uint32_t k) { return test(flow::Condition::kEqual, lhs, constant(k)); }
  FormulaId masked(TermId lhs, std::uint32_t k, std::uint32_t mask);
  FormulaId bits_set(TermId lhs, std::uint32_t bits) { return test(flow::Condition::kBitsSet, lhs, constant(bits)); }
  FormulaId at_most(TermId lhs, std::uint32_t k) { return negate(test(flow::Condition::kGreater, lhs, constant(k))); }
  FormulaId at_least(TermId lhs, std::uint32_t k) { return test(flow::Condition::kGreaterOrEqual, lhs, constant(k)); }
  FormulaId compare(Relation relation, TermId lhs, TermId rhs);
  FormulaId assign(VariableId v, TermId value);
  FormulaId bytes_equal(const Offset& offset, std::uint32_t more, std::span<const std::uint8_t> bytes);
  VariableId new_variable() { return bound_.variable_count++; }

  // --- places
  TermId link(std::uint32_t more, std::uint8_t size) { return load(layout_.link_header, more, size); }
  TermId llc(std::uint32_t more, std::uint8_t size) { return load(layout_.payload, more, size); }
  TermId type_field(std::uint32_t more, std::uint8_t size) { return load(layout_.type_field, more, size); }
  TermId network(std::uint32_t more, std::uint8_t size) { return load(layout_.payload, layout_.network + more, size); }
  TermId network_no_snap(std::uint32_t more, std::uint8_t size) {
    return load(layout_.payload, layout_.network_no_snap + more, size);
  }
  TermId ipv4_header_length();  // plus the variable part of the payload's offset
  TermId transport4(std::uint32_t more, std::uint8_t size);
  TermId transport6(std::uint32_t more, std::uint8_t size) { return network(40 + more, size); }
  void use(const Offset& offset);
  FormulaId prelude(FormulaId root);

  // --- errors
  FormulaId refuse(std::string message, Span span, std::string hint = {}, ErrorCode code = ErrorCode::kBadInput);
  FormulaId not_on_this_link(std::string_view word, std::string hint = {});
  FormulaId bad_qualifier(std::string_view qualifier, std::string_view word);
  FormulaId not_a_link_address();
  bool within(std::string_view what, std::uint32_t value, std::uint32_t most);
  const Node& node() const { return *node_; }
  std::string_view words_of(Span span) const;  // as the user wrote them

  // --- the walk
  void refuse_no_match(FormulaId root);
  FormulaId walk();
  void warn_of_contradiction(const Node& connective, std::span<const FormulaId> bound);
  FormulaId leaf(const Node& node);
  FormulaId primitive();
  FormulaId members_of_file();
  FormulaId file_member(std::string_view word, const std::string& place);
  bool has_operand() const { return !node().values.empty(); }
  FormulaId special();
  FormulaId relation();
  FormulaId protocol_alone(Protocol protocol);

  // --- link layer
  FormulaId carries(std::uint32_t protocol);  // an EtherType, or an LLC SAP when at most 1500
  FormulaId ethernet_carries(std::uint32_t protocol);
  FormulaId sll_carries(std::uint32_t protocol);
  FormulaId llc_carries(std::uint32_t protocol);
  FormulaId loopback_carries(std::uint32_t protocol);
  FormulaId ppp_carries(std::uint32_t protocol);
  FormulaId arcnet_carries(std::uint32_t protocol);
  FormulaId frame_relay_carries(std::uint32_t protocol);
  FormulaId mpls_carries(std::uint32_t protocol);
  FormulaId snap(std::uint32_t organisation, std::uint32_t type);
  FormulaId has_ethernet();  // inside of Geneve or LANE: that there is an Ethernet header; kTrue elsewhere
  FormulaId mac48(const Mac48& mac, Direction direction, std::string_view word);
  FormulaId mac8(std::uint8_t mac, Direction direction, std::string_view word);
  FormulaId mac48_named(const std::string& name, Direction direction, std::string_view word);
  bool link_has_mac48() const;

  // --- addresses
  FormulaId host4(std::uint32_t address, std::uint32_t mask, Protocol protocol, Direction direction, Type type);
  FormulaId host4_at(std::uint32_t address, std::uint32_t mask, Direction direction, std::uint32_t source,
                     std::uint32_t destination);
  FormulaId host6(const Ipv6Address& address, std::uint32_t prefix, Protocol protocol, Direction direction, Type type);
  FormulaId host6_at(const Ipv6Address& address, std::uint32_t prefix, std::uint32_t offset);
  FormulaId host_named(const std::string& name, Protocol protocol4, Protocol protocol6, Direction direction);
  FormulaId decnet_at(std::uint32_t address, Direction direction);
  FormulaId net_named();
  FormulaId gateway();
  FormulaId ipv4_id();
  FormulaId ipv4_net(std::uint32_t address, int address_bits, std::uint32_t mask);
  FormulaId ipv6_id();
  FormulaId scoped(FormulaId address, const std::string& interface);
  template <typename One>
  FormulaId directed(Direction direction, One one, std::string_view word);

  // --- protocols and ports
  FormulaId proto(std::uint32_t number, Protocol protocol);
  FormulaId proto_named();
  FormulaId protocol_chain(std::uint32_t number, Protocol protocol);
  FormulaId rest_of_chain(std::uint32_t number, bool ipv6, VariableId next, VariableId at);
  FormulaId ip_protocol(std::uint32_t number) { return equal(network(9, 1), number); }
  FormulaId ip6_next_header(std::uint32_t number) { return equal(network(6, 1), number); }
  FormulaId first_fragment();
  FormulaId port(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport, Direction direction,
                 std::string_view word);
  template <typename Test>
  FormulaId any_transport(std::optional<std::uint32_t> transport, Test carried);
  FormulaId port4(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport, Direction direction,
                  std::string_view word);
  FormulaId port6(std::uint32_t first, std::uint32_t last, std::optional<std::uint32_t> transport, Direction direction,
                  std::string_view word);
  std::optional<std::optional<std::uint32_t>> transport_of(Protocol protocol, std::string_view word);
  struct ResolvedPort {
    std::uint32_t number = 0;
    std::optional<std::uint32_t> transport{};
  };
  std::optional<ResolvedPort> resolve_port(const std::string& text);
  FormulaId port_number();
  FormulaId port_named();
  FormulaId port_range_named();
  FormulaId isis_types(std::initializer_list<std::uint32_t> types);

  // --- IPv6 extension headers, tags looked through
  bool walks_ip6() const { return options_.ip6 == Ip6Headers::kWalk; }
  FormulaId walk_ip6();
  FormulaId transport_anywhere(Protocol protocol);
  void look_through_tags();
  FormulaId pass_tags();

  // --- arithmetic
  struct Operand {
    TermId term = kNoTerm;
    std::optional<FormulaId> check{};  // the protocols that must be there
  };
  std::optional<Operand> arithmetic(NodeId root);
  std::optional<Operand> combine(const Node& op, const std::vector<Operand>& operands);
  std::optional<Operand> indexed(const Node& load, const Operand& index);
  using Checks = SmallVector<FormulaId, 4>;
  TermId behind_ip(Protocol protocol, const Operand& index, std::uint8_t size, Checks& checks);
  bool check_constant(const Node& op);

  // --- encapsulation
  FormulaId vlan();
  FormulaId vlan_tagged();
  FormulaId vlan_linux();
  FormulaId vlan_auto();
  FormulaId vlan_type();
  FormulaId mpls();
  FormulaId pppoes();
  FormulaId tunnel(bool geneve);
  FormulaId tunnel_check(bool geneve, bool ipv6);
  FormulaId lane();
  void push_ethernet(VariableId header, VariableId type, VariableId payload);
  template <typename Field>
  FormulaId operand_test(Field field, std::uint32_t mask, std::uint32_t shift, std::string_view what,
                         std::uint32_t most);
  void warn_of_shift(Span word, bool negated, const Node& later);

  // --- 802.11
  FormulaId wlan_host(const Mac48& mac, Direction direction);
  template <typename AddressTest>
  FormulaId wlan_destination(AddressTest address);
  FormulaId wlan_source(const Mac48& mac);
  FormulaId wlan_payload_offset(VariableId header, VariableId payload);

  // --- special
  FormulaId broadcast();
  FormulaId multicast();
  FormulaId byte_test();
  FormulaId inbound(bool outbound);
  FormulaId ifindex();
  FormulaId llc_kind();
  FormulaId llc_frame();
  FormulaId pf();
  FormulaId wlan_field();
  FormulaId atm();
  FormulaId atm_type();
  FormulaId ss7();

  const Ast& ast_;
  const BindOptions& options_;
  Resolver& resolver_;
  Bound bound_;
  std::array<TermId, 64> recent_terms_{};  // by hash: a term, if it is the one looked for
  Layout layout_;
  Offset outer_link_header_{};
  std::optional<VariableId> header_variable_;               // of the radio header
  std::optional<VariableId> payload_variable_;              // of the 802.11 or PFLOG header
  std::optional<std::pair<VariableId, VariableId>> chain_;  // of protochain: the next header's number and place
  std::optional<VariableId> transport_;                     // where a transport header is, over IPv4 or IPv6
  std::optional<VariableId> tags_;                          // bytes of VLAN tags that are looked through
  std::uint32_t outer_type_field_ = 0;                      // the constant part of its place, before any encapsulation
  bool tags_used_ = false;
  bool header_used_ = false;
  bool payload_used_ = false;
  const Node* node_ = nullptr;         // the leaf being bound
  std::vector<Span> no_match_;         // leaves that no packet of the link type can match
  std::vector<Span> shifts_;           // the words that shifted the layout, in the order written
  std::size_t shifts_warned_ = 0;      // how many of them were there when the last warning was given
  std::optional<Span> negated_shift_;  // a shift under a `not` just left: it holds for the next leaf too
  Warnings warnings_;
  std::optional<Error> error_;
};

// Binds `one(direction)` for source, destination, or both of them joined as the direction says.
template <typename One>
FormulaId Binder::directed(Direction direction, One one, std::string_view word) {
  switch (direction) {
    case Direction::kSource:
    case Direction::kDestination: return one(direction);
    case Direction::kSourceAndDestination: {
      const FormulaId source = one(Direction::kSource);
      return both({source, one(Direction::kDestination)});
    }
    case Direction::kDefault:
    case Direction::kSourceOrDestination: {
      const FormulaId source = one(Direction::kSource);
      return either({source, one(Direction::kDestination)});
    }
    default: return bad_qualifier(name_of(direction), word);
  }
}

// The number after the word, compared with a field: its value, or the ranges that hold it. What libpcap does of one
// number is an equality.
template <typename Field>
FormulaId Binder::operand_test(Field field, std::uint32_t mask, std::uint32_t shift, std::string_view what,
                               std::uint32_t most) {
  for (const std::uint32_t value : node().values)
    if (!within(what, value, most)) return 0;
  const auto& values = node().values;
  if (values.size() == 1) return masked(field(), values[0] << shift, mask);
  SmallVector<FormulaId, 8> ranges;
  for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
    const auto value = [&] { return mask == 0xffffffff ? field() : binary(TermOp::kAnd, field(), constant(mask)); };
    if (values[i] == values[i + 1]) {
      ranges.push_back(equal(value(), values[i] << shift));
      continue;
    }
    const FormulaId low = at_least(value(), values[i] << shift);
    ranges.push_back(both({low, at_most(value(), values[i + 1] << shift)}));
  }
  return connect(FormulaKind::kOr, ranges);
}

}  // namespace weir::filter
