// Expressions of the debugger. Exports Expression.
//
// Precedence climbing over a flat vector of nodes. Nesting is bounded, so that neither parser nor evaluation can
// exhaust the stack.
#include <weir/debug/expression.h>

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>

#include "cbpf/mnemonics.h"

namespace weir::debug {
namespace {

using Op = Expression::Op;

inline constexpr int kDeepest = 200;
inline constexpr std::size_t kMostNodes = 2000;

struct Operator {
  std::string_view text;
  Op op;
  int rank;  // higher binds tighter
};

// Longer ones first, so that "<=" is not read as "<".
constexpr std::array kOperators = {
    Operator{"<<", Op::kShiftLeft, 8},   Operator{">>", Op::kShiftRight, 8},
    Operator{"<=", Op::kLessOrEqual, 7}, Operator{">=", Op::kGreaterOrEqual, 7},
    Operator{"==", Op::kEqual, 6},       Operator{"!=", Op::kNotEqual, 6},
    Operator{"&&", Op::kAnd, 2},         Operator{"||", Op::kOr, 1},
    Operator{"<", Op::kLess, 7},         Operator{">", Op::kGreater, 7},
    Operator{"+", Op::kAdd, 9},          Operator{"-", Op::kSubtract, 9},
    Operator{"*", Op::kMultiply, 10},    Operator{"/", Op::kDivide, 10},
    Operator{"%", Op::kModulo, 10},      Operator{"&", Op::kBitAnd, 5},
    Operator{"^", Op::kBitXor, 4},       Operator{"|", Op::kBitOr, 3},
    Operator{"=", Op::kEqual, 6},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<std::uint32_t> digit_of(char c, std::uint32_t base) {
  const char l = lower(c);
  const std::uint32_t digit = is_digit(l)            ? static_cast<std::uint32_t>(l - '0')
                              : l >= 'a' && l <= 'f' ? static_cast<std::uint32_t>(l - 'a' + 10)
                                                     : 16;
  return digit < base ? std::optional(digit) : std::nullopt;
}

Result<std::uint32_t> apply(Op op, std::uint32_t a, std::uint32_t b) {
  switch (op) {
    case Op::kMultiply: return a * b;
    case Op::kDivide:
    case Op::kModulo:
      if (b == 0) return fail("division by zero");
      return op == Op::kDivide ? a / b : a % b;
    case Op::kAdd: return a + b;
    case Op::kSubtract: return a - b;
    case Op::kShiftLeft: return a << (b & 31);
    case Op::kShiftRight: return a >> (b & 31);
    case Op::kLess: return a < b;
    case Op::kLessOrEqual: return a <= b;
    case Op::kGreater: return a > b;
    case Op::kGreaterOrEqual: return a >= b;
    case Op::kEqual: return a == b;
    case Op::kNotEqual: return a != b;
    case Op::kBitAnd: return a & b;
    case Op::kBitXor: return a ^ b;
    case Op::kBitOr: return a | b;
    default: return fail("not an operator");
  }
}

Result<std::uint32_t> packet_bytes(std::uint32_t offset, std::uint32_t size, const packet::Packet& packet) {
  if (std::uint64_t{offset} + size > packet.length)
    return fail(fmt::format("P[{}:{}] lies beyond the packet's {} bytes", offset, size, packet.length));
  std::uint32_t value = 0;
  for (std::uint32_t i = 0; i < size; ++i) value = value << 8 | packet.data[offset + i];
  return value;
}

}  // namespace

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) { out_.text_ = std::string(text); }

  Result<Expression> run() {
    WEIR_TRY(const std::uint32_t root, binary(0));
    WEIR_CHECK(bounded({0, static_cast<std::uint32_t>(text_.size())}));
    skip();
    if (at_ < text_.size()) return fail("expected an operator", here());
    // The root stands last: evaluation starts there.
    if (root + 1 != out_.nodes_.size()) out_.nodes_.push_back(out_.nodes_[root]);
    return std::move(out_);
  }

