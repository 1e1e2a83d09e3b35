// The assembler. Exports assemble, assemble_with_places and assembly_errors.
//
// Two passes over the words: the first makes instructions and notes where labels are and are used, the second resolves
// them. The language is that of bpf_asm (Documentation/networking/filter.rst) with its surprises taken out: `[x+14]`
// needs no blanks, labels may have one letter, a number that does not fit, a label defined twice or nowhere is an error
// at its place. Beyond it: bpfc's names of extensions; a number as a jump's target counts the instructions that are
// skipped, as in the text of golang.org/x/net/bpf; `ldx #len`, `ret x` and `.raw code, jt, jf, k` say the rest.
//
// After an error the rest of its line is passed over, so that one run tells all of them.
#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>

#include "cbpf/assembly_lexer.h"
#include "cbpf/mnemonics.h"

namespace weir::cbpf {
namespace {

// More than anybody reads; each costs a search for what may have been meant.
constexpr std::size_t kMostErrors = 100;

constexpr Instruction kRetX{0x0e, 0, 0, 0};  // in bpf_asm's language, but no Linux takes it

class Assembler {
 public:
  explicit Assembler(std::string_view text) : Assembler(text, lex_assembly(text)) {}

  void run() {
    while (peek().kind != WordKind::kEnd && errors_.size() < kMostErrors) {
      const std::size_t errors_before = errors_.size();
      const std::size_t start = at_;
      statement();
      if (errors_.size() == errors_before) continue;
      if (lacks_words(start)) errors_.resize(errors_before);  // what is no word is said already
      if (at_ == start) ++at_;
      skip_line();
    }
    errors_.insert(errors_.end(), not_words_.begin(), not_words_.end());
    resolve();
    if (program_.empty() && errors_.empty()) complain("the text holds no instruction", peek().span);
    if (program_.size() > kUserMaximumLength && errors_.empty())
      complain(fmt::format("more than {} instructions", kUserMaximumLength), places_[kUserMaximumLength]);
    const auto begin = [](const Error& error) {
      const auto* span = std::get_if<Span>(&error.place);
      return span != nullptr ? span->begin : 0;
    };
    std::stable_sort(errors_.begin(), errors_.end(),
                     [&](const Error& a, const Error& b) { return begin(a) < begin(b); });
  }

  std::vector<Error>& errors() { return errors_; }
  Assembled take() { return {Program(std::move(program_)), std::move(places_)}; }

 private:
  enum class Field : std::uint8_t { kTrue, kFalse, kDistance };
  struct Use {
    std::size_t instruction;
    Field field;
    Word target;
  };

  Assembler(std::string_view text, Words words)
      : text_(text), words_(std::move(words.words)), not_words_(std::move(words.errors)) {}

  const Word& peek(std::size_t ahead = 0) const { return words_[std::min(at_ + ahead, words_.size() - 1)]; }
  const Word& next() { return at_ + 1 < words_.size() ? words_[at_++] : words_.back(); }
  bool is(char sign, std::size_t ahead = 0) const {
    return peek(ahead).kind == WordKind::kSign && peek(ahead).number == static_cast<unsigned char>(sign);
  }
  bool take(char sign) {
    if (!is(sign)) return false;
    ++at_;
    return true;
  }
  void complain(std::string message, Span span, std::string hint = {}) {
    errors_.push_back({.message = std::move(message), .place = span, .hint = std::move(hint)});
  }
  // What was found instead of what should stand here; the end of the text has no words of its own.
  void expected(std::string_view what, std::string hint = {}) {
    const Word& word = peek();
    const std::string found = word.kind == WordKind::kEnd ? "the end of the text" : fmt::format("'{}'", word.text);
    if (hint.empty() && word.kind == WordKind::kSign && word.number == '#')
      hint = "a # after the first column starts an operand: comments are /* this */ and ; that";
    // Line ends are blanks, but who left something out did so on the line before.
    if (word.first_on_line && in_instruction_) {
      const Word& before = words_[at_ - 1];
      return complain(fmt::format("expected {} after '{}'", what, before.text), Span{before.span.end, before.span.end},
                      std::move(hint));
    }
    complain(fmt::format("expected {}, not {}", what, found), word.span, std::move(hint));
  }
  bool expect(char sign) {
    if (take(sign)) return true;
    expected(fmt::format("'{}'", sign));
    return false;
  }
  bool is_register(char name, std::size_t ahead = 0) const {
    const Word& word = peek(ahead);
    return word.kind == WordKind::kName && word.text.size() == 1 && (word.text[0] | 0x20) == name;
  }
  bool take_register(char name) {
    if (is('%') && is_register(name, 1)) return at_ += 2, true;
    if (is_register(name)) return ++at_, true;
    return false;
  }

