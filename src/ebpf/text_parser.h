// The parser of both assembler languages, as a class whose parts stand in three files.
//
// assemble.cpp has statements, directives, jumps and calls; assemble_kernel.cpp what `r0 = ...` and `*(...)` begin;
// assemble_ubpf.cpp mnemonics. After the first error nothing more is read.
#pragma once

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
  std::string shown(const Word& word) const;

  // assemble.cpp
  void find_labels();
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
    std::uint64_t magnitude = 0;
    Span span{};
    std::uint64_t value() const { return negative ? 0 - magnitude : magnitude; }
  };
  std::optional<SignedNumber> signed_number();
  std::optional<std::int64_t> integer();
  std::optional<std::int32_t> immediate();
  std::optional<std::int16_t> offset16(std::int64_t value, Span span);
  std::optional<RegisterWord> register_at(std::size_t ahead) const;
  std::optional<Register> full_register();
  std::optional<RegisterWord> any_register();
  std::optional<std::string_view> operator_word();  // "s>>=", "==", ...

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
  std::string name_;
  std::string license_;
  ProgramType type_ = ProgramType::kUnspec;
  std::optional<AttachType> attach_type_;
  std::optional<Error> error_;
};

}  // namespace weir::ebpf
