// Words to tree: the boolean part of the language. Exports parse and write_tokens.
//
// Recursive descent, one function a rule. The grammar of pcap-filter is not LL(1): after '(' may come an expression,
// a list of identifiers that share the qualifiers before it, or arithmetic. It is told apart by what follows the
// matching ')' (an operator: arithmetic) and by the first word inside (an identifier: a list). Matching parentheses are
// found once, before parsing.
//
// `and` and `or` have equal precedence and bind to the left; a chain of one of them becomes one node with many children.
// The qualifiers that an identifier without any inherits are carried along as `Qualified::qualifiers`.
#include "filter/parser.h"

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/filter/parse.h>

namespace weir::filter {

Parser::Parser(std::string_view text, std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  ast_.text = std::string(text);
  match_parentheses();
}

Result<Ast> Parser::run() {
  if (peek().kind == TokenKind::kEnd) {
    ast_.root = add({.kind = NodeKind::kEmpty, .span = peek().span});
    return std::move(ast_);
  }
  const Qualified all = expression(std::nullopt);
  if (!error_ && peek().kind != TokenKind::kEnd) unexpected();
  if (error_) return fail(std::move(*error_));
  ast_.root = all.node;
  return std::move(ast_);
}

void Parser::match_parentheses() {
  closing_.assign(tokens_.size(), kNoMatch);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (is_symbol(tokens_[i], Symbol::kOpen)) open.push_back(i);
    if (is_symbol(tokens_[i], Symbol::kClose) && !open.empty()) {
      closing_[open.back()] = i;
      open.pop_back();
    }
  }
}

NodeId Parser::add(Node node) {
  ast_.nodes.push_back(std::move(node));
  return static_cast<NodeId>(ast_.nodes.size() - 1);
}

void Parser::complain(std::string message, Span span, std::string hint, ErrorCode code) {
  if (error_) return;
  error_ = Error{.code = code, .message = std::move(message), .place = span, .hint = std::move(hint)};
}

bool Parser::enter() {
  if (++depth_ <= kMaximumNesting) return true;
  complain(fmt::format("parentheses, 'not' and arithmetic nest more than {} deep", kMaximumNesting), peek().span, {},
           ErrorCode::kLimit);
  return false;
}

bool Parser::expect(Symbol symbol, std::string_view what, std::string hint) {
  if (is_symbol(peek(), symbol)) {
    ++at_;
    return true;
  }
  complain(fmt::format("expected {}", what), peek().span, std::move(hint));
  return false;
}

// expression := term { (and | or) (term | id) }
Parser::Qualified Parser::expression(std::optional<Qualifiers> inherited) {
  Qualified left = first_term(inherited);
  bool own_chain = false;  // left.node is a chain made here, to which children may be added
  while (!error_ && (is_keyword(peek(), KeywordKind::kAnd) || is_keyword(peek(), KeywordKind::kOr))) {
    const NodeKind kind = is_keyword(next(), KeywordKind::kAnd) ? NodeKind::kAnd : NodeKind::kOr;
    const Qualified right = term_or_id(left.qualifiers);
    if (error_) break;
    const Span right_span = ast_[right.node].span;
    if (own_chain && ast_[left.node].kind == kind) {
      Node& chain = ast_.nodes[left.node];
      chain.children.push_back(right.node);
      chain.span.end = right_span.end;
    } else {
      left.node = add({.kind = kind, .span = cover(ast_[left.node].span, right_span), .children = {left.node, right.node}});
      own_chain = true;
    }
    left.qualifiers = right.qualifiers;
  }
  return left;
}

// The first operand of an expression: a term. An identifier alone has nothing to inherit.
Parser::Qualified Parser::first_term(std::optional<Qualifiers> inherited) {
  if (!starts_id(at_)) return term(inherited);
  return term_or_id(inherited);
}

// Whether an identifier (not a relation) starts at this word, looking through '(' and 'not'.
bool Parser::starts_id(std::size_t at) const {
  for (;; ++at) {
    const Token& token = tokens_[at];
    switch (token.kind) {
      case TokenKind::kName:
      case TokenKind::kIpv4:
      case TokenKind::kIpv6:
      case TokenKind::kMac48:
      case TokenKind::kMac8:
        return true;
      case TokenKind::kNumber:
        return !is_operator(tokens_[at + 1]);
      case TokenKind::kKeyword:
        if (token.keyword->kind != KeywordKind::kNot) return false;
        break;
      case TokenKind::kSymbol:
        if (!is_symbol(token, Symbol::kOpen)) return false;
        if (closing_[at] != kNoMatch && is_operator(tokens_[closing_[at] + 1])) return false;
        break;
      case TokenKind::kEnd:
        return false;
    }
  }
}

