// Programs from text in any form. Exports read.
//
// The form is told by its first word: '(' starts a listing (tcpdump -d), '{' an array of C, a number the decimal forms,
// anything else is assembler language. Numeric forms are read strictly: the count must be right, every field in range.
#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>

namespace weir::cbpf {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<Program> run() {
    skip();
    if (at_ == text_.size()) return fail("the text holds no program", here());
    if (peek() == '(') return listing();
    if (peek() == '{') return array();
    if (is_digit(peek())) return decimal();
    return assemble(text_);
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  Span here(std::size_t length = 1) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(std::min(at_ + length, text_.size()))};
  }
  void skip() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  // Decimal or 0x hexadecimal, perhaps negative (its two's complement).
  Result<std::uint32_t> number(std::uint32_t most = 0xffffffff) {
    const std::size_t start = at_;
    const bool negative = take("-");
    const bool hexadecimal = take("0x") || take("0X");
    std::uint64_t value = 0;
    std::size_t digits = 0;
    for (; at_ < text_.size(); ++at_, ++digits) {
      const char c = text_[at_];
      unsigned digit = 0;
      if (is_digit(c)) digit = static_cast<unsigned>(c - '0');
      else if (hexadecimal && is_letter(c) && (c | 0x20) <= 'f') digit = static_cast<unsigned>((c | 0x20) - 'a' + 10);
      else break;
      value = value * (hexadecimal ? 16 : 10) + digit;
      if (value > 0xffffffff) value = 0x1ffffffff;
    }
    const Span span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(std::max(at_, start + 1))};
    if (digits == 0) return fail("expected a number", span);
    if (value > most) return fail(fmt::format("the number is larger than {}", most), span);
    return negative ? 0u - static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value);
  }

  Result<Instruction> fields(std::string_view separator) {
    std::uint32_t values[4] = {};
    const std::uint32_t limits[] = {0xffff, 0xff, 0xff, 0xffffffff};
    for (int i = 0; i < 4; ++i) {
      if (i > 0) {
        skip_blanks();
        if (!separator.empty() && !take(separator)) return fail(fmt::format("expected '{}'", separator), here());
      }
      skip_blanks();
      WEIR_TRY(values[i], number(limits[i]));
    }
    return Instruction{static_cast<std::uint16_t>(values[0]), static_cast<std::uint8_t>(values[1]),
                       static_cast<std::uint8_t>(values[2]), values[3]};
  }

  // "4,40 0 0 12,..." or a count and one instruction a line.
  Result<Program> decimal() {
    const std::size_t start = at_;
    WEIR_TRY(const std::uint32_t count, number(kUserMaximumLength));
    const Span count_span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(at_)};
    skip_blanks();
    std::vector<Instruction> program;
    for (;;) {
      while (at_ < text_.size() && (is_blank(text_[at_]) || text_[at_] == ',')) ++at_;
      if (at_ == text_.size()) break;
      if (program.size() == count)
        return fail(fmt::format("more instructions than the {} announced", count), here(),
                    "the first number is the count");
      WEIR_TRY(const Instruction instruction, fields(""));
      program.push_back(instruction);
      skip_blanks();
      if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r')
        return fail("expected ',' or the end of the line", here());
    }
    if (program.size() != count)
      return fail(fmt::format("{} instructions, but {} announced", program.size(), count), count_span);
    if (program.empty()) return fail("the program is empty", count_span);
    return Program(std::move(program));
  }

  // { 0x28, 0, 0, 0x0000000c }, ...
  Result<Program> array() {
    std::vector<Instruction> program;
    for (skip(); at_ < text_.size(); skip()) {
      if (!take("{")) return fail("expected '{'", here());
      skip_blanks();
      WEIR_TRY(const Instruction instruction, fields(","));
      program.push_back(instruction);
      skip_blanks();
      if (!take("}")) return fail("expected '}'", here());
      skip_blanks();
      take(",");
    }
    return Program(std::move(program));
  }

  // (000) ldh      [12]
  Result<Program> listing() {
    std::vector<Instruction> program;
    for (skip(); at_ < text_.size(); skip()) {
      const std::size_t start = at_;
      if (!take("(")) return fail("expected '(' and the number of the instruction", here());
      WEIR_TRY(const std::uint32_t index, number());
      if (index != program.size())
        return fail(fmt::format("instruction {} is out of order", index),
                    Span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(at_)},
                    fmt::format("{} should follow", program.size()));
      if (!take(")")) return fail("expected ')'", here());
      skip_blanks();
      WEIR_TRY(const Instruction instruction, listed(index));
      program.push_back(instruction);
      skip_blanks();
      if (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r')
        return fail("expected the end of the line", here());
    }
    return Program(std::move(program));
  }

  std::string_view name() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    return text_.substr(start, at_ - start);
  }

  Result<Instruction> listed(std::uint32_t index) {
    const Span start = here();
    const std::string_view mnemonic = name();
    skip_blanks();
    if (mnemonic == "unimp") {
      WEIR_TRY(const std::uint32_t code, number(0xffff));
      return Instruction{static_cast<std::uint16_t>(code), 0, 0, 0};
    }
    const Span operand_start = here();
    WEIR_TRY(const Listed operand, listed_operand(mnemonic));
    for (const OpcodeInfo& row : opcodes()) {
      if (row.mnemonic != mnemonic || !matches(row.shape, operand.shape)) continue;
      Instruction instruction = make(row.opcode, operand.k);
      if (row.shape == OperandShape::kJump) instruction.k = operand.k - index - 1;
      if (row.shape == OperandShape::kBranchConstant || row.shape == OperandShape::kBranchIndex) {
        WEIR_TRY(instruction.jt, target("jt", index));
        WEIR_TRY(instruction.jf, target("jf", index));
      }
      return instruction;
    }
    const bool known = std::any_of(opcodes().begin(), opcodes().end(),
                                   [&](const OpcodeInfo& row) { return row.mnemonic == mnemonic; });
    if (known) return fail(fmt::format("'{}' does not take this operand", mnemonic), operand_start);
    return fail(fmt::format("unknown instruction '{}'", mnemonic), start);
  }

  struct Listed {
    OperandShape shape = OperandShape::kNone;
    std::uint32_t k = 0;
  };

  // A listing shows `#k` for constants of loads, arithmetic and jumps, and `x` for both kinds of index operand.
  static bool matches(OperandShape row, OperandShape seen) {
    if (row == seen) return true;
    if (seen == OperandShape::kConstant) return row == OperandShape::kBranchConstant;
    if (seen == OperandShape::kIndex) return row == OperandShape::kBranchIndex;
    if (seen == OperandShape::kNone) return row == OperandShape::kAccumulator;
    return false;
  }

  Result<Listed> listed_operand(std::string_view mnemonic) {
    if (at_ == text_.size() || peek() == '\n' || peek() == '\r') return Listed{};
    if (take("#pktlen") || take("#len")) return Listed{OperandShape::kLength};
    if (take("#")) return constant(OperandShape::kConstant, "");
    if (take("M[")) return constant(OperandShape::kScratch, "]");
    if (take("4*([")) return constant(OperandShape::kHeaderLength, "]&0xf)");
    if (take("[x + ") || take("[x+")) return constant(OperandShape::kIndirect, "]");
    if (take("[")) {
      if (!is_letter(peek())) return constant(OperandShape::kAbsolute, "]");
      const Span start = here();
      std::string_view extension = name();
      if (extension == "vlanp") extension = "vlan_avail";
      if (extension == "random") extension = "rand";
      for (const ExtensionInfo& row : extensions())
        if (row.text == extension && take("]"))
          return Listed{OperandShape::kAbsolute, kExtensionBase + static_cast<std::uint32_t>(row.extension)};
      return fail(fmt::format("unknown extension '{}'", extension), start);
    }
    if (take("x")) return Listed{OperandShape::kIndex};
    if (mnemonic == "ja") return constant(OperandShape::kJump, "");
    return fail("unknown operand", here());
  }

  Result<Listed> constant(OperandShape shape, std::string_view end) {
    WEIR_TRY(const std::uint32_t k, number());
    if (!take(end)) return fail(fmt::format("expected '{}'", end), here());
    return Listed{shape, k};
  }

  Result<std::uint8_t> target(std::string_view word, std::uint32_t index) {
    skip_blanks();
    if (!take(word)) return fail(fmt::format("expected '{}'", word), here());
    skip_blanks();
    const std::size_t start = at_;
    WEIR_TRY(const std::uint32_t absolute, number());
    const std::uint32_t distance = absolute - index - 1;
    if (distance > 255)
      return fail(fmt::format("instruction {} is out of reach", absolute),
                  Span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(at_)},
                  "a conditional jump reaches the 256 instructions after it");
    return static_cast<std::uint8_t>(distance);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<Program> read(std::string_view text) {
  constexpr std::size_t kLongestText = 256u << 20;
  if (text.size() > kLongestText)
    return fail(
        Error{.code = ErrorCode::kLimit, .message = fmt::format("the text is longer than {} bytes", kLongestText)});
  return Reader(text).run();
}

}  // namespace weir::cbpf
