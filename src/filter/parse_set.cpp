// Sets: `{10.0.0.1, 10.0.1.0/24}`, `{80, 443, 8000-8100}`, `vlan {1, 5-9}`, `vlan 100-200`. Exports Parser::set and
// Parser::number_ranges.
//
// A set of identifiers is the `or` of its members, each with the qualifiers of the set; a member with a prefix is a net
// where the set is one of hosts, and a range is a range of ports where it is one of ports. libpcap has no sets: the
// option `strict` refuses them already as words.
#include <fmt/format.h>

#include "filter/names.h"
#include "filter/parser.h"

namespace weir::filter {
namespace {

// `100-200`: where the dash is; npos for anything else.
std::size_t dash_of(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return dash;
  const bool numbers = parse_number(text.substr(0, dash)) && parse_number(text.substr(dash + 1));
  return numbers ? dash : std::string_view::npos;
}

}  // namespace

bool Parser::is_range(const Token& token) const {
  return token.kind == TokenKind::kName && dash_of(token.text) != std::string_view::npos;
}

// One member, as a primitive.
NodeId Parser::set_member() {
  const Token& token = peek();
  const Type type = frame().inherited->qualifiers.type;
  if (token.kind == TokenKind::kNumber) {
    ++at_;
    return number_identifier({.phrase = Phrase::kNumber, .token = at_ - 1, .span = token.span});
  }
  switch (token.kind) {
    case TokenKind::kName:
    case TokenKind::kIpv4:
    case TokenKind::kIpv6:
    case TokenKind::kMac48:
    case TokenKind::kMac8:
    case TokenKind::kFile: break;
    default:
      if (!complain_of_word())
        complain(token.kind == TokenKind::kEnd ? std::string("the set is never closed")
                                               : fmt::format("'{}' cannot be a member of a set", token.text),
                 token.span, "as in 'port {80, 443}' or 'host {10.0.0.1, 10.0.1.0/24}'");
      return kNoNode;
  }
  const bool range = is_range(token);
  const NodeId id = identifier();
  if (id == kNoNode) return kNoNode;
  Node& node = ast_.nodes[id];
  const bool prefix =
      node.id.kind == IdKind::kIpv4Prefix || node.id.kind == IdKind::kIpv4Mask || node.id.kind == IdKind::kIpv6Prefix;
  if (prefix && (type == Type::kHost || type == Type::kDefault)) node.qualifiers.type = Type::kNet;
  if (range && type == Type::kPort) node.qualifiers.type = Type::kPortRange;
  return id;
}

NodeId Parser::set() {
  const Token& open = next();
  if (!frame().inherited) {
    complain("a set needs a qualifier before it", open.span, "as in 'port {80, 443}'");
    return kNoNode;
  }
  if (is_symbol(peek(), Symbol::kCloseBrace)) {
    complain("the set is empty", cover(open.span, peek().span));
    return kNoNode;
  }
  Node members{.kind = NodeKind::kOr, .span = {}};
  for (;;) {
    const NodeId member = set_member();
    if (member == kNoNode) return kNoNode;
    members.children.push_back(member);
    if (is_symbol(peek(), Symbol::kCloseBrace)) break;
    if (!is_symbol(peek(), Symbol::kComma)) {
      if (!complain_of_word()) complain("',' or '}' must follow a member of a set", peek().span);
      return kNoNode;
    }
    ++at_;
  }
  members.span = cover(open.span, next().span);
  if (members.children.size() > 1) return add(std::move(members));
  ast_.nodes[members.children.front()].span = members.span;
  return members.children.front();
}

// A number or FIRST-LAST, appended to the values as a pair.
bool Parser::number_range(Node& node) {
  const Token& token = peek();
  if (!is_range(token)) {
    if (!required_number(node, "a number or a range")) return false;
    node.values.push_back(node.values.back());
    return true;
  }
  const std::size_t dash = dash_of(token.text);
  const std::uint32_t first = *parse_number(token.text.substr(0, dash));
  const std::uint32_t last = *parse_number(token.text.substr(dash + 1));
  if (first > last) {
    complain(fmt::format("the range '{}' is empty", token.text), token.span, "the smaller number comes first");
    return false;
  }
  node.values.push_back(first);
  node.values.push_back(last);
  ++at_;
  return true;
}

// Nothing, a number, a range, or a set of both.
bool Parser::number_ranges(Node& node) {
  if (strict_) return optional_number(node);
  if (is_range(peek())) return number_range(node);
  if (!is_symbol(peek(), Symbol::kOpenBrace)) return optional_number(node);
  do {
    ++at_;
    if (!number_range(node)) return false;
  } while (is_symbol(peek(), Symbol::kComma));
  if (!is_symbol(peek(), Symbol::kCloseBrace)) {
    if (!complain_of_word()) complain("',' or '}' must follow a member of a set", peek().span);
    return false;
  }
  ++at_;
  return true;
}

}  // namespace weir::filter