Parser::Qualified Parser::term_or_id(std::optional<Qualifiers> inherited) {
  if (!starts_id(at_)) return term(inherited);
  if (!inherited) {
    const Token& word = peek();
    if (word.kind == TokenKind::kName) unknown_word(word);
    else complain(fmt::format("'{}' needs a qualifier before it", word.text), word.span, "such as host, net or port");
    return {};
  }
  const NodeId node = identifier(*inherited, inherited_span_);
  return {node, inherited};
}

// term := not term | ( expression ) | relation | head id | protocol | special
Parser::Qualified Parser::term(std::optional<Qualifiers> inherited) {
  if (is_keyword(peek(), KeywordKind::kNot)) {
    const Span start = next().span;
    if (!enter()) return {};
    Qualified inner = term_or_id(inherited);
    --depth_;
    if (error_) return {};
    inner.node = add({.kind = NodeKind::kNot, .span = cover(start, ast_[inner.node].span), .children = {inner.node}});
    return inner;
  }
  if (starts_arithmetic()) return {relation(), std::nullopt};
  if (is_symbol(peek(), Symbol::kOpen)) return parenthesised(inherited);
  if (peek().kind == TokenKind::kKeyword) return keyword_term();
  if (peek().kind == TokenKind::kEnd) complain("the expression ends where a test should follow", peek().span);
  else unexpected();
  return {};
}

Parser::Qualified Parser::parenthesised(std::optional<Qualifiers> inherited) {
  const std::size_t open = at_;
  ++at_;
  if (is_symbol(peek(), Symbol::kClose)) {
    complain("nothing between the parentheses", cover(tokens_[open].span, peek().span));
    return {};
  }
  if (!enter()) return {};
  const Qualified inner = expression(inherited);
  --depth_;
  if (error_) return {};
  if (!is_symbol(peek(), Symbol::kClose)) {
    if (peek().kind == TokenKind::kEnd) complain("missing ')'", peek().span, "for the '(' that is still open");
    else unexpected();
    return {};
  }
  const Span close = next().span;
  ast_.nodes[inner.node].span = cover(tokens_[open].span, close);
  return {inner.node, inherited};
}

// A term that starts with a keyword: qualifiers and an identifier, a protocol alone, or a special test.
Parser::Qualified Parser::keyword_term() {
  const std::size_t start = at_;
  Qualifiers qualifiers;
  if (peek().keyword->kind == KeywordKind::kProtocol)
    qualifiers.protocol = static_cast<Protocol>(next().keyword->value);
  if (peek().kind == TokenKind::kKeyword) {
    const Keyword& keyword = *peek().keyword;
    switch (keyword.kind) {
      case KeywordKind::kDirection:
        direction(qualifiers);
        if (error_) return {};
        if (is_keyword(peek(), KeywordKind::kType) && !directed_type(qualifiers)) return {};
        return head_id(qualifiers, start);
      case KeywordKind::kType:
        qualifiers.type = static_cast<Type>(next().keyword->value);
        return head_id(qualifiers, start);
      case KeywordKind::kSubtype:
        return {special(qualifiers, start), std::nullopt};
      case KeywordKind::kSpecial:
        if (at_ > start && !takes_protocol(static_cast<Special>(keyword.value))) break;
        return {special(qualifiers, start), std::nullopt};
      default:
        break;
    }
  }
  if (at_ == start) {
    unexpected();
    return {};
  }
  const Token& after = peek();
  if (starts_id(at_) && !is_symbol(after, Symbol::kOpen)) {
    const std::string protocol(tokens_[start].text);
    complain(fmt::format("'{}' cannot follow '{}' directly", after.text, protocol), after.span,
             fmt::format("say of what kind it is: '{0} host {1}', '{0} port {1}'", protocol, after.text));
    return {};
  }
  return {add({.kind = NodeKind::kProtocol, .span = tokens_[start].span, .qualifiers = qualifiers,
               .qualifiers_span = tokens_[start].span}),
          std::nullopt};
}

