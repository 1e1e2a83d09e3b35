// Relations and arithmetic. Exports Parser::relation and what it is made of.
//
// Precedence from loose to tight: |, &, << >>, + -, * /, unary -. The operators % and ^ have none in the original
// grammar, which makes them take what stands directly before them and everything that follows: `2 + 7 % 4 + 1` is
// 2 + (7 % (4 + 1)). That meaning is kept.
#include "filter/parser.h"

#include <weir/filter/parse.h>

namespace weir::filter {
namespace {

struct Operator {
  Symbol symbol;
  ArithmeticOp op;
  int precedence;  // kGreedy: takes everything that follows
};
constexpr int kGreedy = 100;
constexpr int kUnary = 6;
constexpr Operator kOperators[] = {
    {Symbol::kBar, ArithmeticOp::kOr, 1},         {Symbol::kAmpersand, ArithmeticOp::kAnd, 2},
    {Symbol::kShiftLeft, ArithmeticOp::kShiftLeft, 3}, {Symbol::kShiftRight, ArithmeticOp::kShiftRight, 3},
    {Symbol::kPlus, ArithmeticOp::kAdd, 4},       {Symbol::kMinus, ArithmeticOp::kSubtract, 4},
    {Symbol::kStar, ArithmeticOp::kMultiply, 5},  {Symbol::kSlash, ArithmeticOp::kDivide, 5},
    {Symbol::kPercent, ArithmeticOp::kModulo, kGreedy}, {Symbol::kCaret, ArithmeticOp::kXor, kGreedy},
};

const Operator* operator_of(const Token& token) {
  if (token.kind != TokenKind::kSymbol) return nullptr;
  for (const Operator& row : kOperators)
    if (is_symbol(token, row.symbol)) return &row;
  return nullptr;
}

bool is_comparison(const Token& token) {
  return token.kind == TokenKind::kSymbol && token.value >= static_cast<std::uint32_t>(Symbol::kEqual);
}

}  // namespace

bool is_operator(const Token& token) { return operator_of(token) != nullptr || is_comparison(token); }

bool Parser::starts_arithmetic() const {
  const Token& token = peek();
  if (token.kind == TokenKind::kNumber || is_symbol(token, Symbol::kMinus)) return true;
  if (is_keyword(token, KeywordKind::kLength)) return true;
  if (is_keyword(token, KeywordKind::kProtocol)) return is_symbol(tokens_[at_ + 1], Symbol::kOpenBracket);
  return is_symbol(token, Symbol::kOpen) && closing_[at_] != kNoMatch && is_operator(tokens_[closing_[at_] + 1]);
}

bool Parser::relation_operator(Relation& relation) {
  struct Row {
    Symbol symbol;
    Relation relation;
  };
  static constexpr Row kRows[] = {
      {Symbol::kEqual, Relation::kEqual},     {Symbol::kNotEqual, Relation::kNotEqual},
      {Symbol::kGreater, Relation::kGreater}, {Symbol::kGreaterOrEqual, Relation::kGreaterOrEqual},
      {Symbol::kLess, Relation::kLess},       {Symbol::kLessOrEqual, Relation::kLessOrEqual}};
  for (const Row& row : kRows) {
    if (!is_symbol(peek(), row.symbol)) continue;
    relation = row.relation;
    const Token& sign = next();
    if (row.symbol == Symbol::kEqual && sign.text == "=" && is_symbol(peek(), Symbol::kGreater) &&
        peek().span.begin == sign.span.end)
      complain("'=>' is no comparison", cover(sign.span, peek().span), "did you mean '>='?");
    return !error_;
  }
  complain("a comparison must follow", peek().span, "=, !=, <, <=, > or >=");
  return false;
}

// relation := arithmetic comparison arithmetic
NodeId Parser::relation() {
  Node node{.kind = NodeKind::kRelation};
  const NodeId left = arithmetic(1);
  if (error_ || !relation_operator(node.relation)) return kNoNode;
  const NodeId right = arithmetic(1);
  if (error_) return kNoNode;
  node.span = cover(ast_[left].span, ast_[right].span);
  node.children = {left, right};
  return add(std::move(node));
}

NodeId Parser::arithmetic(int least_precedence) {
  if (!enter()) return kNoNode;
  NodeId left = operand();
  while (!error_) {
    const Operator* found = operator_of(peek());
    if (found == nullptr || found->precedence < least_precedence) break;
    ++at_;
    const NodeId right = arithmetic(found->precedence == kGreedy ? 1 : found->precedence + 1);
    if (error_) break;
    left = add({.kind = NodeKind::kArithmetic, .span = cover(ast_[left].span, ast_[right].span),
                .children = {left, right}, .arithmetic = found->op});
  }
  --depth_;
  return left;
}

NodeId Parser::operand() {
  const Token& token = peek();
  if (token.kind == TokenKind::kNumber) {
    ++at_;
    return add({.kind = NodeKind::kArithmetic, .span = token.span, .arithmetic = ArithmeticOp::kNumber, .number = token.value});
  }
  if (is_keyword(token, KeywordKind::kLength)) {
    ++at_;
    return add({.kind = NodeKind::kArithmetic, .span = token.span, .arithmetic = ArithmeticOp::kLength});
  }
  if (is_symbol(token, Symbol::kMinus)) {
    ++at_;
    const NodeId inner = arithmetic(kUnary);
    if (error_) return kNoNode;
    return add({.kind = NodeKind::kArithmetic, .span = cover(token.span, ast_[inner].span), .children = {inner},
                .arithmetic = ArithmeticOp::kNegate});
  }
  if (is_symbol(token, Symbol::kOpen)) {
    ++at_;
    const NodeId inner = arithmetic(1);
    if (error_ || !expect(Symbol::kClose, "')'", "for the '(' that is still open")) return kNoNode;
    ast_.nodes[inner].span = cover(token.span, tokens_[at_ - 1].span);
    return inner;
  }
  if (is_keyword(token, KeywordKind::kProtocol)) return load();
  if (token.kind == TokenKind::kEnd) complain("the expression ends where a number should follow", token.span);
  else if (token.kind == TokenKind::kName) unknown_word(token);
  else complain("expected a number, 'len' or 'protocol[...]', not '" + std::string(token.text) + "'", token.span);
  return kNoNode;
}

// load := protocol [ arithmetic { : size } ]
NodeId Parser::load() {
  const Token& word = next();
  Node node{.kind = NodeKind::kArithmetic, .span = {}};
  node.qualifiers.protocol = static_cast<Protocol>(word.keyword->value);
  node.qualifiers_span = word.span;
  node.arithmetic = ArithmeticOp::kLoad;
  node.number = 1;
  if (!expect(Symbol::kOpenBracket, "'['", "bytes are written as in 'tcp[13]'")) return kNoNode;
  const NodeId offset = arithmetic(1);
  if (error_) return kNoNode;
  node.children = {offset};
  if (is_symbol(peek(), Symbol::kColon)) {
    ++at_;
    const Token& size = peek();
    if (size.kind != TokenKind::kNumber) {
      complain("a size must follow ':'", size.span, "1, 2 or 4 bytes");
      return kNoNode;
    }
    if (size.value != 1 && size.value != 2 && size.value != 4) {
      complain("the size of a load is 1, 2 or 4 bytes", size.span);
      return kNoNode;
    }
    node.number = next().value;
  }
  if (!expect(Symbol::kCloseBracket, "']'")) return kNoNode;
  node.span = cover(word.span, tokens_[at_ - 1].span);
  return add(std::move(node));
}

}  // namespace weir::filter
