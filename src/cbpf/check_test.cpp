// Every rule of the checker: the program that breaks it, the place, the words of the message and the hint.
#include <chrono>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>

namespace weir::cbpf {
namespace {

const Instruction kDrop = make(Opcode::kRetK, 0);

// All messages, one a line.
std::string complaints(const Program& program, Target target = Target::kSocket) {
  std::string out;
  for (const Error& error : violations(program, {.target = target})) out += one_line(error) + "\n";
  return out;
}

Program repeated(const Instruction& instruction, std::size_t times) {
  std::vector<Instruction> program(times, instruction);
  program.push_back(kDrop);
  return Program(std::move(program));
}

TEST(Check, TakesTheSmallestProgram) {
  EXPECT_EQ(complaints({kDrop}), "");
  EXPECT_EQ(complaints({make(Opcode::kRetA)}), "");
  const Result<Checked> checked = check({kDrop}, {.target = Target::kSeccomp});
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->target(), Target::kSeccomp);
  EXPECT_EQ(checked->program(), Program{kDrop});
}

TEST(Check, RefusesTheEmptyProgram) {
  EXPECT_EQ(complaints({}), "the program is empty (it needs at least a ret instruction)\n");
}

TEST(Check, LimitsTheLength) {
  const Instruction load = make(Opcode::kLdImmediate, 1);
  EXPECT_EQ(complaints(repeated(load, 4095)), "");
  EXPECT_EQ(complaints(repeated(load, 4096)),
            "instruction 4096: the program has 4097 instructions, the kernel takes at most 4096\n");
  EXPECT_EQ(complaints(repeated(load, 4096), Target::kSeccomp),
            "instruction 4096: the program has 4097 instructions, the kernel takes at most 4096\n");
  EXPECT_EQ(complaints(repeated(load, 4096), Target::kUser), "");
  EXPECT_EQ(complaints(repeated(load, kUserMaximumLength - 1), Target::kUser), "");
  EXPECT_EQ(complaints(repeated(load, kUserMaximumLength), Target::kUser),
            "instruction 1048576: the program has 1048577 instructions, weir takes at most 1048576\n");
}

TEST(Check, KnowsTheOpcodesAmongAllCodes) {
  int legal = 0;
  int legal_for_seccomp = 0;
  for (std::uint32_t code = 0; code <= 0xffff; ++code) {
    const Instruction instruction{static_cast<std::uint16_t>(code), 0, 0, 4};
    const Program program{make(Opcode::kSt, 4), instruction, kDrop, kDrop, kDrop, kDrop, kDrop};
    if (check(program)) ++legal;
    if (check(program, {.target = Target::kSeccomp})) ++legal_for_seccomp;
    ASSERT_EQ(check(program).has_value(), find(instruction.code) != nullptr);
  }
  EXPECT_EQ(legal, 49);
  EXPECT_EQ(legal_for_seccomp, 41);
  EXPECT_EQ(complaints({Instruction{0xff, 0, 0, 0}, kDrop}), "instruction 0: unknown opcode 0xff\n");
  EXPECT_EQ(complaints({Instruction{0x128, 0, 0, 0}, kDrop}),
            "instruction 0: unknown opcode 0x128 (opcodes fit into one byte)\n");
  EXPECT_EQ(complaints({kDrop, Instruction{0x0e, 0, 0, 0}, kDrop}),
            "instruction 1: unknown opcode 0x0e (Linux has no 'ret x': write 'txa' and 'ret a')\n");
}

TEST(Check, RefusesDivisionByZero) {
  const std::string message = "instruction 0: division by zero (the divisor is a constant: it must not be 0)\n";
  EXPECT_EQ(complaints({make(Opcode::kDivK, 0), kDrop}), message);
  EXPECT_EQ(complaints({make(Opcode::kModK, 0), kDrop}), message);
  EXPECT_EQ(complaints({make(Opcode::kDivX, 0), make(Opcode::kModX, 0), make(Opcode::kDivK, 1), kDrop}), "");
}

TEST(Check, RefusesShiftsBeyondTheWord) {
  EXPECT_EQ(complaints({make(Opcode::kLshK, 32), kDrop}), "instruction 0: shift by 32 (at most 31)\n");
  EXPECT_EQ(complaints({make(Opcode::kRshK, 0xffffffff), kDrop}), "instruction 0: shift by 4294967295 (at most 31)\n");
  EXPECT_EQ(complaints({make(Opcode::kLshK, 31), make(Opcode::kRshK, 0), make(Opcode::kLshX, 99), kDrop}), "");
}

TEST(Check, RefusesScratchWordsThatDoNotExist) {
  for (const Opcode opcode : {Opcode::kLdScratch, Opcode::kLdxScratch, Opcode::kSt, Opcode::kStx})
    EXPECT_EQ(complaints({make(opcode, 16), kDrop}),
              "instruction 0: scratch word M[16] does not exist (words are M[0] to M[15])\n");
  EXPECT_EQ(complaints({make(Opcode::kSt, 15), make(Opcode::kLdxScratch, 15), kDrop}), "");
}

TEST(Check, KeepsJumpsInTheProgram) {
  EXPECT_EQ(complaints({make(Opcode::kJa, 0), kDrop}), "");
  EXPECT_EQ(complaints({make(Opcode::kJa, 1), kDrop}), "instruction 0: jump to instruction 2, but the last is 1\n");
  EXPECT_EQ(
      complaints({make(Opcode::kJa, 0xfffffffe), kDrop}),
      "instruction 0: jump to instruction 4294967295, but the last is 1 (distances are unsigned: a program cannot "
      "jump backward)\n");
  // The sum of place and distance does not wrap.
  EXPECT_EQ(complaints({make(Opcode::kJa, 0xffffffff), kDrop}),
            "instruction 0: jump backward to instruction 0 (distances are unsigned: a program cannot jump backward)\n");
  EXPECT_EQ(complaints({make_jump(Opcode::kJeqK, 0, 1, 0), kDrop}),
            "instruction 0: jump to instruction 2, but the last is 1 (when true)\n");
  EXPECT_EQ(complaints({kDrop, make_jump(Opcode::kJsetX, 0, 0, 255), kDrop}),
            "instruction 1: jump to instruction 257, but the last is 2 (when false)\n");
  EXPECT_EQ(complaints({make_jump(Opcode::kJgeK, 0, 1, 1), kDrop, kDrop}), "");
}

TEST(Check, KnowsTheExtensions) {
  int known = 0;
  for (std::uint32_t number = 0; number < 0x1000; ++number)
    for (const Opcode opcode : {Opcode::kLdWordAbsolute, Opcode::kLdHalfAbsolute, Opcode::kLdByteAbsolute})
      known += check({make(opcode, kExtensionBase + number), kDrop}) ? 1 : 0;
  EXPECT_EQ(known, 3 * 16);
  EXPECT_EQ(complaints({make(Opcode::kLdHalfAbsolute, kExtensionBase + 1), kDrop}),
            "instruction 0: load at 0xfffff001: there is no extension 1 (offsets from 0xfffff000 name extensions: "
            "'proto', 'ifidx', 'mark' and others)\n");
  // The kernel looks at the offset of an absolute load only, and not below 0xfffff000.
  EXPECT_EQ(complaints(
                {make(Opcode::kLdWordAbsolute, kExtensionBase - 1), make(Opcode::kLdWordIndirect, kExtensionBase + 1),
                 make(Opcode::kLdxHeaderLength, kExtensionBase + 1), make(Opcode::kLdWordAbsolute, 0x80000000), kDrop}),
            "");
}

TEST(Check, WantsARetAtTheEnd) {
  EXPECT_EQ(complaints({kDrop, make(Opcode::kTax)}),
            "instruction 1: the program does not end with ret (add 'ret #0' as the last instruction)\n");
}

TEST(Check, IgnoresFieldsThatAnInstructionDoesNotUse) {
  EXPECT_EQ(complaints({Instruction{0x07, 255, 255, 0xffffffff}, Instruction{0x28, 9, 9, 0},
                        Instruction{0x1d, 0, 0, 99}, Instruction{0x16, 200, 200, 7}}),
            "");
}

TEST(Check, WantsScratchWordsWrittenOnEveryPath) {
  const Instruction read = make(Opcode::kLdScratch, 3);
  EXPECT_EQ(complaints({read, kDrop}),
            "instruction 0: M[3] is read, but not written on every path to here (no st or stx before writes it)\n");
  EXPECT_EQ(complaints({make(Opcode::kStx, 3), read, kDrop}), "");
  // A branch around the store.
  EXPECT_EQ(
      complaints({make_jump(Opcode::kJeqK, 1, 0, 1), make(Opcode::kSt, 3), read, kDrop}),
      "instruction 2: M[3] is read, but not written on every path to here (a jump leads here past the st or stx)\n");
  // A store on both arms.
  EXPECT_EQ(complaints({make_jump(Opcode::kJeqK, 1, 0, 2), make(Opcode::kSt, 3), make(Opcode::kJa, 1),
                        make(Opcode::kStx, 3), read, kDrop}),
            "");
  // Unreachable code may read anything: no path leads to it.
  EXPECT_EQ(complaints({make(Opcode::kJa, 1), read, kDrop}), "");
  // But the kernel lets a path go on behind ret.
  EXPECT_EQ(complaints({kDrop, read, kDrop}),
            "instruction 1: M[3] is read, but not written on every path to here (no st or stx before writes it)\n");
  EXPECT_EQ(complaints({make(Opcode::kSt, 3), kDrop, read, kDrop}), "");
}

TEST(Check, TellsEveryViolationInOrder) {
  EXPECT_EQ(complaints({make(Opcode::kLdScratch, 1), make(Opcode::kDivK, 0), make_jump(Opcode::kJeqK, 0, 9, 8),
                        make(Opcode::kLdxScratch, 1), make(Opcode::kTxa)}),
            "instruction 0: M[1] is read, but not written on every path to here (no st or stx before writes it)\n"
            "instruction 1: division by zero (the divisor is a constant: it must not be 0)\n"
            "instruction 2: jump to instruction 12, but the last is 4 (when true)\n"
            "instruction 2: jump to instruction 11, but the last is 4 (when false)\n"
            "instruction 4: the program does not end with ret (add 'ret #0' as the last instruction)\n");
  const Result<Checked> checked = check({make(Opcode::kDivK, 0), make(Opcode::kLshK, 40), kDrop});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().place, Place(InstructionPlace{0}));
}

