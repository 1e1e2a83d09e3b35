// Words to tree: the machine. Exports parse and write_tokens.
//
// Two steps alternate: read_operand() reads up to the end of an operand, opening frames on its way; follow() decides by
// the next word what the operand was, and goes on: to the next operand, or out of the frame, which makes the frame an
// operand of the one around it. The rules are those of libpcap's grammar, with its conflicts decided as yacc decides
// them (shift):
//   - `and` and `or` have equal precedence and bind to the left; `not` takes what follows directly;
//   - an identifier without qualifiers inherits those of the operand before it; after a test in parentheses, those from
//     before the parentheses; after a protocol, a relation or a special test there are none to inherit;
//   - identifiers in parentheses may not start with more parentheses: `port (80 or (81))` but not `port ((81) or 80)`.
// A run of one connective becomes one node with many children, made when the run ends, so children precede parents.
#include <weir/filter/parse.h>

#include <fmt/format.h>

#include "filter/parser.h"

namespace weir::filter {

Parser::Parser(std::string_view text, Words words, const ParseOptions& options)
    : strict_(options.strict), tokens_(std::move(words.tokens)), lexical_error_(std::move(words.error)) {
  ast_.text = std::string(text);
  ast_.nodes.reserve(tokens_.size());
}

Result<Ast> Parser::run() {
  if (peek().kind == TokenKind::kEnd) {
    ast_.root = add({.kind = NodeKind::kEmpty, .span = peek().span});
    return std::move(ast_);
  }
  open(FrameKind::kWhole, 0, kTestHere);
  while (!error_ && ast_.root == kNoNode) {
    std::optional<Operand> operand = read_operand();
    while (operand && !error_) operand = follow(*operand);
  }
  if (error_) return fail(std::move(*error_));
  return std::move(ast_);
}

NodeId Parser::add(Node node) {
  ast_.nodes.push_back(std::move(node));
  return static_cast<NodeId>(ast_.nodes.size() - 1);
}

// Whether one more parenthesis, bracket, `not` or operator may wait for its end.
bool Parser::deeper() {
  if (frames_.size() + nots_.size() + operators_.size() <= kMaximumNesting) return true;
  complain(fmt::format("parentheses, 'not' and operators are nested more than {} deep", kMaximumNesting), peek().span,
           {}, ErrorCode::kLimit);
  return false;
}

bool Parser::open(FrameKind kind, std::size_t token, Expect content) {
  if (!deeper()) return false;
  Frame inner{.kind = kind, .open = token, .content = content, .operands_base = operands_.size()};
  if (kind == FrameKind::kParentheses) inner.inherited = frame().inherited;
  frames_.push_back(std::move(inner));
  start_operand(content);
  return true;
}

void Parser::start_operand(Expect expect) {
  Frame& f = frame();
  f.expect = expect;
  f.nots_base = nots_.size();
  f.head = kNoToken;
  f.in_value = false;
  f.operators_base = operators_.size();
  f.relation.reset();
}

Parser::Expect Parser::expected() const { return frame().in_value ? Expect(kValueHere | kNumberHere) : frame().expect; }

// Reads `not`, qualifiers and '(' up to what ends an operand. Nothing is returned after complain().
std::optional<Parser::Operand> Parser::read_operand() {
  for (;;) {
    const Token& token = peek();
    switch (token.kind) {
      case TokenKind::kNumber: ++at_; return Operand{.phrase = Phrase::kNumber, .token = at_ - 1, .span = token.span};
      case TokenKind::kName:
      case TokenKind::kIpv4:
      case TokenKind::kIpv6:
      case TokenKind::kMac48:
      case TokenKind::kMac8:
      case TokenKind::kFile: {
        if (!allows(kIdentifierHere | kListStart)) break;
        const NodeId node = identifier();
        if (node == kNoNode) return std::nullopt;
        return Operand{.phrase = Phrase::kIdentifier, .node = node};
      }
      case TokenKind::kSymbol:
        if (is_symbol(token, Symbol::kOpen)) {
          Expect content = 0;
          if (allows(kIdentifierHere)) content |= kListStart | kNumberHere;
          if (allows(kListStart | kNumberHere)) content |= kNumberHere;
          if (allows(kTestHere)) content |= kTestHere;
          if (allows(kTestHere | kValueHere)) content |= kValueHere | kNumberHere;
          if (!open(FrameKind::kParentheses, at_, content)) return std::nullopt;
          ++at_;
          continue;
        }
        if (is_symbol(token, Symbol::kOpenBrace) && allows(kIdentifierHere | kListStart)) {
          const NodeId node = set();
          if (node == kNoNode) return std::nullopt;
          return Operand{.phrase = Phrase::kIdentifier, .node = node};
        }
        if (is_symbol(token, Symbol::kMinus) && allows(kTestHere | kValueHere)) {
          if (!push_operator({ArithmeticOp::kNegate, 0, at_})) return std::nullopt;
          continue;
        }
        break;
      case TokenKind::kKeyword: {
        const std::size_t before = at_;
        std::optional<Operand> operand = read_keyword();
        if (operand || error_) return operand;
        if (at_ != before) continue;
        break;
      }
      case TokenKind::kEnd:
      case TokenKind::kBad: break;
    }
    complain_of_operand();
    return std::nullopt;
  }
}

// An operand that is a keyword; or nothing: then at_ has moved if the keyword was read as the start of an operand.
std::optional<Parser::Operand> Parser::read_keyword() {
  const Token& token = peek();
  const bool test = allows(kTestHere) && !frame().in_value;
  switch (token.keyword->kind) {
    case KeywordKind::kNot:
      if (!allows(kIdentifierHere | kListStart | kTestHere) || !deeper()) return std::nullopt;
      nots_.push_back(at_++);
      frame().expect = static_cast<Expect>((allows(kIdentifierHere | kListStart) ? kIdentifierHere : 0) |
                                           (allows(kTestHere) ? kTestHere : 0));
      return std::nullopt;
    case KeywordKind::kLength:
      if (!allows(kTestHere | kValueHere)) return std::nullopt;
      ++at_;
      return Operand{
          .phrase = Phrase::kValue,
          .node = add({.kind = NodeKind::kArithmetic, .span = token.span, .arithmetic = ArithmeticOp::kLength})};
    case KeywordKind::kProtocol:
      if (is_symbol(tokens_[at_ + 1], Symbol::kOpenBracket) && allows(kTestHere | kValueHere)) {
        if (open(FrameKind::kBrackets, at_, kValueHere | kNumberHere)) at_ += 2;
        return std::nullopt;
      }
      break;
    default: break;
  }
  if (!test) return std::nullopt;
  const std::size_t start = at_;
  Protocol protocol = Protocol::kDefault;
  if (token.keyword->kind == KeywordKind::kProtocol) protocol = static_cast<Protocol>(next().keyword->value);
  const bool at_keyword = peek().kind == TokenKind::kKeyword;
  if (at_keyword && (protocol == Protocol::kDefault || takes_protocol(*peek().keyword)) &&
      (is_keyword(peek(), KeywordKind::kSpecial) || is_keyword(peek(), KeywordKind::kSubtype))) {
    const NodeId node = special(protocol, start);
    if (node == kNoNode) return std::nullopt;
    frame().inherited.reset();
    return Operand{.node = node};
  }
  if (is_keyword(peek(), KeywordKind::kDirection) || is_keyword(peek(), KeywordKind::kType)) {
    at_ = start;
    read_head();
    return std::nullopt;
  }
  if (protocol == Protocol::kDefault) return std::nullopt;
  frame().inherited.reset();
  return Operand{.node = add({.kind = NodeKind::kProtocol,
                              .span = token.span,
                              .qualifiers = {.protocol = protocol},
                              .qualifiers_span = token.span})};
}

// Decides by the next word what the operand is. Returns the operand that its frame became, or nothing if another
// operand must be read (or all is read, or after complain()).
std::optional<Parser::Operand> Parser::follow(Operand operand) {
  const Token& token = peek();
  Frame& f = frame();
  if (operand.phrase == Phrase::kNumber || operand.phrase == Phrase::kValue) {
    const Operator* found = operator_of(token);
    if (found != nullptr && allows(kTestHere | kValueHere)) {
      push_value(operand);
      push_operator({found->op, found->precedence, at_});
      return std::nullopt;
    }
    if (relation_of(token) && (f.expect & kTestHere) != 0 && !f.relation) {
      push_relation(operand);
      return std::nullopt;
    }
    if (f.in_value) operand = finish_value(operand);
    if (f.kind == FrameKind::kBrackets) return close_brackets(operand);
  }
  if (f.kind == FrameKind::kParentheses && is_symbol(token, Symbol::kClose) &&
      (operand.phrase == Phrase::kNumber || operand.phrase == Phrase::kValue) && operands_.size() == f.operands_base &&
      nots_.size() == f.nots_base && f.head == kNoToken)
    if ((f.expect & (operand.phrase == Phrase::kNumber ? kNumberHere : kValueHere)) != 0)
      return close_parentheses(operand);
  if (!settle(operand)) return std::nullopt;

  const bool connective = is_keyword(token, KeywordKind::kAnd) || is_keyword(token, KeywordKind::kOr);
  const bool close = f.kind == FrameKind::kParentheses && is_symbol(token, Symbol::kClose);
  const bool end = f.kind == FrameKind::kWhole && token.kind == TokenKind::kEnd;
  if (!connective && !close && !end) {
    complain_after(operand);
    return std::nullopt;
  }
  if (operands_.size() == f.operands_base) f.only_list = operand.phrase != Phrase::kTest;
  append(finish_operand(operand));
  if (connective) {
    f.connective = is_keyword(next(), KeywordKind::kAnd) ? NodeKind::kAnd : NodeKind::kOr;
    start_operand(f.only_list ? kIdentifierHere : Expect(kIdentifierHere | kTestHere));
    return std::nullopt;
  }
  const NodeId whole = join();
  if (close) return close_parentheses({.phrase = f.only_list ? Phrase::kList : Phrase::kTest, .node = whole});
  ast_.root = whole;
  return std::nullopt;
}

// A number that may be an identifier here is one. Arithmetic that is compared with nothing is an error.
bool Parser::settle(Operand& operand) {
  if (operand.phrase == Phrase::kNumber && allows(kIdentifierHere | kListStart)) {
    operand.node = number_identifier(operand);
    operand.phrase = Phrase::kIdentifier;
    if (operand.node == kNoNode) return false;
  }
  if (operand.phrase == Phrase::kNumber || operand.phrase == Phrase::kValue) {
    complain_after_value(operand);
    return false;
  }
  if (frame().head != kNoToken) operand.phrase = Phrase::kTest;
  return true;
}

// The current operand with its qualifiers and its `not`s around it.
NodeId Parser::finish_operand(const Operand& operand) {
  const Frame& f = frame();
  NodeId node = operand.node;
  bool head_pending = f.head != kNoToken;
  const auto take_head = [&] {
    if (head_pending) ast_.nodes[node].span = cover(tokens_[f.head].span, ast_[node].span);
    head_pending = false;
  };
  while (nots_.size() > f.nots_base) {
    const std::size_t at = nots_.back();
    nots_.pop_back();
    if (at < f.head) take_head();
    const Span span = cover(tokens_[at].span, ast_[node].span);
    node = add({.kind = NodeKind::kNot, .span = span, .children = {node}});
  }
  take_head();
  return node;
}

void Parser::append(NodeId node) {
  Frame& f = frame();
  if (operands_.size() > f.operands_base + 1 && f.joined != f.connective) {
    const NodeId left = join();
    operands_.resize(f.operands_base);
    operands_.push_back(left);
  }
  f.joined = f.connective;
  operands_.push_back(node);
}

// The operands of the frame as one node.
NodeId Parser::join() {
  const Frame& f = frame();
  const auto first = operands_.begin() + static_cast<std::ptrdiff_t>(f.operands_base);
  if (operands_.end() - first == 1) return *first;
  return add({.kind = f.joined,
              .span = cover(ast_[*first].span, ast_[operands_.back()].span),
              .children = SmallVector<NodeId, 2>(std::span<const NodeId>(first, operands_.end()))});
}

std::optional<Parser::Operand> Parser::close_parentheses(const Operand& operand) {
  Operand closed = operand;
  const Span span = cover(tokens_[frame().open].span, next().span);
  if (closed.phrase == Phrase::kNumber) closed.span = span;
  else ast_.nodes[closed.node].span = span;
  operands_.resize(frame().operands_base);
  frames_.pop_back();
  return closed;
}

Result<Ast> parse(std::string_view text, const ParseOptions& options) {
  return Parser(text, lex(text, options.strict), options).run();
}

Result<std::string> write_tokens(std::string_view text) {
  static constexpr std::string_view kKinds[] = {"end",   "bad",  "name", "number",  "ipv4",  "ipv6",
                                                "mac48", "mac8", "file", "keyword", "symbol"};
  Words words = lex(text);
  if (words.error) return fail(std::move(*words.error));
  std::string out;
  for (const Token& token : words.tokens)
    out += fmt::format("{}-{} {}{}{}\n", token.span.begin, token.span.end, kKinds[static_cast<std::size_t>(token.kind)],
                       token.text.empty() ? "" : " ", token.text);
  return out;
}

}  // namespace weir::filter