  // Whether something that is no word stood between this word and the one that is to be read next.
  bool lacks_words(std::size_t start) const {
    const auto inside = [&](const Error& error) {
      const auto* span = std::get_if<Span>(&error.place);
      return span != nullptr && span->begin >= words_[start].span.begin && span->begin < peek().span.end;
    };
    return std::any_of(not_words_.begin(), not_words_.end(), inside);
  }
  void skip_line() {
    while (peek().kind != WordKind::kEnd && !peek().first_on_line) ++at_;
  }

  void statement() {
    in_instruction_ = false;
    bool labelled = false;
    if (peek().kind == WordKind::kName && is(':', 1)) {
      labelled = true;
      define_label();
    }
    const Word& word = peek();
    if (word.kind != WordKind::kName) return expected(labelled ? "an instruction after the label" : "an instruction");
    if (labelled && is(':', 1))
      return complain("an instruction takes one label", word.span, "let both uses name the same label");
    ++at_;
    in_instruction_ = true;
    const std::string name = lower_case(word.text);
    if (name == ".raw") return raw(word);
    const Mnemonic* mnemonic = find_mnemonic(name);
    if (mnemonic == nullptr) {
      push(Instruction{}, word);  // keeps the distances of jumps
      return complain(fmt::format("unknown instruction '{}'", word.text), word.span,
                      did_you_mean(name, mnemonic_names()));
    }
    const std::size_t before = program_.size();
    instruction(word, *mnemonic);
    if (program_.size() == before) push(Instruction{}, word);
  }

  void define_label() {
    const Word word = next();
    const Word colon = next();
    if (text_.substr(colon.span.end, 1) == "\t") ++tabs_behind_labels_;
    if (is_reserved(lower_case(word.text)))
      complain(fmt::format("'{}' is a word of the language, not a label", word.text), word.span);
    else if (!labels_.emplace(word.text, program_.size()).second)
      complain(fmt::format("label '{}' is defined twice", word.text), word.span);
  }

  void push(const Instruction& instruction, const Word& word) {
    program_.push_back(instruction);
    places_.push_back(cover(word.span, at_ > 0 ? words_[at_ - 1].span : word.span));
  }
  void push(const Word& word, const Mnemonic& mnemonic, OperandShape shape, std::uint32_t k, Span operand) {
    const std::optional<Opcode> opcode = mnemonic.with(shape);
    if (opcode) return push(make(*opcode, k), word);
    complain(fmt::format("'{}' does not take this operand", word.text), operand, operand_hint(word, shape));
  }

  static std::string operand_hint(const Word& word, OperandShape shape) {
    const std::string name = lower_case(word.text);
    if (name == "ldx" && (shape == OperandShape::kAbsolute || shape == OperandShape::kIndirect))
      return "X is loaded with #k, M[k], #len or 4*([k]&0xf): load into A, then tax";
    if (shape == OperandShape::kLength && (name == "ldh" || name == "ldb")) return "write 'ld #len'";
    return {};
  }

  void instruction(const Word& word, const Mnemonic& mnemonic) {
    const Span start = peek().span;
    if (mnemonic.takes(OperandShape::kNone)) return push(word, mnemonic, OperandShape::kNone, 0, start);
    if (mnemonic.takes(OperandShape::kJump)) return jump(word, mnemonic);
    if (mnemonic.takes(OperandShape::kBranchConstant)) return branch(word, mnemonic);
    if (mnemonic.takes(OperandShape::kAccumulator)) {
      if (take_register('a')) return push(word, mnemonic, OperandShape::kAccumulator, 0, start);
      if (take_register('x')) return push(kRetX, word);
    }
    if (mnemonic.takes(OperandShape::kIndex) && take_register('x'))
      return push(word, mnemonic, OperandShape::kIndex, 0, start);
    if (!mnemonic.immediate) {
      if (is('[')) return packet_operand(word, mnemonic);
      if (peek().kind == WordKind::kNumber && is('*', 1)) return header_length(word, mnemonic);
      if (is_register('m') && is('[', 1)) return scratch_operand(word, mnemonic);
    }
    const bool hash = take('#');
    if (peek().kind == WordKind::kName) return named_load(word, mnemonic);
    if (!hash && !mnemonic.immediate) {
      if (peek().kind == WordKind::kNumber || is('-') || is('+'))
        return complain(fmt::format("'{}' needs a '#' before a number", word.text), peek().span,
                        fmt::format("did you mean '#{}'?", peek().text));
      return expected(fmt::format("an operand of '{}'", word.text));
    }
    const std::optional<std::uint32_t> k = number();
    if (k) push(word, mnemonic, OperandShape::kConstant, *k, start);
  }

