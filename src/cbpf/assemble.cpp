// The assembler. Exports assemble.
//
// Two passes over the words: the first makes instructions and notes where labels are and are used, the second resolves
// them. The language is that of bpf_asm (Documentation/networking/filter.rst) with its surprises taken out: `[x+14]`
// needs no blanks, labels may have one letter, a label defined twice or nowhere is an error at its place, and so is a
// conditional jump over more than 255 instructions or backward.
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>

#include "cbpf/assembly_lexer.h"

namespace weir::cbpf {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

// Mnemonics with other names than the table's, and what they mean.
struct Alias {
  std::string_view text;
  std::string_view mnemonic;
  bool inverted = false;  // true and false change places
};
constexpr Alias kAliases[] = {{"jmp", "ja"},        {"jne", "jeq", true}, {"jneq", "jeq", true}, {"jlt", "jge", true},
                              {"jle", "jgt", true}, {"ldi", "ld"},        {"ldxi", "ldx"}};
constexpr Alias kExtensionAliases[] = {{"vlan_pr", "vlan_avail"}, {"random", "rand"}, {"vlanp", "vlan_avail"}};

std::vector<std::string_view> mnemonics() {
  std::vector<std::string_view> all{".raw"};
  for (const OpcodeInfo& row : opcodes()) all.push_back(row.mnemonic);
  for (const Alias& alias : kAliases) all.push_back(alias.text);
  return all;
}

class Assembler {
 public:
  explicit Assembler(std::vector<Word> words) : words_(std::move(words)) {}

  Result<Program> run() {
    while (!error_ && peek().kind != WordKind::kEnd) statement();
    if (!error_) resolve();
    if (error_) return fail(std::move(*error_));
    if (program_.empty()) return fail("the text holds no instruction", peek().span);
    return Program(std::move(program_));
  }

 private:
  enum class Field : std::uint8_t { kTrue, kFalse, kDistance };
  struct Use {
    std::size_t instruction;
    Field field;
    Word label;
  };

  const Word& peek(std::size_t ahead = 0) const { return words_[std::min(at_ + ahead, words_.size() - 1)]; }
  const Word& next() { return words_[at_++]; }
  bool is(char sign, std::size_t ahead = 0) const {
    return peek(ahead).kind == WordKind::kSign && peek(ahead).number == static_cast<unsigned char>(sign);
  }
  bool take(char sign) {
    if (!is(sign)) return false;
    ++at_;
    return true;
  }
  void complain(std::string message, Span span, std::string hint = {}) {
    if (!error_) error_ = Error{.message = std::move(message), .place = span, .hint = std::move(hint)};
  }
  bool expect(char sign) {
    if (take(sign)) return true;
    complain(fmt::format("expected '{}'", sign), peek().span);
    return false;
  }
  bool is_register(char name, std::size_t ahead = 0) const {
    return peek(ahead).kind == WordKind::kName && lower(peek(ahead).text) == std::string_view(&name, 1);
  }
  bool take_register(char name) {
    if (is('%') && is_register(name, 1)) return at_ += 2, true;
    if (is_register(name)) return ++at_, true;
    return false;
  }

  void statement() {
    const Word& word = peek();
    if (word.kind != WordKind::kName) {
      complain(fmt::format("expected an instruction, not '{}'", word.text), word.span);
      return;
    }
    if (is(':', 1)) {
      if (!labels_.emplace(word.text, program_.size()).second)
        complain(fmt::format("label '{}' is defined twice", word.text), word.span);
      at_ += 2;
      if (peek().kind == WordKind::kEnd) complain("an instruction must follow the label", word.span);
      return;
    }
    ++at_;
    std::string mnemonic = lower(word.text);
    if (mnemonic == ".raw") return raw();
    bool inverted = false;
    bool immediate = false;
    for (const Alias& alias : kAliases) {
      if (alias.text != mnemonic) continue;
      immediate = mnemonic == "ldi" || mnemonic == "ldxi";
      mnemonic = alias.mnemonic;
      inverted = alias.inverted;
      break;
    }
    const std::vector<std::string_view> known = mnemonics();
    if (std::find(known.begin(), known.end(), mnemonic) == known.end())
      return complain(fmt::format("unknown instruction '{}'", word.text), word.span, did_you_mean(mnemonic, known));
    instruction(word, mnemonic, inverted, immediate);
  }

