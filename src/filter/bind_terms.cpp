// The small pieces that formulas are made of, the code that runs before all tests, and errors.
#include <fmt/format.h>

#include "filter/binder.h"

namespace weir::filter {

// Long lists ask for the same loads again and again: those made lately are found again.
TermId Binder::term(const Term& wanted) {
  const std::uint32_t mixed =
      (static_cast<std::uint32_t>(wanted.op) * 131 + wanted.size + wanted.a * 37 + wanted.b * 101 + wanted.k) *
      0x9e3779b1u;
  TermId& recent = recent_terms_[mixed >> 26];
  if (recent < bound_.terms.size() && bound_.terms[recent] == wanted) return recent;
  return recent = bound_.add(wanted);
}

TermId Binder::constant(std::uint32_t k) { return term({.op = TermOp::kConstant, .k = k}); }

TermId Binder::load_at(TermId base, std::uint32_t k, std::uint8_t size) {
  return term({.op = TermOp::kLoad, .size = size, .a = base, .k = k});
}

TermId Binder::load(const Offset& offset, std::uint32_t more, std::uint8_t size) {
  use(offset);
  return load_at(offset.variable ? variable(*offset.variable) : kNoTerm, offset.constant + more, size);
}

TermId Binder::extension(cbpf::Extension which) {
  return term({.op = TermOp::kExtension, .k = static_cast<std::uint32_t>(which)});
}

// What is true or false whatever the packet decides at once, and what stands beside it is then not tested: so a link
// type that carries nothing but IPv4 makes `igmp or ip` match every packet, however short. libpcap does the same.
FormulaId Binder::connect(FormulaKind kind, std::span<const FormulaId> children) {
  const FormulaKind decides = kind == FormulaKind::kAnd ? FormulaKind::kFalse : FormulaKind::kTrue;
  const FormulaKind changes_nothing = kind == FormulaKind::kAnd ? FormulaKind::kTrue : FormulaKind::kFalse;
  SmallVector<FormulaId, 4> kept;
  for (const FormulaId child : children) {
    if (bound_.nodes[child].kind == decides) return child;
    if (bound_.nodes[child].kind != changes_nothing) kept.push_back(child);
  }
  if (kept.empty()) return children.empty() ? bound_.add({.kind = changes_nothing}) : children.front();
  if (kept.size() == 1) return kept.front();
  return bound_.add({.kind = kind, .children = std::move(kept)});
}

FormulaId Binder::both(std::initializer_list<FormulaId> children) {
  return connect(FormulaKind::kAnd, {children.begin(), children.size()});
}
FormulaId Binder::either(std::initializer_list<FormulaId> children) {
  return connect(FormulaKind::kOr, {children.begin(), children.size()});
}

FormulaId Binder::negate(FormulaId f) {
  if (bound_.nodes[f].kind == FormulaKind::kTrue) return no();
  if (bound_.nodes[f].kind == FormulaKind::kFalse) return yes();
  return bound_.add({.kind = FormulaKind::kNot, .children = {f}});
}

// Does its steps for what they assign, and is true either way.
FormulaId Binder::attempt(FormulaId f) { return bound_.add({.kind = FormulaKind::kOr, .children = {f, yes()}}); }

FormulaId Binder::test(flow::Condition condition, TermId lhs, TermId rhs) {
  return bound_.add({.kind = FormulaKind::kTest, .condition = condition, .lhs = lhs, .rhs = rhs});
}

// A mask of 0 leaves nothing to load: libpcap does not load then either.
FormulaId Binder::masked(TermId lhs, std::uint32_t k, std::uint32_t mask) {
  if (mask == 0) return k == 0 ? yes() : no();
  return equal(mask == 0xffffffff ? lhs : binary(TermOp::kAnd, lhs, constant(mask)), k);
}

FormulaId Binder::compare(Relation relation, TermId lhs, TermId rhs) {
  switch (relation) {
    case Relation::kEqual: return test(flow::Condition::kEqual, lhs, rhs);
    case Relation::kNotEqual: return negate(test(flow::Condition::kEqual, lhs, rhs));
    case Relation::kGreater: return test(flow::Condition::kGreater, lhs, rhs);
    case Relation::kLessOrEqual: return negate(test(flow::Condition::kGreater, lhs, rhs));
    case Relation::kGreaterOrEqual: return test(flow::Condition::kGreaterOrEqual, lhs, rhs);
    case Relation::kLess: return negate(test(flow::Condition::kGreaterOrEqual, lhs, rhs));
  }
  return no();
}

FormulaId Binder::assign(VariableId v, TermId value) {
  return bound_.add({.kind = FormulaKind::kAssign, .variable = v, .lhs = value});
}

// From the last word to the first, as a truncated packet is then rejected by the first load.
FormulaId Binder::bytes_equal(const Offset& offset, std::uint32_t more, std::span<const std::uint8_t> bytes) {
  SmallVector<FormulaId, 8> parts;
  std::size_t size = bytes.size();
  for (const std::uint8_t step : {std::uint8_t{4}, std::uint8_t{2}, std::uint8_t{1}}) {
    while (size >= step) {
      size -= step;
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < step; ++i) value = value << 8 | bytes[size + i];
      parts.push_back(equal(load(offset, more + static_cast<std::uint32_t>(size), step), value));
    }
  }
  return connect(FormulaKind::kAnd, parts);
}