  // A number with an optional sign; a negative one is its two's complement.
  std::optional<std::uint32_t> number() {
    const bool negative = take('-');
    if (!negative) take('+');
    if (peek().kind != WordKind::kNumber) {
      expected("a number");
      return std::nullopt;
    }
    const std::uint32_t value = next().number;
    return negative ? 0u - value : value;
  }

  // [k], [x + k], [%x - k]
  void packet_operand(const Word& word, const Mnemonic& mnemonic) {
    const Span start = next().span;
    const bool indirect = take_register('x');
    const bool minus = indirect && take('-');
    if (indirect && !minus && !take('+')) {
      if (is(']')) return complain("'[x]' lacks its offset", peek().span, "write '[x + 0]'");
      return expected("'+'");
    }
    const std::optional<std::uint32_t> offset = number();
    if (!offset || !expect(']')) return;
    push(word, mnemonic, indirect ? OperandShape::kIndirect : OperandShape::kAbsolute, minus ? 0u - *offset : *offset,
         cover(start, words_[at_ - 1].span));
  }

  // 4*([k]&0xf)
  void header_length(const Word& word, const Mnemonic& mnemonic) {
    const Word factor = next();
    ++at_;
    if (!mnemonic.takes(OperandShape::kHeaderLength))
      return complain("only ldx and ldxb load a header length", factor.span);
    if (factor.number != 4) return complain("the factor must be 4", factor.span);
    if (!expect('(') || !expect('[')) return;
    const std::optional<std::uint32_t> k = number();
    if (!k || !expect(']') || !expect('&')) return;
    if (peek().kind != WordKind::kNumber || peek().number != 0xf) return complain("the mask must be 0xf", peek().span);
    ++at_;
    if (expect(')')) push(word, mnemonic, OperandShape::kHeaderLength, *k, factor.span);
  }

  void scratch_operand(const Word& word, const Mnemonic& mnemonic) {
    const Span start = next().span;
    ++at_;
    const std::optional<std::uint32_t> k = number();
    if (k && expect(']')) push(word, mnemonic, OperandShape::kScratch, *k, cover(start, words_[at_ - 1].span));
  }

  void named_load(const Word& word, const Mnemonic& mnemonic) {
    const Word operand = next();
    const std::string name = lower_case(operand.text);
    const std::optional<NamedLoad> load = mnemonic.immediate ? std::nullopt : find_named_load(name);
    if (!load)
      return complain(fmt::format("unknown operand '{}'", operand.text), operand.span,
                      mnemonic.immediate ? "" : did_you_mean(name, named_loads()));
    push(word, mnemonic, load->length ? OperandShape::kLength : OperandShape::kAbsolute, load->offset, operand.span);
  }

  // A label, or how many instructions to skip.
  bool target(Field field, std::size_t at) {
    const Word word = peek();
    if (word.kind != WordKind::kName && word.kind != WordKind::kNumber) return expected("a label"), false;
    ++at_;
    uses_.push_back({at, field, word});
    return true;
  }

  void jump(const Word& word, const Mnemonic& mnemonic) {
    if (target(Field::kDistance, program_.size())) push(word, mnemonic, OperandShape::kJump, 0, word.span);
  }

  // (#k | x), Lt [, Lf]; the inverted forms have one label
  void branch(const Word& word, const Mnemonic& mnemonic) {
    const std::size_t at = program_.size();
    OperandShape shape = OperandShape::kBranchIndex;
    std::uint32_t k = 0;
    if (!take_register('x')) {
      shape = OperandShape::kBranchConstant;
      if (!take('#')) {
        const bool bare = peek().kind == WordKind::kNumber;
        return expected("'#' and a number, or x", bare ? fmt::format("did you mean '#{}'?", peek().text) : "");
      }
      const std::optional<std::uint32_t> constant = number();
      if (!constant) return;
      k = *constant;
    }
    if (!expect(',') || !target(mnemonic.inverted ? Field::kFalse : Field::kTrue, at)) return;
    if (is(',')) {
      if (mnemonic.inverted)
        return complain(fmt::format("'{}' takes one label", word.text), peek().span,
                        "it goes on with the next instruction when the test fails");
      ++at_;
      if (!target(Field::kFalse, at)) return;
    }
    push(word, mnemonic, shape, k, word.span);
  }

