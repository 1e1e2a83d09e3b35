// Programs as source code. Exports read_source.
//
// Read are rows of C (`{ 0x28, 0, 0, 12 }`, `{ .code = 0x28, .k = 12 }`, BPF_STMT, BPF_JUMP), of Go (x/net/bpf's struct
// literals, RawInstruction) and of Rust (`sock_filter { code: 0x28, jt: 0, jf: 0, k: 12 }`), alone or in the
// declaration of one array, which may stand among other code. Values are constant expressions of numbers and of the
// names that <linux/filter.h> and x/net/bpf define; in them, the language's order of operators counts: `2^32/100` is 2
// in all three.
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "cbpf/readers.h"
#include "cbpf/source_lexer.h"
#include "cbpf/source_names.h"

namespace weir::cbpf {
namespace {

using Kind = SourceWord::Kind;

class Source {
 public:
  explicit Source(std::vector<SourceWord> words) : words_(std::move(words)) {
    for (const SourceWord& word : words_) go_ = go_ || (word.kind == Kind::kName && is_go_type(word.text));
  }

  Result<Program> run() {
    while (peek().kind != Kind::kEnd && !at_row()) ++at_;
    if (peek().kind == Kind::kEnd) return no_rows();
    const bool enclosed = at_ > 0 && (words_[at_ - 1].is("{") || words_[at_ - 1].is("[") || words_[at_ - 1].is("("));
    if (at_ > 0 && !enclosed)
      return fail("expected the instructions of an array", words_[at_ - 1].span, "rows follow '{' or '['");
    while (at_row()) {
      WEIR_CHECK(row());
      if (program_.size() > kUserMaximumLength)
        return fail(fmt::format("more than {} instructions", kUserMaximumLength), peek().span);
      // Go prints slices with blanks between the elements.
      if (!take(",") && !peek().is("}") && !peek().is("]") && !peek().is(")") && !at_row() && peek().kind != Kind::kEnd)
        return fail(fmt::format("expected ',', not '{}'", peek().text), peek().span);
    }
    WEIR_CHECK(rest(enclosed));
    return Program(std::move(program_));
  }

 private:
  const SourceWord& peek(std::size_t ahead = 0) const { return words_[std::min(at_ + ahead, words_.size() - 1)]; }
  bool take(std::string_view sign) {
    if (!peek().is(sign)) return false;
    ++at_;
    return true;
  }
  Status expect(std::string_view sign) {
    if (take(sign)) return {};
    const bool end = peek().kind == Kind::kEnd;
    return fail(fmt::format("expected '{}', not {}", sign,
                            end ? std::string("the end of the text") : fmt::format("'{}'", peek().text)),
                peek().span);
  }

  static bool is_row_field(const SourceWord& word) {
    for (const std::string_view name : {"code", "jt", "jf", "k", "op", "Op", "Jt", "Jf", "K"})
      if (word.kind == Kind::kName && word.text == name) return true;
    return false;
  }
  // Whether an instruction starts at the word so far ahead.
  bool at_row(std::size_t ahead = 0) const {
    const SourceWord& word = peek(ahead);
    if (word.kind == Kind::kName) {
      if (word.text == "BPF_STMT" || word.text == "BPF_JUMP") return peek(ahead + 1).is("(");
      if (!peek(ahead + 1).is("{")) return false;
      return word.text == "sock_filter" || is_go_type(word.text) ? !is_nested(ahead + 1) : false;
    }
    if (!word.is("{")) return false;
    const SourceWord& inside = peek(ahead + 1);
    if (inside.kind == Kind::kNumber) return true;
    if (inside.is(".")) return is_row_field(peek(ahead + 2));
    if (inside.kind != Kind::kName) return false;
    return is_row_field(inside) ||
           (find_constant(inside.text) && inside.text.substr(0, 4) == "BPF_" && !peek(ahead + 2).is("("));
  }
  // The brace after `[]bpf.RawInstruction` opens a list, not a row.
  bool is_nested(std::size_t ahead) const {
    return peek(ahead + 1).is("{") || (at_ + ahead >= 2 && words_[at_ + ahead - 2].is("]"));
  }

  Result<Program> no_rows() {
    for (std::size_t i = 0; i + 1 < words_.size(); ++i)
      if (words_[i].kind == Kind::kName && words_[i + 1].is("{") && (i == 0 || !words_[i - 1].is("]")))
        if (std::string hint = did_you_mean(words_[i].text, go_types()); !hint.empty() && !is_go_type(words_[i].text))
          return fail(fmt::format("unknown instruction '{}'", words_[i].text), words_[i].span, hint);
    return fail("the text holds no instruction", words_.front().span,
                "rows are '{ code, jt, jf, k }', BPF_STMT, BPF_JUMP, or literals of x/net/bpf");
  }