 private:
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  Span here(std::size_t length = 1) const { return span(at_, std::min(at_ + length, text_.size())); }
  static Span span(std::size_t begin, std::size_t end) {
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Status expect(char c) {
    if (take(c)) return {};
    return fail(fmt::format("expected '{}'", c), here());
  }
  std::uint32_t add(const Expression::Node& node) {
    out_.nodes_.push_back(node);
    return static_cast<std::uint32_t>(out_.nodes_.size() - 1);
  }

  Status deeper() {
    if (++depth_ <= kDeepest + 2) return {};  // a value alone is two calls deep
    return fail(Error{.code = ErrorCode::kLimit,
                      .message = fmt::format("the expression is nested more than {} levels deep", kDeepest),
                      .place = here()});
  }
  Status bounded(Span place) const {
    if (out_.nodes_.size() <= kMostNodes) return {};
    return fail(Error{.code = ErrorCode::kLimit,
                      .message = fmt::format("the expression has more than {} values and operators", kMostNodes),
                      .place = place});
  }

  const Operator* next_operator() {
    skip();
    for (const Operator& candidate : kOperators)
      if (text_.substr(at_, candidate.text.size()) == candidate.text) return &candidate;
    return nullptr;
  }

  Result<std::uint32_t> binary(int lowest) {
    WEIR_CHECK(deeper());
    WEIR_TRY(std::uint32_t left, unary());
    for (const Operator* op = next_operator(); op != nullptr && op->rank > lowest; op = next_operator()) {
      const Span place = here(op->text.size());
      at_ += op->text.size();
      WEIR_TRY(const std::uint32_t right, binary(op->rank));
      left = add({op->op, 0, left, right});
      WEIR_CHECK(bounded(place));
    }
    --depth_;
    return left;
  }

  Result<std::uint32_t> unary() {
    WEIR_CHECK(deeper());
    skip();
    std::optional<Op> op;
    if (at_ < text_.size()) {
      if (text_[at_] == '!') op = Op::kNot;
      if (text_[at_] == '~') op = Op::kComplement;
      if (text_[at_] == '-') op = Op::kNegate;
    }
    if (!op) {
      --depth_;
      return primary();
    }
    ++at_;
    WEIR_TRY(const std::uint32_t operand, unary());
    --depth_;
    return add({*op, 0, operand, 0});
  }

  Result<std::uint32_t> primary() {
    skip();
    if (at_ >= text_.size()) return fail("expected a value", here(), "A, X, M[0], P[12:2], len, 0x800, ...");
    if (take('(')) {
      WEIR_TRY(const std::uint32_t inside, binary(0));
      WEIR_CHECK(expect(')'));
      return inside;
    }
    if (is_digit(text_[at_])) return number();
    take('#');  // as in assembler: #proto, #0x800
    if (at_ < text_.size() && is_digit(text_[at_])) return number();
    if (at_ < text_.size() && is_letter(text_[at_])) return name();
    return fail("expected a value", here(), "A, X, M[0], P[12:2], len, 0x800, ...");
  }

  Result<std::uint32_t> number() {
    const std::size_t start = at_;
    // As in C: 0x20, 0b100, 040.
    const char second = text_[at_] == '0' && at_ + 1 < text_.size() ? lower(text_[at_ + 1]) : ' ';
    const std::uint32_t base = second == 'x' ? 16 : second == 'b' ? 2 : is_digit(second) ? 8 : 10;
    if (base == 16 || base == 2) at_ += 2;
    std::uint64_t value = 0;
    const std::size_t first = at_;
    for (; at_ < text_.size(); ++at_) {
      const std::optional<std::uint32_t> digit = digit_of(text_[at_], base);
      if (!digit) break;
      value = value * base + *digit;
      if (value > 0xffffffff) return fail("the number does not fit in 32 bits", span(start, at_ + 1));
    }
    if (at_ == first || (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))))
      return fail("this is not a number", here(), base == 8 ? "the 0 before it makes it octal" : "");
    return add({Op::kConstant, static_cast<std::uint32_t>(value), 0, 0});
  }

  Result<std::uint32_t> name() {
    const std::size_t start = at_;
    std::string word;
    for (; at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_])); ++at_) word += lower(text_[at_]);
    if (word == "a") return add({Op::kA, 0, 0, 0});
    if (word == "x") return add({Op::kX, 0, 0, 0});
    if (word == "pc") return add({Op::kPc, 0, 0, 0});
    if (word == "len") return add({Op::kLength, 0, 0, 0});
    if (word == "cap") return add({Op::kCaptured, 0, 0, 0});
    if (word == "packet") return add({Op::kPacket, 0, 0, 0});
    if (word == "m") return scratch();
    if (word == "p") return bytes();
    std::vector<std::string_view> names = {"a", "x", "pc", "len", "cap", "packet", "m", "p"};
    if (const std::optional<cbpf::NamedLoad> load = cbpf::find_named_load(word))
      return load->length ? add({Op::kLength, 0, 0, 0})
                          : add({Op::kExtension, load->offset - cbpf::kExtensionBase, 0, 0});
    for (const cbpf::ExtensionInfo& extension : cbpf::extensions()) names.push_back(extension.text);
    return fail(fmt::format("unknown name '{}'", text_.substr(start, at_ - start)), span(start, at_),
                did_you_mean(word, names));
  }

  Result<std::uint32_t> scratch() {
    WEIR_CHECK(expect('['));
    const std::size_t start = at_;
    WEIR_TRY(const std::uint32_t index, binary(0));
    const Expression::Node& node = out_.nodes_[index];
    if (node.op == Op::kConstant && node.k >= cbpf::kScratchWords)
      return fail(fmt::format("there is no M[{}]", node.k), span(start, at_), "M[0] to M[15]");
    WEIR_CHECK(expect(']'));
    return add({Op::kScratch, 0, index, 0});
  }

  Result<std::uint32_t> bytes() {
    WEIR_CHECK(expect('['));
    WEIR_TRY(const std::uint32_t offset, binary(0));
    std::uint32_t size = 1;
    if (take(':')) {
      skip();
      const std::size_t start = at_;
      if (at_ >= text_.size() || !is_digit(text_[at_])) return fail("expected a size", here(), "1, 2 or 4");
      WEIR_TRY(const std::uint32_t constant, number());
      size = out_.nodes_[constant].k;
      out_.nodes_.pop_back();
      if (size != 1 && size != 2 && size != 4)
        return fail(fmt::format("{} bytes make no value", size), span(start, at_), "1, 2 or 4");
    }
    WEIR_CHECK(expect(']'));
    return add({Op::kBytes, size, offset, 0});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Expression out_;
};