  // .raw code, jt, jf, k
  void raw(const Word& word) {
    static constexpr std::uint32_t kLimits[] = {0xffff, 0xff, 0xff, 0xffffffff};
    std::uint32_t fields[4] = {};
    for (int i = 0; i < 4; ++i) {
      if (i > 0 && !expect(',')) return;
      const Span span = peek().span;
      const std::optional<std::uint32_t> value = number();
      if (!value) return;
      if (*value > kLimits[i]) return complain(fmt::format("the number is larger than {}", kLimits[i]), span);
      fields[i] = *value;
    }
    push(Instruction{static_cast<std::uint16_t>(fields[0]), static_cast<std::uint8_t>(fields[1]),
                     static_cast<std::uint8_t>(fields[2]), fields[3]},
         word);
  }

  // bpf_dbg labels every line l0, l1, ..., with a tab behind, and writes the target of `ja` as the number of a line.
  bool is_of_bpf_dbg() const {
    if (labels_.size() != program_.size() || tabs_behind_labels_ != labels_.size()) return false;
    for (const auto& [name, at] : labels_)
      if (name != fmt::format("l{}", at)) return false;
    return true;
  }

  void resolve() {
    const bool distances_count = errors_.empty();
    const bool of_bpf_dbg = is_of_bpf_dbg();
    for (const Use& use : uses_) {
      if (errors_.size() >= kMostErrors) return;
      std::int64_t to = 0;
      const auto after = static_cast<std::int64_t>(use.instruction) + 1;
      if (use.target.kind == WordKind::kNumber) {
        const bool absolute = of_bpf_dbg && use.field == Field::kDistance;
        to = use.target.number + (absolute ? 0 : after);
        if (to >= static_cast<std::int64_t>(program_.size())) {
          if (distances_count)
            complain(fmt::format("the jump leads to instruction {}, but the last is {}", to, program_.size() - 1),
                     use.target.span, absolute ? "" : "a number says how many instructions to skip");
          continue;
        }
      } else if (const auto found = labels_.find(use.target.text); found != labels_.end()) {
        to = static_cast<std::int64_t>(found->second);
      } else {
        unknown_label(use.target);
        continue;
      }
      if (distances_count) set_target(use, to - after);
    }
  }

  void unknown_label(const Word& word) {
    std::vector<std::string_view> known;
    for (const auto& label : labels_) known.push_back(label.first);
    complain(fmt::format("there is no label '{}'", word.text), word.span, did_you_mean(word.text, known));
  }

  void set_target(const Use& use, std::int64_t distance) {
    Instruction& instruction = program_[use.instruction];
    if (use.field == Field::kDistance) {
      // Backward, too: libpcap makes such loops for protochain. check() says that Linux does not take them.
      instruction.k = static_cast<std::uint32_t>(distance);
      return;
    }
    if (distance < 0)
      return complain(fmt::format("jump backward to '{}'", use.target.text), use.target.span,
                      "programs only jump forward");
    if (distance > 255)
      return complain(fmt::format("'{}' is {} instructions away", use.target.text, distance), use.target.span,
                      "a conditional jump reaches 255: go through a 'ja'");
    (use.field == Field::kTrue ? instruction.jt : instruction.jf) = static_cast<std::uint8_t>(distance);
  }

  const std::string_view text_;
  std::vector<Word> words_;
  std::size_t at_ = 0;
  bool in_instruction_ = false;  // behind its mnemonic
  std::vector<Instruction> program_;
  std::vector<Span> places_;
  std::map<std::string_view, std::size_t> labels_;
  std::size_t tabs_behind_labels_ = 0;
  std::vector<Use> uses_;
  const std::vector<Error> not_words_;  // what the lexer left out
  std::vector<Error> errors_;
};

}  // namespace

Result<Assembled> assemble_with_places(std::string_view text) {
  Assembler assembler(text);
  assembler.run();
  if (!assembler.errors().empty()) return fail(std::move(assembler.errors().front()));
  return assembler.take();
}

Result<Program> assemble(std::string_view text) {
  WEIR_TRY(Assembled assembled, assemble_with_places(text));
  return std::move(assembled.program);
}

std::vector<Error> assembly_errors(std::string_view text) {
  Assembler assembler(text);
  assembler.run();
  return std::move(assembler.errors());
}

}  // namespace weir::cbpf