// direction := src | dst | src or dst | src and dst | addr1 | ...
void Parser::direction(Qualifiers& qualifiers) {
  const auto first = static_cast<Direction>(next().keyword->value);
  qualifiers.direction = first;
  const bool src_or_dst = first == Direction::kSource || first == Direction::kDestination;
  const bool is_and = is_keyword(peek(), KeywordKind::kAnd);
  if (!src_or_dst || !(is_and || is_keyword(peek(), KeywordKind::kOr))) return;
  const Token& second = tokens_[at_ + 1];
  const Direction other = first == Direction::kSource ? Direction::kDestination : Direction::kSource;
  ++at_;
  if (!is_keyword(second, KeywordKind::kDirection) || static_cast<Direction>(second.keyword->value) != other) {
    complain(fmt::format("expected '{}'", name_of(other)), second.span,
             fmt::format("'{0}' must be followed by what it qualifies, as in '{0} host 10.0.0.1'", name_of(first)));
    return;
  }
  ++at_;
  qualifiers.direction = is_and ? Direction::kSourceAndDestination : Direction::kSourceOrDestination;
}

// host, net, port and portrange may follow a direction; gateway, proto and protochain may not.
bool Parser::directed_type(Qualifiers& qualifiers) {
  const Token& word = peek();
  qualifiers.type = static_cast<Type>(word.keyword->value);
  if (qualifiers.type == Type::kGateway || qualifiers.type == Type::kProto || qualifiers.type == Type::kProtoChain) {
    complain(fmt::format("'{}' takes no direction", word.text), word.span, "remove the word before it");
    return false;
  }
  ++at_;
  return true;
}

Parser::Qualified Parser::head_id(const Qualifiers& qualifiers, std::size_t start) {
  const Span span = cover(tokens_[start].span, tokens_[at_ - 1].span);
  inherited_span_ = span;
  const NodeId node = identifier(qualifiers, span);
  if (error_) return {};
  Span& whole = ast_.nodes[node].span;
  whole = cover(span, whole);
  return {node, qualifiers};
}

// id := not id | ( id { (and | or) id } ) | leaf
NodeId Parser::identifier(const Qualifiers& qualifiers, Span head) {
  if (is_keyword(peek(), KeywordKind::kNot)) {
    const Span start = next().span;
    if (!enter()) return kNoNode;
    const NodeId inner = identifier(qualifiers, head);
    --depth_;
    if (error_) return kNoNode;
    return add({.kind = NodeKind::kNot, .span = cover(start, ast_[inner].span), .children = {inner}});
  }
  if (!is_symbol(peek(), Symbol::kOpen)) return leaf(qualifiers, head);
  const Span open = next().span;
  if (!enter()) return kNoNode;
  NodeId left = identifier(qualifiers, head);
  bool own_chain = false;
  while (!error_ && (is_keyword(peek(), KeywordKind::kAnd) || is_keyword(peek(), KeywordKind::kOr))) {
    const NodeKind kind = is_keyword(next(), KeywordKind::kAnd) ? NodeKind::kAnd : NodeKind::kOr;
    const NodeId right = identifier(qualifiers, head);
    if (error_) break;
    if (own_chain && ast_[left].kind == kind) {
      ast_.nodes[left].children.push_back(right);
    } else {
      left = add({.kind = kind, .span = cover(ast_[left].span, ast_[right].span), .children = {left, right}});
      own_chain = true;
    }
  }
  --depth_;
  if (error_) return kNoNode;
  if (!is_symbol(peek(), Symbol::kClose)) {
    if (peek().kind == TokenKind::kEnd) complain("missing ')'", peek().span, "for the '(' that is still open");
    else unexpected();
    return kNoNode;
  }
  ast_.nodes[left].span = cover(open, next().span);
  return left;
}

NodeId Parser::leaf(const Qualifiers& qualifiers, Span head) {
  const Token& token = peek();
  Id id{.kind = IdKind::kName, .text = std::string(token.text), .second = {}, .number = token.value, .span = token.span};
  switch (token.kind) {
    case TokenKind::kName: id.kind = IdKind::kName; break;
    case TokenKind::kNumber: id.kind = IdKind::kNumber; break;
    case TokenKind::kIpv4: id.kind = IdKind::kIpv4; break;
    case TokenKind::kIpv6: id.kind = IdKind::kIpv6; break;
    case TokenKind::kMac48: id.kind = IdKind::kMac48; break;
    case TokenKind::kMac8: id.kind = IdKind::kMac8; break;
    case TokenKind::kKeyword:
      complain(fmt::format("'{}' is a keyword, not a name", token.text), token.span,
               fmt::format("write '\\{}' if you mean the name", token.text));
      return kNoNode;
    case TokenKind::kEnd:
      complain(fmt::format("an identifier must follow '{}'", tokens_[at_ - 1].text), token.span);
      return kNoNode;
    case TokenKind::kSymbol:
      unexpected();
      return kNoNode;
  }
  ++at_;
  if (!prefix(id)) return kNoNode;
  return add({.kind = NodeKind::kPrimitive, .span = id.span, .qualifiers = qualifiers, .qualifiers_span = head,
              .id = std::move(id)});
}

