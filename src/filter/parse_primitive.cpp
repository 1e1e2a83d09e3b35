// Qualifiers and identifiers: `tcp src or dst port`, `10.0.0.0/8`. Exports Parser::read_head and Parser::identifier.
//
// The order of qualifiers is protocol, direction, type; all may be left out but not all at once. gateway, proto and
// protochain take no direction. Addresses are checked here as far as no link type or name decides what they mean.
#include <fmt/format.h>

#include "filter/names.h"
#include "filter/parser.h"

namespace weir::filter {
namespace {

constexpr bool takes_direction(Type type) {
  return type != Type::kGateway && type != Type::kProto && type != Type::kProtoChain;
}

IdKind id_kind_of(TokenKind kind) {
  switch (kind) {
    case TokenKind::kNumber: return IdKind::kNumber;
    case TokenKind::kIpv4: return IdKind::kIpv4;
    case TokenKind::kIpv6: return IdKind::kIpv6;
    case TokenKind::kMac48: return IdKind::kMac48;
    case TokenKind::kMac8: return IdKind::kMac8;
    case TokenKind::kFile: return IdKind::kFile;
    default: return IdKind::kName;
  }
}

}  // namespace

// [protocol] [direction] [type], at least one of the last two.
bool Parser::read_head() {
  const std::size_t start = at_;
  Qualifiers qualifiers;
  if (is_keyword(peek(), KeywordKind::kProtocol)) qualifiers.protocol = static_cast<Protocol>(next().keyword->value);
  if (is_keyword(peek(), KeywordKind::kDirection) && !read_direction(qualifiers)) return false;
  if (is_keyword(peek(), KeywordKind::kType)) {
    qualifiers.type = static_cast<Type>(peek().keyword->value);
    if (qualifiers.direction != Direction::kDefault && !takes_direction(qualifiers.type)) {
      complain(fmt::format("'{}' takes no direction", peek().text), peek().span,
               fmt::format("leave out '{}'", name_of(qualifiers.direction)));
      return false;
    }
    ++at_;
  }
  Frame& f = frame();
  f.head = start;
  f.head_end = at_;
  f.inherited = Qualified{qualifiers, cover(tokens_[start].span, previous().span)};
  f.expect = kIdentifierHere;
  return true;
}

// src, dst, `src or dst`, `src and dst` (in either order), addr1, ...
bool Parser::read_direction(Qualifiers& qualifiers) {
  const Token& word = next();
  const auto first = static_cast<Direction>(word.keyword->value);
  qualifiers.direction = first;
  const bool is_and = is_keyword(peek(), KeywordKind::kAnd);
  const bool pair = first == Direction::kSource || first == Direction::kDestination;
  if (!pair || !(is_and || is_keyword(peek(), KeywordKind::kOr))) return true;
  const Direction other = first == Direction::kSource ? Direction::kDestination : Direction::kSource;
  const Token& second = tokens_[at_ + 1];
  if (!is_keyword(second, KeywordKind::kDirection) || static_cast<Direction>(second.keyword->value) != other) {
    ++at_;
    if (peek().kind == TokenKind::kBad) complain_of_operand();
    else
      complain(fmt::format("'{} {}' must go on with '{}'", word.text, previous().text, name_of(other)), second.span,
               fmt::format("or name the address after '{0}', as in '{0} host 10.0.0.1'", word.text));
    return false;
  }
  at_ += 2;
  qualifiers.direction = is_and ? Direction::kSourceAndDestination : Direction::kSourceOrDestination;
  return true;
}

// The identifier at this place, with the qualifiers that hold here.
NodeId Parser::identifier() {
  const Frame& f = frame();
  const Token& token = peek();
  if (!f.inherited) {
    complain_of_unqualified(token);
    return kNoNode;
  }
  Id id{.kind = id_kind_of(token.kind), .text = std::string(token.text), .second = {}, .number = 0, .span = token.span};
  ++at_;
  if (!prefix(id) || !check_address(id, f.inherited->qualifiers)) return kNoNode;
  return add({.kind = NodeKind::kPrimitive,
              .span = id.span,
              .qualifiers = f.inherited->qualifiers,
              .qualifiers_span = f.inherited->span,
              .id = std::move(id)});
}

NodeId Parser::number_identifier(const Operand& number) {
  const Frame& f = frame();
  const Token& token = tokens_[number.token];
  if (!f.inherited) {
    complain_of_unqualified(token);
    return kNoNode;
  }
  Id id{.kind = IdKind::kNumber,
        .text = std::string(token.text),
        .second = {},
        .number = token.value,
        .span = token.span};
  return add({.kind = NodeKind::kPrimitive,
              .span = number.span,
              .qualifiers = f.inherited->qualifiers,
              .qualifiers_span = f.inherited->span,
              .id = std::move(id)});
}

// address / length, address mask address
bool Parser::prefix(Id& id) {
  const bool ipv4 = id.kind == IdKind::kIpv4;
  if (ipv4 && is_keyword(peek(), KeywordKind::kMask)) {
    ++at_;
    const Token& mask = peek();
    if (mask.kind != TokenKind::kIpv4) {
      if (mask.kind == TokenKind::kBad) complain_of_operand();
      else complain("an IPv4 mask must follow 'mask'", mask.span, "as in 'net 10.0.0.0 mask 255.0.0.0'");
      return false;
    }
    if (!parse_ipv4(mask.text)) {
      complain(fmt::format("'{}' is no IPv4 mask", mask.text), mask.span, "each part is a decimal number up to 255");
      return false;
    }
    id.kind = IdKind::kIpv4Mask;
    id.second = std::string(mask.text);
    id.span = cover(id.span, next().span);
    return true;
  }
  if (!is_symbol(peek(), Symbol::kSlash) || !(ipv4 || id.kind == IdKind::kIpv6)) return true;
  ++at_;
  const Token& length = peek();
  const std::uint32_t longest = ipv4 ? 32 : 128;
  if (length.kind != TokenKind::kNumber) {
    if (length.kind == TokenKind::kBad) complain_of_operand();
    else
      complain("a prefix length must follow '/'", length.span,
               length.kind == TokenKind::kIpv4 ? fmt::format("write '{} mask {}'", id.text, length.text)
                                               : fmt::format("a number from 0 to {}", longest));
    return false;
  }
  if (length.value > longest) {
    complain(fmt::format("the prefix length {} is greater than {}", length.value, longest), length.span);
    return false;
  }
  id.number = length.value;
  id.kind = ipv4 ? IdKind::kIpv4Prefix : IdKind::kIpv6Prefix;
  id.span = cover(id.span, next().span);
  return true;
}

// What is wrong with an address whatever the link type is. DECnet addresses have the form of IPv4 addresses; so may
// link-layer addresses, which the binder refuses.
bool Parser::check_address(const Id& id, const Qualifiers& qualifiers) {
  const bool ipv4 = id.kind == IdKind::kIpv4 || id.kind == IdKind::kIpv4Prefix || id.kind == IdKind::kIpv4Mask;
  const bool ipv6 = id.kind == IdKind::kIpv6 || id.kind == IdKind::kIpv6Prefix;
  if (!ipv4 && !ipv6) return true;
  const Type type = qualifiers.type;
  if (type == Type::kPort || type == Type::kPortRange || type == Type::kProto || type == Type::kProtoChain) {
    const bool port = type == Type::kPort || type == Type::kPortRange;
    complain(fmt::format("'{}' takes {}, not an address", name_of(type), port ? "ports" : "a protocol"), id.span,
             fmt::format("write 'host {}'", id.text));
    return false;
  }
  if (ipv6 || qualifiers.protocol == Protocol::kDecnet || parse_ipv4(id.text)) return true;
  complain(fmt::format("'{}' is no IPv4 address", id.text), id.span, "each part is a decimal number up to 255");
  return false;
}

}  // namespace weir::filter
