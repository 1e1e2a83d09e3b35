// Tests with a shape of their own: `vlan 5`, `less 64`, `type mgt subtype beacon`, `vpi (1 or 2)`.
// Exports Parser::special.
#include "filter/parser.h"

#include <fmt/format.h>

#include "filter/wlan_names.h"

namespace weir::filter {

bool Parser::takes_protocol(Special special) {
  return special == Special::kBroadcast || special == Special::kMulticast || special == Special::kWlanType ||
         special == Special::kWlanDirection;
}

NodeId Parser::special(const Qualifiers& qualifiers, std::size_t start) {
  const Token& word = next();
  Node node{.kind = NodeKind::kSpecial, .span = {}, .qualifiers = qualifiers, .qualifiers_span = tokens_[start].span};
  node.special = word.keyword->kind == KeywordKind::kSubtype ? Special::kWlanType
                                                             : static_cast<Special>(word.keyword->value);
  if (word.keyword->kind == KeywordKind::kSubtype) {
    if (!wlan_subtype(node, std::nullopt)) return kNoNode;
  } else {
    switch (node.special) {
      case Special::kAtmVpi: case Special::kAtmVci: case Special::kSio: case Special::kOpc: case Special::kDpc:
      case Special::kSls: case Special::kHsio: case Special::kHopc: case Special::kHdpc: case Special::kHsls:
        return compared_field(std::move(node), start);
      default:
        if (!special_operands(node)) return kNoNode;
    }
  }
  node.span = cover(tokens_[start].span, tokens_[at_ - 1].span);
  return add(std::move(node));
}

bool Parser::special_operands(Node& node) {
  switch (node.special) {
    case Special::kLess:
    case Special::kGreater: return required_number(node, "a length");
    case Special::kIfindex: return required_number(node, "an interface index");
    case Special::kByte: return byte_operands(node);
    case Special::kVlan: case Special::kMpls: case Special::kPppoes: case Special::kGeneve: case Special::kVxlan:
      return optional_number(node);
    case Special::kLlc:
      if (peek().kind == TokenKind::kName || peek().text == "rnr") node.name = std::string(next().text);
      return true;
    case Special::kPfIfname:
    case Special::kPfRuleset:
    case Special::kPfAction: return name_operand(node, "a name");
    case Special::kPfRulenum:
    case Special::kPfSubrulenum: return required_number(node, "a rule number");
    case Special::kPfReason: return reason_operand(node);
    case Special::kWlanType: return wlan_type(node);
    case Special::kWlanDirection: return wlan_direction(node);
    default: return true;
  }
}

// A number, also in parentheses, if one follows.
bool Parser::optional_number(Node& node) {
  std::size_t at = at_;
  while (is_symbol(tokens_[at], Symbol::kOpen)) ++at;
  const std::size_t open = at - at_;
  if (tokens_[at].kind != TokenKind::kNumber) return true;
  const std::uint32_t value = tokens_[at++].value;
  for (std::size_t i = 0; i < open; ++i, ++at)
    if (!is_symbol(tokens_[at], Symbol::kClose)) return true;
  node.values = {value};
  at_ = at;
  return true;
}

bool Parser::required_number(Node& node, std::string_view what) {
  if (peek().kind != TokenKind::kNumber) {
    complain(fmt::format("{} must follow '{}'", what, tokens_[at_ - 1].text), peek().span);
    return false;
  }
  node.values.push_back(next().value);
  return true;
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
    complain("an operator must follow the offset", peek().span, "=, <, >, & or |");
    return false;
  }
  ++at_;
  return required_number(node, "a value");
}

bool Parser::name_operand(Node& node, std::string_view what) {
  if (peek().kind != TokenKind::kName) {
    complain(fmt::format("{} must follow '{}'", what, tokens_[at_ - 1].text), peek().span);
    return false;
  }
  node.name = std::string(next().text);
  return true;
}

bool Parser::reason_operand(Node& node) {
  if (peek().kind != TokenKind::kNumber) return name_operand(node, "a reason");
  node.values = {next().value};
  return true;
}

// type T, type T subtype S
bool Parser::wlan_type(Node& node) {
  const Token& word = peek();
  std::optional<std::uint32_t> type;
  if (word.kind == TokenKind::kNumber) type = word.value;
  if (word.kind == TokenKind::kName) type = wlan_type_named(word.text);
  if (!type || (*type & ~kWlanTypeMask) != 0) {
    complain(fmt::format("'{}' is no 802.11 frame type", word.text), word.span, "mgt, ctl or data");
    return false;
  }
  ++at_;
  node.values = {*type, kWlanTypeMask};
  if (!is_keyword(peek(), KeywordKind::kSubtype)) return true;
  ++at_;
  return wlan_subtype(node, type);
}

bool Parser::wlan_subtype(Node& node, std::optional<std::uint32_t> type) {
  const Token& word = peek();
  std::optional<std::uint32_t> subtype;
  if (word.kind == TokenKind::kNumber && type && (word.value & ~kWlanSubtypeMask) == 0) subtype = word.value;
  if (word.kind == TokenKind::kName) subtype = wlan_subtype_named(word.text, type);
  if (!subtype) {
    complain(fmt::format("'{}' is no 802.11 frame subtype{}", word.text, type ? " of this type" : ""), word.span);
    return false;
  }
  ++at_;
  node.values = {type.value_or(0) | *subtype, kWlanTypeMask | kWlanSubtypeMask};
  return true;
}

bool Parser::wlan_direction(Node& node) {
  const Token& word = peek();
  std::optional<std::uint32_t> direction;
  if (word.kind == TokenKind::kNumber) direction = word.value;
  if (word.kind == TokenKind::kName) direction = wlan_direction_named(word.text);
  if (!direction) {
    complain(fmt::format("'{}' is no 802.11 direction", word.text), word.span, "nods, tods, fromds or dstods");
    return false;
  }
  ++at_;
  node.values = {*direction};
  return true;
}

// FIELD N, FIELD (comparison) N, FIELD (N or N or ...)
NodeId Parser::compared_field(Node node, std::size_t start) {
  const bool list = is_symbol(peek(), Symbol::kOpen);
  if (list) ++at_;
  const bool compared = !list && peek().kind == TokenKind::kSymbol;
  if (compared && !relation_operator(node.relation)) return kNoNode;
  Node alternatives{.kind = NodeKind::kOr};
  for (;;) {
    Node one = node;
    if (!required_number(one, "a number")) return kNoNode;
    one.span = cover(tokens_[start].span, tokens_[at_ - 1].span);
    alternatives.children.push_back(add(std::move(one)));
    if (!list || !is_keyword(peek(), KeywordKind::kOr)) break;
    ++at_;
  }
  if (list && !expect(Symbol::kClose, "')'")) return kNoNode;
  if (alternatives.children.size() == 1) return alternatives.children.front();
  alternatives.span = cover(tokens_[start].span, tokens_[at_ - 1].span);
  return add(std::move(alternatives));
}

}  // namespace weir::filter
