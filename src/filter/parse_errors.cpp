// What to say of a word that cannot stand where it stands. Exports the Parser's complain functions.
//
// The place of an error is the first word that cannot stand there, except that a name before it that is nearly a
// keyword is blamed instead: in `host a and pot 80` the name `pot` is a possible host, only `80` after it is not.
#include <utility>

#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "filter/parser.h"
#include "filter/signs.h"

namespace weir::filter {
namespace {

bool is_identifier(const Token& token) {
  switch (token.kind) {
    case TokenKind::kName:
    case TokenKind::kIpv4:
    case TokenKind::kIpv6:
    case TokenKind::kMac48:
    case TokenKind::kMac8: return true;
    default: return false;
  }
}

bool is_escaped(const Token& token) { return token.span.end - token.span.begin != token.text.size(); }

bool is_connective(const Token& token) {
  return is_keyword(token, KeywordKind::kAnd) || is_keyword(token, KeywordKind::kOr);
}

// The qualifier that an identifier of this form wants.
std::string_view usual_qualifier(const Token& token) {
  switch (token.kind) {
    case TokenKind::kNumber: return "port";
    case TokenKind::kMac48:
    case TokenKind::kMac8: return "ether host";
    default: return "host";
  }
}

// `len-2`, `80-1`: one identifier that was meant as a subtraction.
std::string subtraction_hint(const Token& token) {
  const std::size_t dash = token.text.find('-');
  if (dash == std::string_view::npos || is_escaped(token)) return {};
  const std::string_view left = token.text.substr(0, dash);
  const std::string_view right = token.text.substr(dash + 1);
  const auto is_value = [](std::string_view word) {
    return word == "len" || word == "length" || find_number(word) ||
           (!word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos);
  };
  if (!is_value(left) || right.empty()) return {};
  return fmt::format("to subtract, write '{} - {}' with blanks", left, right);
}

// Fields of Wireshark's display filters, and the same tests here.
std::string display_field_hint(std::string_view word) {
  static constexpr std::pair<std::string_view, std::string_view> kFields[] = {
      {"eth.addr", "ether host 00:11:22:33:44:55"},
      {"eth.dst", "ether dst 00:11:22:33:44:55"},
      {"eth.src", "ether src 00:11:22:33:44:55"},
      {"eth.type", "ether proto 0x88cc"},
      {"frame.len", "len > 100"},
      {"ip.addr", "host 10.0.0.1"},
      {"ip.dst", "dst host 10.0.0.1"},
      {"ip.proto", "ip proto 47"},
      {"ip.src", "src host 10.0.0.1"},
      {"ip.ttl", "ip[8] = 64"},
      {"ipv6.addr", "host 2001:db8::1"},
      {"ipv6.dst", "dst host 2001:db8::1"},
      {"ipv6.src", "src host 2001:db8::1"},
      {"tcp.dstport", "tcp dst port 80"},
      {"tcp.flags.syn", "tcp[tcpflags] & tcp-syn != 0"},
      {"tcp.port", "tcp port 80"},
      {"tcp.srcport", "tcp src port 80"},
      {"udp.dstport", "udp dst port 53"},
      {"udp.port", "udp port 53"},
      {"udp.srcport", "udp src port 53"},
      {"vlan.id", "vlan 100"}};
  for (const auto& [field, test] : kFields)
    if (field == word) return fmt::format("a display filter of Wireshark is another language; here '{}'", test);
  return {};
}

}  // namespace

void Parser::complain(std::string message, Span span, std::string hint, ErrorCode code) {
  if (error_) return;
  error_ = Error{.code = code, .message = tidy(std::move(message)), .place = span, .hint = tidy(std::move(hint))};
}

std::string Parser::text_of(NodeId node) const {
  constexpr std::size_t kLongest = 40;
  const Span span = ast_[node].span;
  std::string text = ast_.text.substr(span.begin, span.end - span.begin);
  return text.size() <= kLongest ? text : std::string();
}

void Parser::unknown_word(const Token& word, std::string hint) {
  if (hint.empty()) hint = subtraction_hint(word);
  if (hint.empty()) hint = did_you_mean(word.text, known_words());
  complain(fmt::format("unknown word '{}'", word.text), word.span, std::move(hint));
}

// The lexer's error, if that is what stands here.
bool Parser::complain_of_word() {
  if (peek().kind != TokenKind::kBad || !lexical_error_) return false;
  if (!error_) error_ = std::move(*lexical_error_);
  return true;
}

// Signs that are no operators together: `&&&`, `=>`, `===`.
bool Parser::complain_of_joined_sign() {
  if (at_ == 0 || peek().kind == TokenKind::kEnd) return false;
  const Token& left = previous();
  const Token& right = peek();
  if (left.span.end != right.span.begin) return false;
  struct Row {
    std::string_view left, right, meant;
  };
  static constexpr Row kRows[] = {
      {"&&", "&", "&&"}, {"&&", "&&", "&&"}, {"||", "|", "||"}, {"||", "||", "||"}, {"=", ">", ">="},
      {"=", "<", "<="},  {"=", ">=", ">="},  {"=", "<=", "<="}, {"==", "=", "="},   {"!=", "=", "!="},
      {"=", "!", "!="},  {"<", ">", "!="},   {"<=", ">", "="},  {">=", "=", ">="},  {"<=", "=", "<="},
  };
  for (const Row& row : kRows) {
    if (left.text != row.left || right.text != row.right) continue;
    complain(fmt::format("'{}{}' is no operator", left.text, right.text), cover(left.span, right.span),
             fmt::format("did you mean '{}'?", row.meant));
    return true;
  }
  return false;
}

// '(' or '[' that nothing closes.
void Parser::complain_of_open_frame() {
  const Frame& f = frame();
  const bool bracket = f.kind == FrameKind::kBrackets;
  const Token& open = tokens_[bracket ? f.open + 1 : f.open];
  complain(fmt::format("'{}' is never closed", open.text), open.span,
           bracket ? "a ']' is missing" : "a ')' is missing");
}

// The word at at_ cannot start or go on with the operand that must stand here.
void Parser::complain_of_operand() {
  if (complain_of_word() || complain_of_joined_sign()) return;
  const Token& token = peek();
  const Frame& f = frame();
  if (token.kind == TokenKind::kEnd || is_symbol(token, Symbol::kClose) || is_symbol(token, Symbol::kCloseBracket) ||
      is_connective(token))
    return complain_of_missing_operand();
  if (f.in_value || f.kind == FrameKind::kBrackets) return complain_in_value();
  if (is_identifier(token) && f.inherited && f.kind == FrameKind::kParentheses)
    return complain(fmt::format("'{}' cannot stand in parentheses of its own at the start of a list", token.text),
                    token.span, "leave out the parentheses around it");
  if (is_identifier(token)) return complain_of_unqualified(token);
  if (token.kind == TokenKind::kKeyword && f.head != kNoToken && f.head_end == at_)
    return complain_of_keyword_as_name();
  if (token.kind == TokenKind::kKeyword && (f.expect & kTestHere) == 0 && !is_keyword(token, KeywordKind::kLength))
    return complain(fmt::format("'{}' cannot stand in a list of names or numbers", token.text), token.span,
                    fmt::format("a list holds no tests; if it is a name, write '\\{}'", token.text));
  if (is_symbol(token, Symbol::kOpenBrace) && !f.inherited)
    return complain("a set needs a qualifier before it", token.span, "as in 'port {80, 443}'");
  std::string hint;
  if (is_keyword(token, KeywordKind::kMask)) hint = "it stands between addresses: 'net 10.0.0.0 mask 255.0.0.0'";
  else if (is_keyword(token, KeywordKind::kLength) || is_symbol(token, Symbol::kMinus))
    hint = "this list takes names or numbers alone";
  else if (is_symbol(token, Symbol::kOpenBracket)) hint = "a protocol must stand before it, as in 'tcp[13]'";
  else if (relation_of(token) || operator_of(token) != nullptr) hint = "a value must stand before it";
  complain(fmt::format("'{}' cannot stand here", token.text), token.span, std::move(hint));
}

// The text, parentheses or brackets end, or a connective comes, where an operand must stand.
void Parser::complain_of_missing_operand() {
  const Token& token = peek();
  const Frame& f = frame();
  const bool end = token.kind == TokenKind::kEnd;
  if (at_ == 0) return complain(fmt::format("nothing stands before '{}'", token.text), token.span);
  const Token& before = previous();
  if (is_symbol(before, Symbol::kOpen)) {
    if (end) return complain_of_open_frame();
    if (is_symbol(token, Symbol::kClose))
      return complain("nothing stands between the parentheses", cover(before.span, token.span));
  }
  if (is_symbol(before, Symbol::kOpenBracket)) {
    if (end) return complain_of_open_frame();
    return complain("an offset is missing between the brackets", cover(before.span, token.span), "as in 'tcp[13]'");
  }
  const char* what = "a test";
  if (f.in_value) what = "a value";
  else if (f.head != kNoToken) what = "a name, a number or an address";
  else if (f.only_list) what = "a name, a number or an address";
  if (end) return complain(fmt::format("the expression ends where {} must follow '{}'", what, before.text), token.span);
  if (token.kind == TokenKind::kKeyword && f.head != kNoToken && f.head_end == at_ &&
      f.inherited->qualifiers.type == Type::kDefault)
    return complain(fmt::format("{} must follow '{}', not '{}'", what, before.text, token.text), token.span,
                    fmt::format("write '{} host ...' or '{} port ...'", before.text, before.text));
  complain(fmt::format("{} must follow '{}', not '{}'", what, before.text, token.text), token.span);
}

// An identifier where there are no qualifiers to inherit.
void Parser::complain_of_unqualified(const Token& word) {
  if (word.kind == TokenKind::kName && !is_escaped(word)) {
    std::string hint = subtraction_hint(word);
    if (hint.empty()) hint = display_field_hint(word.text);
    if (hint.empty()) hint = did_you_mean(word.text, known_words());
    if (hint.empty()) hint = fmt::format("if it is a name, say of what: 'host {0}', 'port {0}'", word.text);
    return unknown_word(word, std::move(hint));
  }
  if (find_number(word.text)) {
    const std::string_view usual = word.text.substr(0, 3) == "tcp"     ? "tcp[tcpflags] & {} != 0"
                                   : word.text.substr(0, 5) == "icmp6" ? "icmp6[icmp6type] = {}"
                                                                       : "icmp[icmptype] = {}";
    return complain(fmt::format("'{}' is a number, not a test", word.text), word.span,
                    fmt::format("compare it, as in '{}'", fmt::format(fmt::runtime(usual), word.text)));
  }
  complain(fmt::format("'{}' needs a qualifier before it", word.text), word.span,
           fmt::format("such as '{} {}'", usual_qualifier(word), word.text));
}

// `ip proto tcp`, `port tcp 80`, `host src 10.0.0.1`
void Parser::complain_of_keyword_as_name() {
  const Token& token = peek();
  const Frame& f = frame();
  const Type type = f.inherited->qualifiers.type;
  const std::string_view head(ast_.text.data() + tokens_[f.head].span.begin,
                              tokens_[f.head_end - 1].span.end - tokens_[f.head].span.begin);
  const bool qualifier = is_keyword(token, KeywordKind::kProtocol) || is_keyword(token, KeywordKind::kDirection) ||
                         is_keyword(token, KeywordKind::kType);
  const bool names_protocol = type == Type::kProto || type == Type::kProtoChain;
  if (!names_protocol && qualifier && f.head + 1 == f.head_end) {
    const bool misplaced = is_identifier(tokens_[at_ + 1]) || tokens_[at_ + 1].kind == TokenKind::kNumber;
    if (misplaced && !is_keyword(token, KeywordKind::kType))
      return complain(fmt::format("'{}' cannot follow '{}'", token.text, head), token.span,
                      fmt::format("the order is protocol, direction, type: '{} {}'", token.text, head));
  }
  complain(fmt::format("'{}' is a keyword, not a name", token.text), token.span,
           fmt::format("if it is the name, write '{} \\{}'", head, token.text));
}

// Inside arithmetic only numbers, len and loads may stand.
void Parser::complain_in_value() {
  const Token& token = peek();
  if (is_keyword(token, KeywordKind::kProtocol)) {
    const Token& before = previous();
    std::string hint = fmt::format("its bytes are '{}[...]'", token.text);
    if (is_symbol(before, Symbol::kAmpersand)) hint += "; between tests write 'and' or '&&'";
    if (is_symbol(before, Symbol::kBar)) hint += "; between tests write 'or' or '||'";
    return complain(fmt::format("'{}' has no value", token.text), token.span, std::move(hint));
  }
  if (token.kind == TokenKind::kName && !is_escaped(token)) {
    std::string hint = subtraction_hint(token);
    if (hint.empty()) hint = did_you_mean(token.text, number_names());
    return unknown_word(token, std::move(hint));
  }
  std::string hint = "a number, 'len' or bytes such as 'tcp[13]'";
  if (is_symbol(previous(), Symbol::kAmpersand) || is_symbol(previous(), Symbol::kBar))
    hint = fmt::format("between tests write '{0}{0}'", previous().text);
  complain(fmt::format("a value must follow '{}', not '{}'", previous().text, token.text), token.span, std::move(hint));
}

// The word at at_ cannot follow a complete operand.
void Parser::complain_after(const Operand& operand) {
  if (complain_of_word() || complain_of_joined_sign()) return;
  const Token& token = peek();
  if (token.kind == TokenKind::kEnd) return complain_of_open_frame();
  if (is_symbol(token, Symbol::kClose)) {
    if (frame().kind == FrameKind::kBrackets) return complain_of_open_frame();
    return complain("')' closes nothing", token.span, "there is no '(' for it");
  }
  if (is_symbol(token, Symbol::kCloseBracket)) return complain("']' closes nothing", token.span);
  if (frame().kind == FrameKind::kBrackets)
    return complain(fmt::format("'{}' cannot stand in the brackets", token.text), token.span,
                    relation_of(token) || is_connective(token) ? "a ']' is missing before it"
                                                               : "they hold an offset and a size, as in 'tcp[2:2]'");
  const Token& before = previous();
  const bool follows_slash = at_ > 1 && is_symbol(tokens_[at_ - 2], Symbol::kSlash);
  if (is_symbol(token, Symbol::kAmpersand) || is_symbol(token, Symbol::kBar)) {
    const bool both = is_symbol(token, Symbol::kAmpersand);
    return complain(fmt::format("'{}' joins numbers, not tests", token.text), token.span,
                    both ? "write 'and' or '&&'" : "write 'or' or '||'");
  }
  if (is_symbol(token, Symbol::kColon)) {
    std::string hint;
    if (before.kind == TokenKind::kIpv4) hint = fmt::format("for a port, write 'host {} and port ...'", before.text);
    else if (before.kind == TokenKind::kName) hint = "a MAC address has six groups, an IPv6 address eight or '::'";
    return complain(fmt::format("':' cannot follow '{}'", before.text), token.span, std::move(hint));
  }
  if (is_symbol(token, Symbol::kSlash) && before.kind == TokenKind::kNumber && !follows_slash)
    return complain("a prefix length must follow an address with dots", token.span,
                    fmt::format("as in 'net {}.0.0.0/8'", before.text));
  if (is_keyword(token, KeywordKind::kMask))
    return complain("'mask' must follow an IPv4 address with dots", token.span, "as in 'net 10.0.0.0 mask 255.0.0.0'");
  if (is_symbol(token, Symbol::kOpenBracket))
    return complain("'[' must follow a protocol", token.span, "only protocols have bytes, as in 'tcp[13]'");
  if (is_symbol(token, Symbol::kMinus) && before.kind == TokenKind::kNumber && frame().inherited &&
      frame().inherited->qualifiers.type == Type::kPortRange)
    return complain("a range of ports is one word", token.span,
                    fmt::format("write '{}-...' without blanks", before.text));
  if (relation_of(token) || operator_of(token) != nullptr)
    return complain(fmt::format("'{}' cannot follow a test", token.text), token.span,
                    operand.phrase == Phrase::kTest && before.kind == TokenKind::kKeyword
                        ? fmt::format("'{}' has no value; bytes are written as in 'tcp[13]'", before.text)
                        : "it works on numbers");
  complain_of_adjacent(operand);
}

// Two operands with nothing between them.
void Parser::complain_of_adjacent(const Operand& operand) {
  const Token& token = peek();
  const Token& before = previous();
  const bool identifier = is_identifier(token) || token.kind == TokenKind::kNumber;
  // A name that was meant as a keyword.
  if (before.kind == TokenKind::kName && !is_escaped(before) && operand.node != kNoNode &&
      ast_[operand.node].kind == NodeKind::kPrimitive)
    if (const std::string hint = did_you_mean(before.text, known_words()); !hint.empty())
      return unknown_word(before, hint);
  if (token.kind == TokenKind::kName && !is_escaped(token)) {
    const std::string hint = did_you_mean(token.text, known_words());
    if (!hint.empty()) return unknown_word(token, hint);
  }
  if (identifier && operand.node != kNoNode && ast_[operand.node].kind == NodeKind::kProtocol) {
    const std::string_view protocol = name_of(ast_[operand.node].qualifiers.protocol);
    const bool number = token.kind == TokenKind::kNumber;
    const bool transport = protocol == "tcp" || protocol == "udp" || protocol == "sctp";
    const std::string_view type = number ? (transport ? "port" : "proto") : (transport ? "port" : "host");
    return complain(fmt::format("'{}' cannot follow '{}' directly", token.text, before.text), token.span,
                    fmt::format("say what it is, as in '{} {} {}'", before.text, type, token.text));
  }
  const bool mask = token.kind == TokenKind::kIpv4 && before.kind == TokenKind::kIpv4 && token.text.starts_with("255.");
  complain(fmt::format("'{}' cannot follow '{}'", token.text, before.text), token.span,
           mask ? fmt::format("as in 'net {} mask {}'", before.text, token.text) : "write 'and' or 'or' between tests");
}

// Arithmetic that is compared with nothing.
void Parser::complain_after_value(const Operand& operand) {
  if (complain_of_word() || complain_of_joined_sign()) return;
  const Token& token = peek();
  const Frame& f = frame();
  if (operand.phrase == Phrase::kNumber) {
    const Token& number = tokens_[operand.token];
    if (token.kind == TokenKind::kEnd && f.kind != FrameKind::kWhole) return complain_of_open_frame();
    if (is_symbol(token, Symbol::kSlash) || is_symbol(token, Symbol::kOpenBracket)) return complain_after(operand);
    return complain_of_unqualified(number);
  }
  if ((f.expect & (kTestHere | kValueHere)) == 0) return complain_after(operand);
  if (token.kind == TokenKind::kEnd && (f.expect & kValueHere) != 0 && f.kind == FrameKind::kParentheses)
    return complain_of_open_frame();
  const std::string value = text_of(operand.node);
  std::string hint = value.empty() ? "such as '!= 0'" : fmt::format("such as '{} != 0'", value);
  if (!f.relation && !(token.kind == TokenKind::kEnd || is_connective(token) || is_symbol(token, Symbol::kClose)))
    hint = fmt::format("'{}' is none", token.text);
  const Node& node = ast_[operand.node];
  if (is_symbol(token, Symbol::kOpenBracket)) return complain_after(operand);
  const bool joined = node.arithmetic == ArithmeticOp::kAnd || node.arithmetic == ArithmeticOp::kOr;
  if (joined && ast_[node.children.front()].arithmetic == ArithmeticOp::kNumber && token.kind != TokenKind::kEnd)
    hint = fmt::format("between tests write '{0}{0}'", sign_of(node.arithmetic));
  complain("a comparison must follow this value", token.span, std::move(hint));
}

}  // namespace weir::filter
