// Programs made step by step, with labels.
//
//   Result<Program> program = Builder()
//                                 .load_half(12)
//                                 .jump_if(Test::kNotEqual, 0x806, "drop")
//                                 .ret(4096)
//                                 .label("drop")
//                                 .ret(0)
//                                 .build();
//
// Nothing fails before build(), which names the instruction (its number, its kind) and what is wrong with it: a label
// that is nowhere or twice, a jump backward, a field out of its range. A conditional jump whose target is more than 255
// instructions away goes through a `ja` that build() puts behind it. The program is not checked: check() does that.
// A value type, copy it to make variants. Not synchronised.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/typed.h>

namespace weir::cbpf {

class Builder {
 public:
  using Test = typed::Test;

  // The next instruction gets this label. An instruction may have several; a label stands for one instruction.
  Builder& label(std::string_view name);

  // A = ...; offsets are of bytes in the packet
  Builder& load_constant(std::uint32_t value) { return add(typed::LoadConstant{typed::Register::kA, value}); }
  Builder& load_byte(std::uint32_t offset) { return add(typed::LoadAbsolute{offset, 1}); }
  Builder& load_half(std::uint32_t offset) { return add(typed::LoadAbsolute{offset, 2}); }
  Builder& load_word(std::uint32_t offset) { return add(typed::LoadAbsolute{offset, 4}); }
  Builder& load_byte_at_x(std::uint32_t offset) { return add(typed::LoadIndirect{offset, 1}); }
  Builder& load_half_at_x(std::uint32_t offset) { return add(typed::LoadIndirect{offset, 2}); }
  Builder& load_word_at_x(std::uint32_t offset) { return add(typed::LoadIndirect{offset, 4}); }
  Builder& load_scratch(std::uint32_t index) { return add(typed::LoadScratch{typed::Register::kA, index}); }
  Builder& load_length() { return add(typed::LoadExtension{typed::Extension::kLength}); }
  Builder& load_extension(typed::Extension extension) { return add(typed::LoadExtension{extension}); }
  // X = ...
  Builder& load_x_constant(std::uint32_t value) { return add(typed::LoadConstant{typed::Register::kX, value}); }
  Builder& load_x_scratch(std::uint32_t index) { return add(typed::LoadScratch{typed::Register::kX, index}); }
  Builder& load_x_header_length(std::uint32_t offset) { return add(typed::LoadMemShift{offset}); }
  // M[index] = A, or X
  Builder& store(std::uint32_t index) { return add(typed::StoreScratch{typed::Register::kA, index}); }
  Builder& store_x(std::uint32_t index) { return add(typed::StoreScratch{typed::Register::kX, index}); }
  Builder& tax() { return add(typed::TAX{}); }
  Builder& txa() { return add(typed::TXA{}); }

  // A = A operation value, or X
  Builder& compute(typed::Operation operation, std::uint32_t value) {
    return add(typed::ALUOpConstant{operation, value});
  }
  Builder& compute_x(typed::Operation operation) { return add(typed::ALUOpX{operation}); }
  Builder& negate() { return add(typed::NegateA{}); }

  // To a label; the empty label is the next instruction.
  Builder& jump(std::string_view label);
  Builder& jump_if(Test test, std::uint32_t value, std::string_view when_true, std::string_view when_false = {});
  Builder& jump_if_x(Test test, std::string_view when_true, std::string_view when_false = {});

  Builder& ret(std::uint32_t value) { return add(typed::RetConstant{value}); }
  Builder& ret_a() { return add(typed::RetA{}); }

  // Any typed instruction. Its jumps count what stands here, so label() is the better way.
  Builder& add(typed::Instruction instruction);

  Result<Program> build() const;

 private:
  struct Step {
    typed::Instruction instruction;
    bool labelled_jump = false;  // the targets are when_true and when_false
    std::string when_true{};
    std::string when_false{};
  };
  class Layout;
  std::vector<Step> steps_;
  std::vector<std::pair<std::string, std::size_t>> labels_;  // and the step that follows
};

}  // namespace weir::cbpf