  // What follows the rows: the end of the array, and code that is none of ours, but no second program.
  Status rest(bool enclosed) {
    if (!enclosed) {
      take(";");
      if (peek().kind == Kind::kEnd) return {};
      return unknown_row();
    }
    if (!peek().is("}") && !peek().is("]") && !peek().is(")")) return unknown_row();
    for (; peek().kind != Kind::kEnd; ++at_)
      if (at_row()) return fail("a second array of instructions", peek().span, "give one program at a time");
    return {};
  }

  Status unknown_row() {
    const SourceWord& word = peek();
    if (word.kind == Kind::kEnd) return fail("the array is not closed", word.span);
    const std::string hint = word.kind == Kind::kName ? did_you_mean(word.text, go_types()) : "";
    return fail(fmt::format("expected an instruction, not '{}'", word.text), word.span, hint);
  }

  Status row() {
    const SourceWord first = peek();
    if (first.is("{")) return braces("RawInstruction");
    ++at_;
    if (first.text == "BPF_STMT" || first.text == "BPF_JUMP") return macro(first);
    return braces(first.text == "sock_filter" ? "RawInstruction" : first.text);
  }

  Status push(std::int64_t code, std::int64_t jt, std::int64_t jf, std::int64_t k, const Span (&spans)[4]) {
    const std::int64_t values[] = {code, jt, jf, k};
    static constexpr std::int64_t kMost[] = {0xffff, 0xff, 0xff, 0xffffffff};
    for (int i = 0; i < 4; ++i)
      if (values[i] > kMost[i] || values[i] < (i == 3 ? -0x80000000LL : 0))
        return fail(fmt::format("{} is not between 0 and {}", values[i], kMost[i]), spans[i]);
    program_.push_back({static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(jt), static_cast<std::uint8_t>(jf),
                        static_cast<std::uint32_t>(k)});
    return {};
  }

  // BPF_STMT(code, k), BPF_JUMP(code, k, jt, jf)
  Status macro(const SourceWord& name) {
    WEIR_CHECK(expect("("));
    const std::size_t count = name.text == "BPF_STMT" ? 2 : 4;
    std::int64_t values[4] = {};
    Span spans[4] = {};
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) WEIR_CHECK(expect(","));
      WEIR_CHECK(value(values[i], spans[i]));
    }
    WEIR_CHECK(expect(")"));
    const Span ordered[] = {spans[0], spans[2], spans[3], spans[1]};
    return push(values[0], values[2], values[3], values[1], ordered);
  }

  // The fields of a struct, by position or by name: `.code = 1`, `code: 1`, `Op: 1`.
  Status braces(std::string_view type) {
    const Span open = peek().span;
    WEIR_CHECK(expect("{"));
    std::vector<SourceField> fields;
    bool commas = false;
    while (!peek().is("}")) {
      SourceField field{.name = {}, .span = peek().span, .value = 0, .value_span = {}};
      if (take(".")) {
        field.name = peek().text;
        field.span = peek().span;
        ++at_;
        WEIR_CHECK(expect("="));
      } else if (peek().kind == Kind::kName && peek(1).is(":")) {
        field.name = peek().text;
        at_ += 2;
      }
      WEIR_CHECK(value(field.value, field.value_span));
      fields.push_back(field);
      const bool another = peek().kind == Kind::kNumber || (peek().kind == Kind::kName && peek(1).is(":"));
      if (take(",")) commas = true;
      else if (!peek().is("}") && (commas || !peek().blank_before || !another))
        return expect("}");  // Go's %v and %+v have blanks only
    }
    const Span close = peek().span;
    ++at_;
    return finish(type, std::move(fields), cover(open, close));
  }

  Status finish(std::string_view type, std::vector<SourceField> fields, Span place) {
    const bool raw = type == "RawInstruction";
    for (SourceField& field : fields) {
      if (!raw) break;
      // C and Rust write the fields of a row in lower case.
      if (field.name == "code" || field.name == "op") field.name = "Op";
      else if (field.name == "jt") field.name = "Jt";
      else if (field.name == "jf") field.name = "Jf";
      else if (field.name == "k") field.name = "K";
    }
    if (raw && !fields.empty() && fields.front().name.empty() && fields.size() != 4)
      return fail(fmt::format("{} fields, an instruction has 4", fields.size()), place, "code, jt, jf, k");
    WEIR_TRY(const typed::Instruction made, go_literal(type, fields, place));
    WEIR_TRY(const Instruction bytes, typed::assemble(made));
    program_.push_back(bytes);
    return {};
  }

