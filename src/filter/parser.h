// The parser's state and rules. parse.cpp holds the boolean rules, parse_arithmetic.cpp relations, parse_special.cpp
// the tests with a shape of their own. The first error stops everything: rules return at once when error_ is set.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/filter/ast.h>

#include "filter/lex.h"

namespace weir::filter {

inline bool is_symbol(const Token& token, Symbol symbol) {
  return token.kind == TokenKind::kSymbol && token.value == static_cast<std::uint32_t>(symbol);
}
inline bool is_keyword(const Token& token, KeywordKind kind) {
  return token.kind == TokenKind::kKeyword && token.keyword->kind == kind;
}
// An operator of arithmetic or a comparison.
bool is_operator(const Token& token);

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens);
  Result<Ast> run();

 private:
  // A node, and what an identifier after it inherits; nothing after a test without an identifier.
  struct Qualified {
    NodeId node = kNoNode;
    std::optional<Qualifiers> qualifiers{};
  };
  static constexpr std::size_t kNoMatch = static_cast<std::size_t>(-1);

  const Token& peek() const { return tokens_[at_]; }
  const Token& next() { return tokens_[at_++]; }
  NodeId add(Node node);
  void complain(std::string message, Span span, std::string hint = {}, ErrorCode code = ErrorCode::kBadInput);
  void unexpected();
  void unknown_word(const Token& word);
  bool expect(Symbol symbol, std::string_view what, std::string hint = {});
  bool enter();
  void match_parentheses();
  bool starts_id(std::size_t at) const;

  Qualified expression(std::optional<Qualifiers> inherited);
  Qualified first_term(std::optional<Qualifiers> inherited);
  Qualified term_or_id(std::optional<Qualifiers> inherited);
  Qualified term(std::optional<Qualifiers> inherited);
  Qualified parenthesised(std::optional<Qualifiers> inherited);
  Qualified keyword_term();
  Qualified head_id(const Qualifiers& qualifiers, std::size_t start);
  void direction(Qualifiers& qualifiers);
  bool directed_type(Qualifiers& qualifiers);
  NodeId identifier(const Qualifiers& qualifiers, Span head);
  NodeId leaf(const Qualifiers& qualifiers, Span head);
  bool prefix(Id& id);

  bool starts_arithmetic() const;
  NodeId relation();
  NodeId arithmetic(int least_precedence);
  NodeId operand();
  NodeId load();

  static bool takes_protocol(Special special);
  NodeId special(const Qualifiers& qualifiers, std::size_t start);
  bool special_operands(Node& node);
  bool optional_number(Node& node);
  bool required_number(Node& node, std::string_view what);
  bool byte_operands(Node& node);
  bool name_operand(Node& node, std::string_view what);
  bool reason_operand(Node& node);
  bool wlan_type(Node& node);
  bool wlan_subtype(Node& node, std::optional<std::uint32_t> type);
  bool wlan_direction(Node& node);
  NodeId compared_field(Node node, std::size_t start);
  bool relation_operator(Relation& relation);

  Ast ast_;
  std::vector<Token> tokens_;
  std::vector<std::size_t> closing_;  // for each '(' its ')'
  std::size_t at_ = 0;
  std::uint32_t depth_ = 0;
  Span inherited_span_{};  // the qualifiers written last
  std::optional<Error> error_;
};

}  // namespace weir::filter