TermId Binder::ipv4_header_length() {
  const TermId length = binary(TermOp::kShiftLeft, binary(TermOp::kAnd, network(0, 1), constant(0xf)), constant(2));
  if (!layout_.payload.variable) return length;
  return binary(TermOp::kAdd, length, variable(*layout_.payload.variable));
}

TermId Binder::transport4(std::uint32_t more, std::uint8_t size) {
  const TermId base = ipv4_header_length();
  return load_at(base, layout_.payload.constant + layout_.network + more, size);
}

void Binder::use(const Offset& offset) {
  if (!offset.variable) return;
  if (offset.variable == tags_) tags_used_ = true;
  if (offset.variable == header_variable_) header_used_ = true;
  if (offset.variable == payload_variable_) payload_used_ = true;
}

// Variable-length headers are measured once, before all tests, if any test needs them.
FormulaId Binder::prelude(FormulaId root) {
  SmallVector<FormulaId, 8> steps;
  const packet::LinkType type = options_.link_type;
  const auto byte = [&](std::uint32_t at) { return load_at(kNoTerm, at, 1); };
  const auto word = [&](std::uint32_t at) { return load_at(kNoTerm, at, 4); };
  if (type == packet::LinkType::kPpi)  // only 802.11 is understood inside: its DLT, little-endian
    steps.push_back(equal(word(4), 105u << 24));
  if (header_variable_ && (header_used_ || payload_used_)) {
    const VariableId header = *header_variable_;
    if (type == packet::LinkType::kIeee80211RadioAvs) {
      steps.push_back(assign(header, word(4)));
    } else if (type == packet::LinkType::kPrism) {
      // Some drivers put an AVS header here; a Prism header has 144 bytes.
      const FormulaId is_avs = masked(word(0), 0x80211000, 0xfffff000);
      const FormulaId avs = both({is_avs, assign(header, word(4))});
      steps.push_back(either({avs, assign(header, constant(144))}));
    } else {  // radiotap, PPI: a little-endian length
      const TermId high = binary(TermOp::kShiftLeft, byte(3), constant(8));
      steps.push_back(assign(header, binary(TermOp::kOr, byte(2), high)));
    }
  }
  if (payload_variable_ && payload_used_) {
    if (type == packet::LinkType::kPflog) {
      const TermId rounded = binary(TermOp::kAnd, binary(TermOp::kAdd, byte(0), constant(3)), constant(0xfffffffc));
      steps.push_back(assign(*payload_variable_, rounded));
    } else {
      steps.push_back(wlan_payload_offset(header_variable_.value_or(0), *payload_variable_));
    }
  }
  if (tags_used_) steps.push_back(pass_tags());
  if (steps.empty()) return root;
  steps.push_back(root);
  return connect(FormulaKind::kAnd, steps);
}

std::string_view Binder::words_of(Span span) const {
  return std::string_view(ast_.text).substr(span.begin, span.end - span.begin);
}

FormulaId Binder::refuse(std::string message, Span span, std::string hint, ErrorCode code) {
  if (!error_) error_ = Error{.code = code, .message = std::move(message), .place = span, .hint = std::move(hint)};
  return 0;
}

FormulaId Binder::not_on_this_link(std::string_view word, std::string hint) {
  return refuse(fmt::format("'{}' has no meaning on link type {}", word, packet::name_of(layout_.type)), node().span,
                std::move(hint), ErrorCode::kUnsupported);
}

FormulaId Binder::not_a_link_address() {
  return refuse(fmt::format("'{}' is not a link-layer address", node().id.text), node().id.span,
                "as in 'ether host 00:11:22:33:44:55'");
}

FormulaId Binder::bad_qualifier(std::string_view qualifier, std::string_view word) {
  std::string hint;
  if (node().qualifiers.direction >= Direction::kAddress1 && qualifier == name_of(node().qualifiers.direction))
    hint = fmt::format("as in 'wlan {} 00:11:22:33:44:55', on link types of 802.11", qualifier);
  return refuse(fmt::format("'{}' cannot qualify '{}'", qualifier, word), node().qualifiers_span, std::move(hint));
}

bool Binder::within(std::string_view what, std::uint32_t value, std::uint32_t most) {
  if (value <= most) return true;
  const Span span = node().kind == NodeKind::kPrimitive ? node().id.span : node().span;
  refuse(fmt::format("{} {} is too large", what, value), span, fmt::format("at most {}", most));
  return false;
}

}  // namespace weir::filter