  static std::optional<Opcode> opcode_of(std::string_view mnemonic, OperandShape shape) {
    for (const OpcodeInfo& row : opcodes())
      if (row.mnemonic == mnemonic && row.shape == shape) return row.opcode;
    return std::nullopt;
  }
  static bool has(std::string_view mnemonic, OperandShape shape) { return opcode_of(mnemonic, shape).has_value(); }

  void push(std::string_view mnemonic, OperandShape shape, std::uint32_t k, Span operand) {
    const std::optional<Opcode> opcode = opcode_of(mnemonic, shape);
    if (!opcode) return complain(fmt::format("'{}' does not take this operand", mnemonic), operand);
    program_.push_back(make(*opcode, k));
  }

  void instruction(const Word& word, const std::string& mnemonic, bool inverted, bool immediate) {
    const Span start = peek().span;
    if (has(mnemonic, OperandShape::kNone)) return push(mnemonic, OperandShape::kNone, 0, word.span);
    if (has(mnemonic, OperandShape::kJump)) {
      uses_.push_back({program_.size(), Field::kDistance, label()});
      return push(mnemonic, OperandShape::kJump, 0, start);
    }
    if (has(mnemonic, OperandShape::kBranchConstant)) return branch(mnemonic, inverted);
    if (mnemonic == "ret" && take_register('a')) return push(mnemonic, OperandShape::kAccumulator, 0, start);
    if (mnemonic == "ret" && (is_register('x') || is('%')))
      return complain("'ret x' is not an instruction of the kernel", start, "write 'txa' and 'ret a'");
    if (has(mnemonic, OperandShape::kIndex) && take_register('x'))
      return push(mnemonic, OperandShape::kIndex, 0, start);
    if (is('[')) return packet_operand(mnemonic);
    if (peek().kind == WordKind::kNumber && peek().number == 4 && is('*', 1)) return header_length(mnemonic);
    if (is_register('m') && is('[', 1)) return scratch_operand(mnemonic);
    const bool hash = take('#');
    if (peek().kind == WordKind::kName) return extension(mnemonic);
    if (!hash && !immediate) {
      complain(fmt::format("'{}' needs an operand{}", word.text, peek().kind == WordKind::kNumber ? " with '#'" : ""),
               peek().span, peek().kind == WordKind::kNumber ? fmt::format("did you mean '#{}'?", peek().text) : "");
      return;
    }
    const std::optional<std::uint32_t> k = number();
    if (k) push(mnemonic, OperandShape::kConstant, *k, start);
  }

  // A number with an optional sign; a negative one is its two's complement.
  std::optional<std::uint32_t> number() {
    const bool negative = take('-');
    if (!negative) take('+');
    if (peek().kind != WordKind::kNumber) {
      complain(fmt::format("expected a number, not '{}'", peek().text), peek().span);
      return std::nullopt;
    }
    const std::uint32_t value = next().number;
    return negative ? 0u - value : value;
  }

  // [k], [x], [x + k], [%x - k]
  void packet_operand(const std::string& mnemonic) {
    const Span start = next().span;
    const bool indirect = take_register('x');
    std::uint32_t k = 0;
    if (!indirect || !is(']')) {
      const std::optional<std::uint32_t> offset = number();
      if (!offset) return;
      k = *offset;
    }
    if (!expect(']')) return;
    push(mnemonic, indirect ? OperandShape::kIndirect : OperandShape::kAbsolute, k, cover(start, words_[at_ - 1].span));
  }

  // 4*([k]&0xf)
  void header_length(const std::string& mnemonic) {
    const Span start = next().span;
    if (!expect('*') || !expect('(') || !expect('[')) return;
    const std::optional<std::uint32_t> k = number();
    if (!k || !expect(']') || !expect('&')) return;
    if (peek().kind != WordKind::kNumber || peek().number != 0xf) return complain("the mask must be 0xf", peek().span);
    ++at_;
    if (!expect(')')) return;
    if (mnemonic != "ldx" && mnemonic != "ldxb") return complain("only ldx and ldxb load a header length", start);
    push("ldxb", OperandShape::kHeaderLength, *k, start);
  }

  void scratch_operand(const std::string& mnemonic) {
    const Span start = next().span;
    ++at_;
    const std::optional<std::uint32_t> k = number();
    if (k && expect(']')) push(mnemonic, OperandShape::kScratch, *k, cover(start, words_[at_ - 1].span));
  }