// address / length, address mask address
bool Parser::prefix(Id& id) {
  const bool ipv4 = id.kind == IdKind::kIpv4;
  if (ipv4 && is_keyword(peek(), KeywordKind::kMask)) {
    ++at_;
    if (peek().kind != TokenKind::kIpv4) {
      complain("an IPv4 mask must follow 'mask'", peek().span, "as in 'net 10.0.0.0 mask 255.0.0.0'");
      return false;
    }
    id.kind = IdKind::kIpv4Mask;
    id.second = std::string(peek().text);
    id.span = cover(id.span, next().span);
    return true;
  }
  if (!is_symbol(peek(), Symbol::kSlash) || !(ipv4 || id.kind == IdKind::kIpv6)) return true;
  ++at_;
  const std::uint32_t longest = ipv4 ? 32 : 128;
  if (peek().kind != TokenKind::kNumber) {
    complain("a prefix length must follow '/'", peek().span, fmt::format("0 to {}", longest));
    return false;
  }
  id.number = peek().value;
  if (id.number > longest) {
    complain(fmt::format("prefix length {} is too long", id.number), peek().span, fmt::format("at most {}", longest));
    return false;
  }
  id.kind = ipv4 ? IdKind::kIpv4Prefix : IdKind::kIpv6Prefix;
  id.span = cover(id.span, next().span);
  return true;
}

// What to say of a word that cannot stand where it stands.
void Parser::unexpected() {
  const Token& token = peek();
  // `host a and pot 80`: the name before was taken as one more host; it was meant as a keyword.
  if (at_ > 0 && (token.kind == TokenKind::kNumber || token.kind == TokenKind::kName || token.kind == TokenKind::kIpv4 ||
                  token.kind == TokenKind::kIpv6 || token.kind == TokenKind::kMac48)) {
    const Token& before = tokens_[at_ - 1];
    if (before.kind == TokenKind::kName) return unknown_word(before);
    if (token.kind == TokenKind::kName) return unknown_word(token);
    return complain(fmt::format("'{}' cannot follow '{}'", token.text, before.text), token.span,
                    "write 'and' or 'or' between tests");
  }
  if (token.kind == TokenKind::kName) return unknown_word(token);
  if (is_symbol(token, Symbol::kClose)) return complain("')' without '('", token.span);
  if (is_symbol(token, Symbol::kAmpersand))
    return complain("'&' works on numbers", token.span, "write 'and' or '&&' between tests");
  if (is_symbol(token, Symbol::kBar))
    return complain("'|' works on numbers", token.span, "write 'or' or '||' between tests");
  if (token.kind == TokenKind::kEnd) return complain("the expression ends too early", token.span);
  const bool after_test = at_ > 0 && token.kind == TokenKind::kKeyword &&
                          (tokens_[at_ - 1].kind != TokenKind::kKeyword || is_keyword(tokens_[at_ - 1], KeywordKind::kProtocol)) &&
                          !is_keyword(token, KeywordKind::kAnd) && !is_keyword(token, KeywordKind::kOr);
  complain(fmt::format("'{}' cannot stand here", token.text), token.span,
           after_test ? "write 'and' or 'or' between tests" : "");
}

void Parser::unknown_word(const Token& word) {
  std::string hint = did_you_mean(word.text, known_words());
  if (const std::size_t dash = word.text.find('-'); hint.empty() && dash != std::string_view::npos && dash + 1 < word.text.size())
    hint = fmt::format("to subtract, write '{} - {}' with blanks", word.text.substr(0, dash), word.text.substr(dash + 1));
  if (hint.empty() && word.kind == TokenKind::kName)
    hint = "a name needs a qualifier such as 'host' or 'port' before it";
  complain(fmt::format("unknown word '{}'", word.text), word.span, std::move(hint));
}

Result<Ast> parse(std::string_view text) {
  WEIR_TRY(std::vector<Token> tokens, lex(text));
  return Parser(text, std::move(tokens)).run();
}

Result<std::string> write_tokens(std::string_view text) {
  static constexpr std::string_view kKinds[] = {"end",   "name", "number",  "ipv4",  "ipv6",
                                                "mac48", "mac8", "keyword", "symbol"};
  WEIR_TRY(const std::vector<Token> tokens, lex(text));
  std::string out;
  for (const Token& token : tokens)
    out += fmt::format("{}-{} {} {}\n", token.span.begin, token.span.end, kKinds[static_cast<std::size_t>(token.kind)],
                       token.text);
  return out;
}

}  // namespace weir::filter
