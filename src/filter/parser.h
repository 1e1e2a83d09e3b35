// The parser's state and rules, split by subject:
//   parse.cpp             the machine: frames, connectives, parentheses, inheritance of qualifiers
//   parse_primitive.cpp   qualifiers and identifiers
//   parse_arithmetic.cpp  operators, loads, relations
//   parse_set.cpp         sets of identifiers and of numbers
//   parse_special.cpp     tests with a shape of their own
//   parse_errors.cpp      what to say of a word that cannot stand where it stands
//
// The grammar of pcap-filter is LALR(1), not LL(1): after '(' may come an expression, a list of identifiers that share
// the qualifiers before it, or arithmetic, and only a later word tells. So each place where an operand may stand has
// the set of what may stand there (Expect), each operand that was read says what it is (Phrase), and the set narrows
// as words come. There is no look-ahead beyond one word and no recursion; parentheses are frames on a stack.
// Rules return false (or kNoNode) after complain(); the first error stops everything.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/filter/ast.h>
#include <weir/filter/parse.h>

#include "filter/lex.h"

namespace weir::filter {

class Parser {
 public:
  Parser(std::string_view text, Words words, const ParseOptions& options);
  Result<Ast> run();

 private:
  // What an operand turned out to be.
  enum class Phrase : std::uint8_t {
    kNumber,      // 80, (80): an identifier or a value, the next word tells; no node yet
    kValue,       // other arithmetic
    kIdentifier,  // one identifier, perhaps with `not`
    kList,        // identifiers in parentheses
    kTest,
  };
  struct Operand {
    Phrase phrase = Phrase::kTest;
    NodeId node = kNoNode;
    std::size_t token = 0;  // kNumber: where the number is
    Span span{};            // kNumber: with its parentheses
  };
  // What may stand at a place, as bits.
  using Expect = std::uint8_t;
  static constexpr Expect kTestHere = 1;        // a test; a value if it starts a relation
  static constexpr Expect kIdentifierHere = 2;  // an identifier, a number, identifiers in parentheses
  static constexpr Expect kListStart = 4;       // an identifier, or a number that and/or follows
  static constexpr Expect kValueHere = 8;       // a value that is the whole content of its parentheses
  static constexpr Expect kNumberHere = 16;     // a number that is the whole content of its parentheses

  struct Qualified {
    Qualifiers qualifiers;
    Span span;  // where they were written
  };
  struct Operator {
    ArithmeticOp op;
    int precedence;
    std::size_t token;
  };
  enum class FrameKind : std::uint8_t { kWhole, kParentheses, kBrackets };
  // What is open: the whole text, '(' or 'protocol['.
  struct Frame {
    FrameKind kind = FrameKind::kWhole;
    std::size_t open = 0;    // the word that opened it
    Expect content = 0;      // what may be inside
    bool only_list = false;  // a list of identifiers; set by the first operand
    // Operands so far are operands_[operands_base..]; two or more are joined by `joined`.
    std::size_t operands_base = 0;
    NodeKind joined = NodeKind::kAnd;
    NodeKind connective = NodeKind::kAnd;  // the one before the current operand
    std::optional<Qualified> inherited{};  // what an identifier without qualifiers gets
    // The current operand.
    Expect expect = 0;
    std::size_t nots_base = 0;
    std::size_t head = kNoToken;  // where its qualifiers start
    std::size_t head_end = 0;
    bool in_value = false;  // an operator or comparison was read
    std::size_t operators_base = 0;
    std::optional<Relation> relation{};
    NodeId left = kNoNode;  // of the relation
  };
  static constexpr std::size_t kNoToken = static_cast<std::size_t>(-1);

  // parse.cpp
  const Token& peek() const { return tokens_[at_]; }
  const Token& next() { return tokens_[at_++]; }
  const Token& previous() const { return tokens_[at_ - 1]; }
  Frame& frame() { return frames_.back(); }
  const Frame& frame() const { return frames_.back(); }
  Expect expected() const;
  bool allows(Expect bits) const { return (expected() & bits) != 0; }
  NodeId add(Node node);
  bool open(FrameKind kind, std::size_t token, Expect content);
  bool deeper();
  std::optional<Operand> read_operand();
  std::optional<Operand> read_keyword();
  std::optional<Operand> follow(Operand operand);
  std::optional<Operand> close_parentheses(const Operand& operand);
  void start_operand(Expect expect);
  bool settle(Operand& operand);
  NodeId finish_operand(const Operand& operand);
  void append(NodeId node);
  NodeId join();

  // parse_primitive.cpp
  bool read_head();
  bool read_direction(Qualifiers& qualifiers);
  NodeId identifier();
  NodeId number_identifier(const Operand& number);
  bool prefix(Id& id);
  bool check_address(const Id& id, const Qualifiers& qualifiers);

  // parse_set.cpp
  NodeId set();
  NodeId set_member();
  bool number_ranges(Node& node);
  bool number_range(Node& node);
  bool is_range(const Token& token) const;

  // parse_arithmetic.cpp
  static const Operator* operator_of(const Token& token);
  static std::optional<Relation> relation_of(const Token& token);
  void push_value(const Operand& operand);
  void reduce(int precedence);
  bool push_operator(const Operator& found);
  bool push_relation(const Operand& left);
  Operand finish_value(const Operand& last);
  std::optional<Operand> close_brackets(const Operand& offset);

  // parse_special.cpp
  static bool takes_protocol(const Keyword& keyword);
  NodeId special(Protocol protocol, std::size_t start);
  bool special_operands(Node& node);
  bool optional_number(Node& node);
  bool required_number(Node& node, std::string_view what);
  bool byte_operands(Node& node);
  bool name_operand(Node& node, std::string_view what);
  bool llc_kind(Node& node);
  bool pf_reason(Node& node);
  bool pf_action(Node& node);
  bool wlan_type(Node& node);
  bool wlan_subtype(Node& node, std::optional<std::uint32_t> type);
  bool wlan_direction(Node& node);
  NodeId compared_field(Node node, std::size_t start);

  // parse_errors.cpp
  void complain(std::string message, Span span, std::string hint = {}, ErrorCode code = ErrorCode::kBadInput);
  bool complain_of_word();
  bool complain_of_joined_sign();
  void complain_of_operand();
  void complain_of_missing_operand();
  void complain_of_unqualified(const Token& word);
  void complain_of_keyword_as_name();
  void complain_in_value();
  void complain_after(const Operand& operand);
  void complain_after_value(const Operand& operand);
  void complain_of_adjacent(const Operand& operand);
  void complain_of_open_frame();
  void unknown_word(const Token& word, std::string hint = {});
  std::string text_of(NodeId node) const;

  bool strict_;
  Ast ast_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::vector<Frame> frames_;
  std::vector<NodeId> operands_;
  std::vector<std::size_t> nots_;
  std::vector<Operator> operators_;
  std::vector<NodeId> values_;
  std::optional<Error> lexical_error_;
  std::optional<Error> error_;
};

}  // namespace weir::filter