Result<Expression> Expression::parse(std::string_view text) { return ExpressionParser(text).run(); }

Result<std::uint32_t> Expression::value(const View& view) const {
  return value_of(static_cast<std::uint32_t>(nodes_.size() - 1), view);
}

bool Expression::holds(const View& view) const {
  const Result<std::uint32_t> result = value(view);
  return result && *result != 0;
}

Result<std::uint32_t> Expression::value_of(std::uint32_t at, const View& view) const {
  const Node& node = nodes_[at];
  switch (node.op) {
    case Op::kConstant: return node.k;
    case Op::kA: return view.state.a;
    case Op::kX: return view.state.x;
    case Op::kPc: return view.state.pc;
    case Op::kLength: return view.packet.wire_length;
    case Op::kCaptured: return view.packet.length;
    case Op::kPacket: return view.packet_number;
    case Op::kExtension:
      return extension_value(static_cast<cbpf::Extension>(node.k), view.packet, view.surroundings, view.state);
    default: break;
  }
  WEIR_TRY(const std::uint32_t left, value_of(node.left, view));
  switch (node.op) {
    case Op::kScratch:
      if (left >= cbpf::kScratchWords) return fail(fmt::format("there is no M[{}]", left));
      return view.state.scratch[left];
    case Op::kBytes: return packet_bytes(left, node.k, view.packet);
    case Op::kNot: return left == 0 ? 1u : 0u;
    case Op::kComplement: return ~left;
    case Op::kNegate: return 0u - left;
    case Op::kAnd:
      if (left == 0) return 0u;
      break;
    case Op::kOr:
      if (left != 0) return 1u;
      break;
    default: break;
  }
  WEIR_TRY(const std::uint32_t right, value_of(node.right, view));
  if (node.op == Op::kAnd || node.op == Op::kOr) return right != 0 ? 1u : 0u;
  return apply(node.op, left, right);
}

}  // namespace weir::debug
