// Tests with a shape of their own: `vlan 5`, `less 64`, `type mgt subtype beacon`, `vpi (1 or 2)`.
// Exports Parser::special. Names are looked up here, numbers are not checked: how great a VLAN may be is the binder's.
#include <fmt/format.h>

#include "filter/parser.h"
#include "filter/special_names.h"

namespace weir::filter {

// broadcast, multicast and the words of 802.11 may stand after a protocol.
bool Parser::takes_protocol(const Keyword& keyword) {
  if (keyword.kind == KeywordKind::kSubtype) return true;
  if (keyword.kind != KeywordKind::kSpecial) return false;
  const auto special = static_cast<Special>(keyword.value);
  return special == Special::kBroadcast || special == Special::kMulticast || special == Special::kWlanType ||
         special == Special::kWlanDirection;
}

NodeId Parser::special(Protocol protocol, std::size_t start) {
  const Token& word = next();
  Node node{.kind = NodeKind::kSpecial, .span = {}, .qualifiers = {.protocol = protocol}};
  if (protocol != Protocol::kDefault) node.qualifiers_span = tokens_[start].span;
  if (word.keyword->kind == KeywordKind::kSubtype) {
    node.special = Special::kWlanType;
    if (!wlan_subtype(node, std::nullopt)) return kNoNode;
  } else {
    node.special = static_cast<Special>(word.keyword->value);
    switch (node.special) {
      case Special::kAtmVpi:
      case Special::kAtmVci:
      case Special::kSio:
      case Special::kOpc:
      case Special::kDpc:
      case Special::kSls:
      case Special::kHsio:
      case Special::kHopc:
      case Special::kHdpc:
      case Special::kHsls: return compared_field(std::move(node), start);
      default:
        if (!special_operands(node)) return kNoNode;
    }
  }
  node.span = cover(tokens_[start].span, previous().span);
  return add(std::move(node));
}

bool Parser::special_operands(Node& node) {
  switch (node.special) {
    case Special::kLess:
    case Special::kGreater: return required_number(node, "a length");
    case Special::kIfindex: return required_number(node, "an interface index");
    case Special::kByte: return byte_operands(node);
    case Special::kVlan:
    case Special::kMpls:
    case Special::kPppoes:
    case Special::kGeneve:
    case Special::kVxlan: return number_ranges(node);
    case Special::kLlc: return llc_kind(node);
    case Special::kPfIfname:
    case Special::kPfRuleset: return name_operand(node, "a name");
    case Special::kPfRulenum:
    case Special::kPfSubrulenum: return required_number(node, "a rule number");
    case Special::kPfReason: return pf_reason(node);
    case Special::kPfAction: return pf_action(node);
    case Special::kWlanType: return wlan_type(node);
    case Special::kWlanDirection: return wlan_direction(node);
    default: return true;
  }
}

// A number, also in parentheses. What else follows is not ours; '(' can only be the start of a number.
bool Parser::optional_number(Node& node) {
  const std::size_t start = at_;
  while (is_symbol(peek(), Symbol::kOpen)) ++at_;
  const std::size_t open = at_ - start;
  if (open == 0 && peek().kind != TokenKind::kNumber) return true;
  if (!required_number(node, "a number")) return false;
  for (std::size_t i = 0; i < open; ++i, ++at_) {
    if (is_symbol(peek(), Symbol::kClose)) continue;
    if (peek().kind == TokenKind::kEnd)
      complain("'(' is never closed", tokens_[start + open - 1 - i].span, "a ')' is missing");
    else if (peek().kind == TokenKind::kBad) complain_of_operand();
    else complain("')' must follow the number", peek().span);
    return false;
  }
  return true;
}

bool Parser::required_number(Node& node, std::string_view what) {
  if (peek().kind == TokenKind::kNumber) {
    node.values.push_back(next().value);
    return true;
  }
  if (peek().kind == TokenKind::kBad) complain_of_operand();
  else complain(fmt::format("{} must follow '{}'", what, previous().text), peek().span);
  return false;
}

// byte INDEX (& | < > =) VALUE
bool Parser::byte_operands(Node& node) {
  if (!required_number(node, "an offset")) return false;
  if (is_symbol(peek(), Symbol::kAmpersand)) node.arithmetic = ArithmeticOp::kAnd;
  else if (is_symbol(peek(), Symbol::kBar)) node.arithmetic = ArithmeticOp::kOr;
  else if (is_symbol(peek(), Symbol::kLess)) node.relation = Relation::kLess;
  else if (is_symbol(peek(), Symbol::kGreater)) node.relation = Relation::kGreater;
  else if (is_symbol(peek(), Symbol::kEqual)) node.relation = Relation::kEqual;
  else {
    complain(fmt::format("one of = < > & | must follow '{}'", previous().text), peek().span,
             "'link[INDEX]' can be compared in every way");
    return false;
  }
  ++at_;
  return required_number(node, "a value");
}

bool Parser::name_operand(Node& node, std::string_view what) {
  if (peek().kind == TokenKind::kName) {
    node.name = std::string(next().text);
    return true;
  }
  const bool word = peek().kind == TokenKind::kKeyword || peek().kind == TokenKind::kNumber ||
                    peek().kind == TokenKind::kMac48 || peek().kind == TokenKind::kIpv4;
  if (peek().kind == TokenKind::kBad) complain_of_operand();
  else
    complain(fmt::format("{} must follow '{}'", what, previous().text), peek().span,
             word ? fmt::format("if '{0}' is the name, write '\\{0}'", peek().text) : "");
  return false;
}

// The kind is kept in lower case. `rnr` is also a keyword of pf, with `rulenum` as its other form.
bool Parser::llc_kind(Node& node) {
  const Token& word = peek();
  if (is_keyword(word, KeywordKind::kSpecial) && static_cast<Special>(word.keyword->value) == Special::kPfRulenum) {
    ++at_;
    node.name = "rnr";
    return true;
  }
  if (word.kind != TokenKind::kName) return true;
  const SpecialName* kind = find_name(llc_kinds(), word.text);
  if (kind == nullptr) {
    complain(fmt::format("'{}' is no kind of LLC frame", word.text), word.span, hint_of(llc_kinds(), word.text));
    return false;
  }
  ++at_;
  node.name = std::string(kind->text);
  return true;
}

bool Parser::pf_reason(Node& node) {
  if (peek().kind == TokenKind::kNumber) return required_number(node, "a reason");
  const Token& word = peek();
  if (!name_operand(node, "a reason")) return false;
  const SpecialName* reason = find_name(pf_reasons(), word.text);
  if (reason == nullptr) {
    complain(fmt::format("'{}' is no reason of pf", word.text), word.span, hint_of(pf_reasons(), word.text));
    return false;
  }
  node.values = {reason->number};
  return true;
}

bool Parser::pf_action(Node& node) {
  const Token& word = peek();
  if (!name_operand(node, "an action")) return false;
  const SpecialName* action = find_name(pf_actions(), word.text);
  if (action == nullptr) {
    complain(fmt::format("'{}' is no action of pf", word.text), word.span, hint_of(pf_actions(), word.text));
    return false;
  }
  node.values = {action->number};
  return true;
}

// type T, type T subtype S
bool Parser::wlan_type(Node& node) {
  const Token& word = peek();
  std::optional<std::uint32_t> type;
  if (word.kind == TokenKind::kNumber && (word.value & ~kWlanTypeMask) == 0) type = word.value;
  if (word.kind == TokenKind::kName)
    if (const SpecialName* name = find_name(wlan_types(), word.text)) type = name->number;
  if (word.kind == TokenKind::kBad) {
    complain_of_operand();
    return false;
  }
  if (!type) {
    const bool given = word.kind == TokenKind::kNumber || word.kind == TokenKind::kName;
    complain(given ? fmt::format("'{}' is no 802.11 frame type", word.text)
                   : fmt::format("a frame type must follow '{}'", previous().text),
             word.span, hint_of(wlan_types(), word.text));
    return false;
  }
  ++at_;
  node.values = {*type, kWlanTypeMask};
  if (!is_keyword(peek(), KeywordKind::kSubtype)) return true;
  ++at_;
  return wlan_subtype(node, type);
}

// Without a type before it, a subtype must be a name: the first type that has it is meant.
bool Parser::wlan_subtype(Node& node, std::optional<std::uint32_t> type) {
  const Token& word = peek();
  std::optional<std::uint32_t> bits;
  if (word.kind == TokenKind::kNumber && type && (word.value & ~kWlanSubtypeMask) == 0) bits = *type | word.value;
  if (word.kind == TokenKind::kName)
    for (const std::uint32_t candidate : {0x00u, 0x04u, 0x08u}) {
      if (bits || (type && *type != candidate)) continue;
      if (const SpecialName* name = find_name(wlan_subtypes(candidate), word.text)) bits = candidate | name->number;
    }
  if (word.kind == TokenKind::kBad) {
    complain_of_operand();
    return false;
  }
  if (!bits) {
    const bool given = word.kind == TokenKind::kNumber || word.kind == TokenKind::kName;
    complain(given ? fmt::format("'{}' is no 802.11 frame subtype{}", word.text, type ? " of this type" : "")
                   : fmt::format("a frame subtype must follow '{}'", previous().text),
             word.span, hint_of(wlan_subtypes(type.value_or(0)), word.text));
    return false;
  }
  ++at_;
  node.values = {*bits, kWlanTypeMask | kWlanSubtypeMask};
  return true;
}

bool Parser::wlan_direction(Node& node) {
  const Token& word = peek();
  if (word.kind == TokenKind::kNumber) {
    constexpr std::uint32_t kBoth = 3;  // to and from the distribution system
    if (word.value <= kBoth) return required_number(node, "a direction");
    complain(fmt::format("the 802.11 direction {} is greater than {}", word.value, kBoth), word.span);
    return false;
  }
  const SpecialName* direction = word.kind == TokenKind::kName ? find_name(wlan_directions(), word.text) : nullptr;
  if (word.kind == TokenKind::kBad) {
    complain_of_operand();
    return false;
  }
  if (direction == nullptr) {
    complain(word.kind == TokenKind::kName ? fmt::format("'{}' is no 802.11 direction", word.text)
                                           : fmt::format("a direction must follow '{}'", previous().text),
             word.span, hint_of(wlan_directions(), word.text));
    return false;
  }
  ++at_;
  node.values = {direction->number};
  return true;
}

// FIELD N, FIELD (comparison) N, FIELD (N or N or ...)
NodeId Parser::compared_field(Node node, std::size_t start) {
  const bool list = is_symbol(peek(), Symbol::kOpen);
  if (list) {
    ++at_;
  } else if (const auto relation = relation_of(peek())) {
    node.relation = *relation;
    ++at_;
  }
  Node alternatives{.kind = NodeKind::kOr, .span = {}};
  for (;;) {
    Node one = node;
    const std::size_t first = alternatives.children.empty() ? start : at_;
    if (!required_number(one, "a number")) return kNoNode;
    one.span = cover(tokens_[first].span, previous().span);
    alternatives.children.push_back(add(std::move(one)));
    if (!list || !is_keyword(peek(), KeywordKind::kOr)) break;
    ++at_;
  }
  if (list && !is_symbol(peek(), Symbol::kClose)) {
    if (peek().kind == TokenKind::kBad) complain_of_operand();
    else complain("'or' or ')' must follow the number", peek().span, "this list takes numbers and 'or' alone");
    return kNoNode;
  }
  if (list) ++at_;
  alternatives.span = cover(tokens_[start].span, previous().span);
  if (alternatives.children.size() > 1) return add(std::move(alternatives));
  ast_.nodes[alternatives.children.front()].span = alternatives.span;
  return alternatives.children.front();
}

}  // namespace weir::filter