  void extension(const std::string& mnemonic) {
    const Word& word = next();
    std::string name = lower(word.text);
    if (name == "len" || name == "pktlen") return push(mnemonic, OperandShape::kLength, 0, word.span);
    for (const Alias& alias : kExtensionAliases)
      if (alias.text == name) name = alias.mnemonic;
    std::vector<std::string_view> known{"len"};
    for (const ExtensionInfo& row : extensions()) {
      known.push_back(row.text);
      if (row.text == name)
        return push(mnemonic, OperandShape::kAbsolute, kExtensionBase + static_cast<std::uint32_t>(row.extension),
                    word.span);
    }
    complain(fmt::format("unknown operand '{}'", word.text), word.span, did_you_mean(name, known));
  }

  Word label() {
    if (peek().kind != WordKind::kName) complain(fmt::format("expected a label, not '{}'", peek().text), peek().span);
    return next();
  }

  // (#k | x), Lt [, Lf]; the inverted forms have one label
  void branch(const std::string& mnemonic, bool inverted) {
    const Span start = peek().span;
    if (take_register('x')) {
      push(mnemonic, OperandShape::kBranchIndex, 0, start);
    } else {
      if (!take('#')) return complain("expected '#' and a number, or x", peek().span);
      const std::optional<std::uint32_t> k = number();
      if (!k) return;
      push(mnemonic, OperandShape::kBranchConstant, *k, start);
    }
    if (error_ || !expect(',')) return;
    const std::size_t at = program_.size() - 1;
    uses_.push_back({at, inverted ? Field::kFalse : Field::kTrue, label()});
    if (error_ || !is(',')) return;
    if (inverted) return complain("this jump takes one label", peek().span, "it falls through when the test fails");
    ++at_;
    uses_.push_back({at, Field::kFalse, label()});
  }

  // .raw code, jt, jf, k
  void raw() {
    Instruction out;
    const std::uint32_t limits[] = {0xffff, 0xff, 0xff, 0xffffffff};
    std::uint32_t fields[4] = {};
    for (int i = 0; i < 4; ++i) {
      if (i > 0 && !expect(',')) return;
      const Span span = peek().span;
      const std::optional<std::uint32_t> value = number();
      if (!value) return;
      if (*value > limits[i]) return complain(fmt::format("the number is larger than {}", limits[i]), span);
      fields[i] = *value;
    }
    out.code = static_cast<std::uint16_t>(fields[0]);
    out.jt = static_cast<std::uint8_t>(fields[1]);
    out.jf = static_cast<std::uint8_t>(fields[2]);
    out.k = fields[3];
    program_.push_back(out);
  }

  void resolve() {
    for (const Use& use : uses_) {
      const auto found = labels_.find(use.label.text);
      if (found == labels_.end()) {
        std::vector<std::string_view> known;
        for (const auto& label : labels_) known.push_back(label.first);
        return complain(fmt::format("there is no label '{}'", use.label.text), use.label.span,
                        did_you_mean(use.label.text, known));
      }
      if (found->second <= use.instruction)
        return complain(fmt::format("jump backward to '{}'", use.label.text), use.label.span,
                        "programs only jump forward");
      const std::size_t distance = found->second - use.instruction - 1;
      if (use.field != Field::kDistance && distance > 255)
        return complain(fmt::format("'{}' is {} instructions away", use.label.text, distance), use.label.span,
                        "a conditional jump reaches 255: go through a 'ja'");
      Instruction& instruction = program_[use.instruction];
      if (use.field == Field::kTrue) instruction.jt = static_cast<std::uint8_t>(distance);
      else if (use.field == Field::kFalse) instruction.jf = static_cast<std::uint8_t>(distance);
      else instruction.k = static_cast<std::uint32_t>(distance);
    }
  }

  std::vector<Word> words_;
  std::size_t at_ = 0;
  std::vector<Instruction> program_;
  std::map<std::string_view, std::size_t> labels_;
  std::vector<Use> uses_;
  std::optional<Error> error_;
};

}  // namespace

Result<Program> assemble(std::string_view text) {
  WEIR_TRY(std::vector<Word> words, lex_assembly(text));
  return Assembler(std::move(words)).run();
}

}  // namespace weir::cbpf
