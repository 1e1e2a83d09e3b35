// The parser of both assembler languages, as a class whose parts stand in four files.
//
// assemble.cpp has statements, directives, jumps and calls; assemble_kernel.cpp what `r0 = ...` and `*(...)` begin;
// assemble_ubpf.cpp mnemonics; sections.cpp sections of clang -S and what they hold beside code. After the first error
// nothing more is read.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <weir/ebpf/assembler.h>

#include "ebpf/text_lexer.h"

namespace weir::ebpf {

class TextParser {
 public:
  explicit TextParser(std::vector<Word> words) : words_(std::move(words)) {}
  Result<Program> run();

 private:
  struct RegisterWord {
    Register reg;
    bool half = false;  // w0..w10
  };
  struct MemoryOperand {
    Register base;
    std::int16_t offset;
  };

  // Words.
  const Word& peek(std::size_t ahead = 0) const { return words_[std::min(at_ + ahead, words_.size() - 1)]; }
  const Word& next() {
    const Word& word = peek();
    if (at_ + 1 < words_.size()) ++at_;
    return word;
  }
  bool is(std::string_view sign, std::size_t ahead = 0) const {
    return peek(ahead).kind == WordKind::kSign && peek(ahead).text == sign;
  }
  bool is_name(std::string_view name, std::size_t ahead = 0) const {
    return peek(ahead).kind == WordKind::kName && peek(ahead).text == name;
  }
  bool take(std::string_view sign) { return is(sign) ? (next(), true) : false; }
  bool take_name(std::string_view name) { return is_name(name) ? (next(), true) : false; }
  bool expect(std::string_view sign);
  bool at_line_end() const { return peek().kind == WordKind::kLineEnd || peek().kind == WordKind::kEnd; }
  void complain(std::string message, Span span, std::string hint = {});
  bool no_such_register();  // complains when a register is named that there is not: r11
  std::string shown(const Word& word) const;

  // assemble.cpp
  void find_labels();
  void code_made(std::size_t slot, Span span);
  void statement();
  void directive();
  void map_directive();
  void raw_directive();
  void program_directive();
  void jump(bool is_long);
  void branch();
  void call();
  void call_named();
  std::optional<Target> target();
  struct SignedNumber {
    bool negative = false;
    bool has_prefix = false;  // 0x and its like
    std::uint64_t magnitude = 0;
    Span span{};
    std::uint64_t value() const { return negative ? 0 - magnitude : magnitude; }
  };
  std::optional<SignedNumber> signed_number();
  std::optional<std::int64_t> integer();  // with sign
  // A number of 32 bits. `extended`: the machine extends its sign to 64 bits, so decimals mean what they say.
  std::optional<std::int32_t> immediate(bool extended = false);
  std::optional<std::int16_t> offset16(std::int64_t value, Span span);
  std::optional<RegisterWord> register_at(std::size_t ahead) const;
  std::optional<Register> full_register();
  std::optional<RegisterWord> any_register();
  std::optional<std::string_view> operator_word();  // "s>>=", "==", ...

  // sections.cpp
  static bool is_section_directive(std::string_view name);
  void section_directive();
  void skip_data();
  void remember_code_section();
  std::string_view section_of(std::string_view symbol) const;  // of data; empty: there is no such symbol

  // assemble_kernel.cpp
  void assignment();
  void assign_value(RegisterWord dst);
  void assign_loaded(RegisterWord dst);
  void assign_packet(RegisterWord dst, std::string_view type);
  void assign_call_like(RegisterWord dst, const Word& word);
  void assign_named(RegisterWord dst);
  void assign_map(RegisterWord dst);
  void assign_number(RegisterWord dst);
  void arithmetic(RegisterWord dst, std::string_view sign);
  void store();
  void locked();
  // assemble_ordered.cpp
  void assign_acquired(RegisterWord dst);
  void store_release();
  struct OrderedPlace {
    Width width;
    MemoryOperand memory;
  };
  std::optional<OrderedPlace> ordered_place();
  void may_goto();
  void cast_address(RegisterWord dst);
  std::optional<std::uint16_t> address_space();
  void address_spaces(Register dst, Register src);
  std::optional<std::string_view> pointer_type();  // "(u32 *)"
  std::optional<MemoryOperand> kernel_memory();    // "(r1 + 4)"
  std::optional<MemoryOperand> memory_inside();    // "r1 + 4"
  std::optional<Width> width_of(std::string_view type, Span span, bool with_sign);

  // assemble_ubpf.cpp
  void mnemonic();
  void ubpf_locked();
  void ubpf_operands(const Word& word, const std::vector<const OpcodeInfo*>& rows);
  void ubpf_wide(const Word& word);
  void ubpf_branch(const OpcodeInfo& constant, const OpcodeInfo& reg);
  std::optional<MemoryOperand> ubpf_memory();  // "[r1+4]"

  void emit(const OpcodeInfo& row, Register dst, Register src, std::int32_t offset, std::int32_t immediate);
  void emit_branch(const OpcodeInfo& row, Register dst, Register src, std::int32_t immediate, const Target& target);

  std::vector<Word> words_;
  std::size_t at_ = 0;
  std::size_t statement_start_ = 0;
  Assembler assembler_;
  std::set<std::string_view> labels_;
  std::set<std::string_view> maps_;      // all that the text declares
  std::set<std::string_view> declared_;  // those so far
  std::vector<Span> spans_;              // of each slot: its statement, or the label that it names
  std::optional<Span> target_span_;
  std::optional<std::uint32_t> last_exit_;
  std::string_view section_;       // of clang -S: the current one; empty: none was named
  bool in_data_ = false;           // it holds no code
  std::string_view code_section_;  // that of the first instruction
  bool code_section_set_ = false;
  std::map<std::string_view, std::string_view> data_;  // symbols in sections of data
  std::string name_;
  std::string license_;
  ProgramType type_ = ProgramType::kUnspec;
  std::optional<AttachType> attach_type_;
  std::optional<Error> error_;
};

}  // namespace weir::ebpf
