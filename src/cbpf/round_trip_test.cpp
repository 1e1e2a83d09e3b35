// Any array of instructions survives the way into every form and back. WEIR_ROUNDS=1000000 is the long run.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/text.h>
#include <weir/cbpf/typed.h>

#include "random_instructions.h"
#include "rounds.h"

namespace weir::cbpf {
namespace {

std::string show(const Program& program) { return write(program, Format::kDecimal); }

// What a listing keeps: fields that an instruction does not use are 0, unknown opcodes lose all but the code, branches
// lead into the numbers of rows.
Program as_listed(const Program& program) {
  std::vector<Instruction> out;
  for (const Instruction& i : program) {
    const OpcodeInfo* info = find(i.code);
    Instruction kept{i.code, 0, 0, 0};
    if ((i.code & 0x07) == 0x05 && (i.code & 0xf0) != 0) kept.jt = i.jt, kept.jf = i.jf;
    if (info != nullptr) {
      const bool bare = info->shape == OperandShape::kNone || info->shape == OperandShape::kIndex ||
                        info->shape == OperandShape::kAccumulator || info->shape == OperandShape::kLength ||
                        info->shape == OperandShape::kBranchIndex;
      if (!bare) kept.k = i.k;
    }
    out.push_back(kept);
  }
  return Program(std::move(out));
}

// A binary program is known by its NUL bytes and by opcodes of one byte.
bool told_from_content(Format format, const Program& program) {
  if (format != Format::kBinary) return true;
  for (const Instruction& instruction : program)
    if (instruction.code > 0xff) return false;
  return true;
}

TEST(RoundTrip, EveryFormGivesBackEveryProgram) {
  tests::InstructionMaker maker(5);
  const int rounds = tests::rounds(2500);
  for (int round = 0; round < rounds; ++round) {
    const Program program = maker.program(round % 100 == 0 ? 600 : 12);
    for (const FormatInfo& format : formats()) {
      if (!format.readable) continue;
      SCOPED_TRACE(format.name);
      const std::string text = write(program, format.format);
      const Program& expected = format.exact ? program : as_listed(program);
      const Result<Program> named = read(text, {.format = format.format});
      ASSERT_TRUE(named) << render(named.error(), text) << show(program);
      ASSERT_EQ(*named, expected) << show(program) << text << show(*named);
      if (!told_from_content(format.format, program)) continue;
      const Result<Program> told = read(text);
      ASSERT_TRUE(told) << render(told.error(), text) << show(program);
      ASSERT_EQ(*told, expected) << text;
    }
  }
}

TEST(RoundTrip, TypedInstructionsLoseNothing) {
  tests::InstructionMaker maker(6);
  int raw = 0;
  const int rounds = tests::rounds(300000);
  for (int round = 0; round < rounds; ++round) {
    const Instruction instruction = maker.any();
    const typed::Instruction value = typed::disassemble(instruction);
    const Result<Instruction> again = typed::assemble(value);
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_EQ(*again, instruction);
    ASSERT_EQ(typed::disassemble(*again), value);
    raw += std::holds_alternative<typed::RawInstruction>(value) ? 1 : 0;
  }
  EXPECT_GT(raw, rounds / 20);
  EXPECT_LT(raw, rounds / 2);
}

TEST(RoundTrip, AllCodesByThemselves) {
  for (std::uint32_t code = 0; code <= 0xffff; ++code)
    for (const std::uint32_t k : {0u, 5u, 0xfffff004u}) {
      const Program program{Instruction{static_cast<std::uint16_t>(code), 0, 0, k}, make(Opcode::kRetA)};
      const Result<Program> again = assemble(write(program, Format::kAssembly));
      ASSERT_TRUE(again);
      ASSERT_EQ(*again, program);
      ASSERT_EQ(*assemble(write(program, Format::kXNet)), program);
    }
}

// Long jumps, and a jump out of the program from everywhere.
TEST(RoundTrip, LongPrograms) {
  tests::InstructionMaker maker(8);
  std::vector<Instruction> code;
  for (std::uint32_t i = 0; i < 5000; ++i)
    code.push_back(make_jump(Opcode::kJeqK, i, static_cast<std::uint8_t>(maker.below(256)),
                             static_cast<std::uint8_t>(maker.below(256))));
  for (std::uint32_t i = 0; i < 500; ++i) code.push_back(make(Opcode::kJa, maker.below(600)));
  for (std::uint32_t i = 0; i < 50; ++i) code.push_back(make(Opcode::kJa, 0u - maker.below(5000)));
  const Program program(std::move(code));
  for (const FormatInfo& format : formats()) {
    if (!format.readable) continue;
    const std::string text = write(program, format.format);
    const Result<Program> again = read(text);
    ASSERT_TRUE(again) << format.name << ": " << one_line(again.error(), text);
    EXPECT_EQ(*again, program) << format.name;
  }
}

}  // namespace
}  // namespace weir::cbpf