TEST(Check, SeccompTakesLess) {
  const auto seccomp = [](const Program& program) { return complaints(program, Target::kSeccomp); };
  for (std::uint32_t offset = 0; offset < 64; offset += 4)
    EXPECT_EQ(seccomp({make(Opcode::kLdWordAbsolute, offset), kDrop}), "");
  EXPECT_EQ(seccomp({make(Opcode::kLdLength), make(Opcode::kLdxLength), kDrop}), "");
  for (const std::uint32_t offset : {1u, 2u, 63u, 64u, 68u, 0x80000000u, kExtensionBase, kExtensionBase + 1})
    EXPECT_EQ(seccomp({make(Opcode::kLdWordAbsolute, offset), kDrop}).find("instruction 0: seccomp loads only aligned"),
              0u);
  EXPECT_EQ(seccomp({make(Opcode::kLdWordAbsolute, 6), kDrop}),
            "instruction 0: seccomp loads only aligned words below 64, not at 0x6\n");
  EXPECT_EQ(seccomp({make(Opcode::kLdByteAbsolute, 0), kDrop}),
            "instruction 0: seccomp does not take the opcode 0x30 (ldb)\n");
  EXPECT_EQ(seccomp({make(Opcode::kModX), kDrop}), "instruction 0: seccomp does not take the opcode 0x9c (mod)\n");
}

// Jumps into far instructions from everywhere: a checker that followed paths would not end.
TEST(Check, IsLinear) {
  std::vector<Instruction> program;
  for (std::uint32_t i = 0; i < kUserMaximumLength - 256; ++i)
    program.push_back(
        make_jump(Opcode::kJeqK, i, static_cast<std::uint8_t>(i & 0xff), static_cast<std::uint8_t>(~i & 0xff)));
  for (int i = 0; i < 256; ++i) program.push_back(kDrop);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(check(Program(std::move(program)), {.target = Target::kUser}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace weir::cbpf