  Status value(std::int64_t& out, Span& span) {
    const std::size_t start = at_;
    WEIR_TRY(out, expression(1, 0));
    span = cover(words_[start].span, words_[at_ - 1].span);
    return {};
  }

  // How tightly an operator binds; 0 is none. Go has fewer levels than C and Rust.
  int level(const SourceWord& word) const {
    static constexpr std::pair<std::string_view, int> kC[] = {{"|", 1}, {"^", 2}, {"&", 3}, {"<<", 4}, {">>", 4},
                                                              {"+", 5}, {"-", 5}, {"*", 6}, {"/", 6},  {"%", 6}};
    static constexpr std::pair<std::string_view, int> kGo[] = {{"|", 5}, {"^", 5},  {"+", 5},  {"-", 5},
                                                               {"&", 6}, {"&^", 6}, {"<<", 6}, {">>", 6},
                                                               {"*", 6}, {"/", 6},  {"%", 6}};
    if (word.kind != Kind::kSign) return 0;
    for (const auto& [sign, found] : go_ ? std::span<const std::pair<std::string_view, int>>(kGo)
                                         : std::span<const std::pair<std::string_view, int>>(kC))
      if (word.text == sign) return found;
    return 0;
  }

  Result<std::int64_t> expression(int lowest, int depth) {
    if (depth > 100) return fail("nested too deeply", peek().span);
    WEIR_TRY(std::int64_t left, term(depth));
    for (;;) {
      const SourceWord sign = peek();
      const int binds = level(sign);
      if (binds < lowest || binds == 0) return left;
      ++at_;
      WEIR_TRY(const std::int64_t right, expression(binds + 1, depth + 1));
      WEIR_TRY(left, combine(sign, left, right));
    }
  }

  Result<std::int64_t> term(int depth) {
    if (depth > 100) return fail("nested too deeply", peek().span);
    const SourceWord& word = peek();
    if (take("-")) {
      WEIR_TRY(const std::int64_t inner, term(depth + 1));
      return -inner;
    }
    if (take("~")) {
      WEIR_TRY(const std::int64_t inner, term(depth + 1));
      return static_cast<std::int64_t>(static_cast<std::uint32_t>(~inner));
    }
    if (take("(")) {
      WEIR_TRY(const std::int64_t inner, expression(1, depth + 1));
      WEIR_CHECK(expect(")"));
      return inner;
    }
    if (word.kind == Kind::kNumber) {
      ++at_;
      return static_cast<std::int64_t>(word.number);
    }
    if (word.kind == Kind::kName) {
      if (const std::optional<std::int64_t> constant = find_constant(word.text)) {
        ++at_;
        return *constant;
      }
      return fail(fmt::format("unknown name '{}'", word.text), word.span, did_you_mean(word.text, constant_names()));
    }
    const bool end = word.kind == Kind::kEnd;
    return fail(fmt::format("expected a value, not {}",
                            end ? std::string("the end of the text") : fmt::format("'{}'", word.text)),
                word.span);
  }

  Result<std::int64_t> combine(const SourceWord& sign, std::int64_t left, std::int64_t right) {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;  // beyond any field: keeps all of this from overflowing
    const std::string_view s = sign.text;
    if ((s == "/" || s == "%") && right == 0) return fail("division by zero", sign.span);
    if ((s == "<<" || s == ">>") && (right < 0 || right > 40)) return fail("shift by more than 40", sign.span);
    if (left > kMost || left < -kMost || right > kMost || right < -kMost)
      return fail("the value is too large", sign.span);
    if (s == "|") return left | right;
    if (s == "^") return left ^ right;
    if (s == "&") return left & right;
    if (s == "&^") return left & ~right;
    if (s == "+") return left + right;
    if (s == "-") return left - right;
    if (s == "/") return left / right;
    if (s == "%") return left % right;
    if (s == ">>") return left >> right;
    const std::int64_t factor = s == "<<" ? std::int64_t{1} << right : right;
    std::int64_t product = 0;
    if (__builtin_mul_overflow(left, factor, &product)) return fail("the value is too large", sign.span);
    return product;
  }

  std::vector<SourceWord> words_;
  std::size_t at_ = 0;
  bool go_ = false;
  std::vector<Instruction> program_;
};

}  // namespace

Result<Program> read_source(std::string_view text) {
  WEIR_TRY(std::vector<SourceWord> words, lex_source(text));
  return Source(std::move(words)).run();
}

}  // namespace weir::cbpf
