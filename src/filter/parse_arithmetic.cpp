// Operators, loads and relations. Exports the Parser's functions for them.
//
// Operator precedence with two stacks. From loose to tight: |, &, << >>, + -, * /, unary -. The operators % and ^ have
// no precedence in libpcap's grammar, which makes yacc shift: they bind what stands directly before them and everything
// that follows: `2 + 7 % 4 + 1` is 2 + (7 % (4 + 1)), and `-7 % 3` is -(7 % 3).
#include <fmt/format.h>

#include "filter/parser.h"

namespace weir::filter {
namespace {

constexpr int kShift = -1;  // of % and ^
constexpr int kUnary = 6;
constexpr int kEverything = 0;

}  // namespace

const Parser::Operator* Parser::operator_of(const Token& token) {
  struct Row {
    Symbol symbol;
    Operator value;
  };
  static constexpr Row kRows[] = {
      {Symbol::kBar, {ArithmeticOp::kOr, 1, 0}},
      {Symbol::kAmpersand, {ArithmeticOp::kAnd, 2, 0}},
      {Symbol::kShiftLeft, {ArithmeticOp::kShiftLeft, 3, 0}},
      {Symbol::kShiftRight, {ArithmeticOp::kShiftRight, 3, 0}},
      {Symbol::kPlus, {ArithmeticOp::kAdd, 4, 0}},
      {Symbol::kMinus, {ArithmeticOp::kSubtract, 4, 0}},
      {Symbol::kStar, {ArithmeticOp::kMultiply, 5, 0}},
      {Symbol::kSlash, {ArithmeticOp::kDivide, 5, 0}},
      {Symbol::kPercent, {ArithmeticOp::kModulo, kShift, 0}},
      {Symbol::kCaret, {ArithmeticOp::kXor, kShift, 0}},
  };
  if (token.kind != TokenKind::kSymbol) return nullptr;
  for (const Row& row : kRows)
    if (is_symbol(token, row.symbol)) return &row.value;
  return nullptr;
}

std::optional<Relation> Parser::relation_of(const Token& token) {
  if (token.kind != TokenKind::kSymbol) return std::nullopt;
  switch (static_cast<Symbol>(token.value)) {
    case Symbol::kEqual: return Relation::kEqual;
    case Symbol::kNotEqual: return Relation::kNotEqual;
    case Symbol::kGreater: return Relation::kGreater;
    case Symbol::kGreaterOrEqual: return Relation::kGreaterOrEqual;
    case Symbol::kLess: return Relation::kLess;
    case Symbol::kLessOrEqual: return Relation::kLessOrEqual;
    default: return std::nullopt;
  }
}

void Parser::push_value(const Operand& operand) {
  NodeId node = operand.node;
  if (operand.phrase == Phrase::kNumber)
    node = add({.kind = NodeKind::kArithmetic,
                .span = operand.span,
                .arithmetic = ArithmeticOp::kNumber,
                .number = tokens_[operand.token].value});
  values_.push_back(node);
}

// Applies the operators that wait for their right operand, back to one that binds less than `precedence`.
void Parser::reduce(int precedence) {
  while (operators_.size() > frame().operators_base) {
    const Operator top = operators_.back();
    if (precedence != kEverything && (precedence == kShift || top.precedence < precedence)) return;
    operators_.pop_back();
    const NodeId right = values_.back();
    values_.pop_back();
    Node node{.kind = NodeKind::kArithmetic, .span = ast_[right].span, .arithmetic = top.op};
    if (top.op == ArithmeticOp::kNegate) {
      node.span = cover(tokens_[top.token].span, node.span);
      node.children = {right};
    } else {
      const NodeId left = values_.back();
      values_.pop_back();
      node.span = cover(ast_[left].span, node.span);
      node.children = {left, right};
    }
    values_.push_back(add(std::move(node)));
  }
}

// Reads the operator at this place; a unary minus has no precedence towards what stands before it.
bool Parser::push_operator(const Operator& found) {
  if (!deeper()) return false;
  const bool unary = found.op == ArithmeticOp::kNegate;
  if (!unary) reduce(found.precedence);
  operators_.push_back({found.op, unary ? kUnary : found.precedence, at_++});
  frame().in_value = true;
  return true;
}

bool Parser::push_relation(const Operand& left) {
  Frame& f = frame();
  push_value(left);
  reduce(kEverything);
  f.relation = relation_of(next());
  f.left = values_.back();
  values_.pop_back();
  f.in_value = true;
  return true;
}

// The end of arithmetic: a relation, or a value alone.
Parser::Operand Parser::finish_value(const Operand& last) {
  Frame& f = frame();
  push_value(last);
  reduce(kEverything);
  NodeId node = values_.back();
  values_.pop_back();
  f.in_value = false;
  if (!f.relation) return {.phrase = Phrase::kValue, .node = node};
  node = add({.kind = NodeKind::kRelation,
              .span = cover(ast_[f.left].span, ast_[node].span),
              .children = {f.left, node},
              .relation = *f.relation});
  f.inherited.reset();
  return {.phrase = Phrase::kTest, .node = node};
}

// protocol [ offset ], protocol [ offset : size ]
std::optional<Parser::Operand> Parser::close_brackets(const Operand& offset) {
  std::uint32_t size = 1;
  if (is_symbol(peek(), Symbol::kColon)) {
    ++at_;
    const Token& word = peek();
    if (word.kind == TokenKind::kBad) {
      complain_of_operand();
      return std::nullopt;
    }
    if (word.kind != TokenKind::kNumber || (word.value != 1 && word.value != 2 && word.value != 4)) {
      complain(word.kind == TokenKind::kNumber ? fmt::format("{} bytes cannot be loaded at once", word.value)
                                               : "a number of bytes must follow ':'",
               word.span, "the size is 1, 2 or 4");
      return std::nullopt;
    }
    size = next().value;
  }
  if (!is_symbol(peek(), Symbol::kCloseBracket)) {
    complain_after(offset);
    return std::nullopt;
  }
  push_value(offset);
  const NodeId child = values_.back();
  values_.pop_back();
  const Token& protocol = tokens_[frame().open];
  frames_.pop_back();
  return Operand{.phrase = Phrase::kValue,
                 .node = add({.kind = NodeKind::kArithmetic,
                              .span = cover(protocol.span, next().span),
                              .children = {child},
                              .qualifiers = {.protocol = static_cast<Protocol>(protocol.keyword->value)},
                              .qualifiers_span = protocol.span,
                              .arithmetic = ArithmeticOp::kLoad,
                              .number = size})};
}

}  // namespace weir::filter
