// Typed instructions: bytes, text, Go source, and what is refused.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/setter.h>
#include <weir/cbpf/text.h>
#include <weir/cbpf/typed.h>

namespace weir::cbpf::typed {
namespace {

struct Case {
  Instruction value;
  RawInstruction bytes;
  const char* text;
  const char* go;
};

const Case kCases[] = {
    {LoadConstant{Register::kA, 42}, {0x00, 0, 0, 42}, "ld #42", "bpf.LoadConstant{Dst: bpf.RegA, Val: 42}"},
    {LoadConstant{Register::kX, 42}, {0x01, 0, 0, 42}, "ldx #42", "bpf.LoadConstant{Dst: bpf.RegX, Val: 42}"},
    {LoadScratch{Register::kA, 3}, {0x60, 0, 0, 3}, "ld M[3]", "bpf.LoadScratch{Dst: bpf.RegA, N: 3}"},
    {LoadScratch{Register::kX, 3}, {0x61, 0, 0, 3}, "ldx M[3]", "bpf.LoadScratch{Dst: bpf.RegX, N: 3}"},
    {LoadAbsolute{42, 1}, {0x30, 0, 0, 42}, "ldb [42]", "bpf.LoadAbsolute{Off: 42, Size: 1}"},
    {LoadAbsolute{42, 2}, {0x28, 0, 0, 42}, "ldh [42]", "bpf.LoadAbsolute{Off: 42, Size: 2}"},
    {LoadAbsolute{42, 4}, {0x20, 0, 0, 42}, "ld [42]", "bpf.LoadAbsolute{Off: 42, Size: 4}"},
    // No extension has number 1: Go would take it for the length.
    {LoadAbsolute{0xfffff001, 4},
     {0x20, 0, 0, 0xfffff001},
     "ld [4294963201]",
     "bpf.LoadAbsolute{Off: 4294963201, Size: 4}"},
    // Go would lose the size.
    {LoadAbsolute{0xfffff004, 2},
     {0x28, 0, 0, 0xfffff004},
     "ldh [4294963204]",
     "bpf.LoadAbsolute{Off: 4294963204, Size: 2}"},
    {LoadIndirect{42, 1}, {0x50, 0, 0, 42}, "ldb [x + 42]", "bpf.LoadIndirect{Off: 42, Size: 1}"},
    {LoadIndirect{42, 2}, {0x48, 0, 0, 42}, "ldh [x + 42]", "bpf.LoadIndirect{Off: 42, Size: 2}"},
    {LoadIndirect{42, 4}, {0x40, 0, 0, 42}, "ld [x + 42]", "bpf.LoadIndirect{Off: 42, Size: 4}"},
    {LoadMemShift{42}, {0xb1, 0, 0, 42}, "ldx 4*([42]&0xf)", "bpf.LoadMemShift{Off: 42}"},
    {LoadExtension{Extension::kLength}, {0x80, 0, 0, 0}, "ld #len", "bpf.LoadExtension{Num: bpf.ExtLen}"},
    // Go has no such instruction: its literal is raw.
    {LoadExtension{Extension::kLength, Register::kX},
     {0x81, 0, 0, 0},
     "ldx #len",
     "bpf.RawInstruction{Op: 0x81, Jt: 0, Jf: 0, K: 0x0}"},
    {LoadExtension{Extension::kProtocol},
     {0x20, 0, 0, 0xfffff000},
     "ld #proto",
     "bpf.LoadExtension{Num: bpf.ExtProto}"},
    {LoadExtension{Extension::kVlanPresent},
     {0x20, 0, 0, 0xfffff030},
     "ld #vlan_avail",
     "bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}"},
    {LoadExtension{Extension::kXorX}, {0x20, 0, 0, 0xfffff028}, "ld #xor_x", "bpf.LoadExtension{Num: 40}"},
    {StoreScratch{Register::kA, 15}, {0x02, 0, 0, 15}, "st M[15]", "bpf.StoreScratch{Src: bpf.RegA, N: 15}"},
    {StoreScratch{Register::kX, 15}, {0x03, 0, 0, 15}, "stx M[15]", "bpf.StoreScratch{Src: bpf.RegX, N: 15}"},
    {ALUOpConstant{Operation::kAdd, 42}, {0x04, 0, 0, 42}, "add #42", "bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 42}"},
    {ALUOpConstant{Operation::kLsh, 4}, {0x64, 0, 0, 4}, "lsh #4", "bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 4}"},
    {ALUOpConstant{Operation::kAnd, 15}, {0x54, 0, 0, 15}, "and #15", "bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf}"},
    {ALUOpX{Operation::kMod}, {0x9c, 0, 0, 0}, "mod x", "bpf.ALUOpX{Op: bpf.ALUOpMod}"},
    {ALUOpX{Operation::kXor}, {0xac, 0, 0, 0}, "xor x", "bpf.ALUOpX{Op: bpf.ALUOpXor}"},
    {NegateA{}, {0x84, 0, 0, 0}, "neg", "bpf.NegateA{}"},
    {Jump{10}, {0x05, 0, 0, 10}, "ja 10", "bpf.Jump{Skip: 10}"},
    {JumpIf{typed::Test::kEqual, 42, 8, 9},
     {0x15, 8, 9, 42},
     "jeq #42,8,9",
     "bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x2a, SkipTrue: 8, SkipFalse: 9}"},
    {JumpIf{typed::Test::kEqual, 42, 8, 0},
     {0x15, 8, 0, 42},
     "jeq #42,8",
     "bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x2a, SkipTrue: 8}"},
    {JumpIf{typed::Test::kNotEqual, 42, 8, 0},
     {0x15, 0, 8, 42},
     "jneq #42,8",
     "bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x2a, SkipTrue: 8}"},
    {JumpIf{typed::Test::kNotEqual, 42, 0, 0},
     {0x15, 0, 0, 42},
     "jneq #42,0",
     "bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x2a}"},
    {JumpIf{typed::Test::kLessThan, 42, 7, 0},
     {0x35, 0, 7, 42},
     "jlt #42,7",
     "bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 0x2a, SkipTrue: 7}"},
    {JumpIf{typed::Test::kLessOrEqual, 42, 6, 0},
     {0x25, 0, 6, 42},
     "jle #42,6",
     "bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: 0x2a, SkipTrue: 6}"},
    {JumpIf{typed::Test::kGreaterThan, 42, 4, 5},
     {0x25, 4, 5, 42},
     "jgt #42,4,5",
     "bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 0x2a, SkipTrue: 4, SkipFalse: 5}"},
    {JumpIf{typed::Test::kGreaterOrEqual, 42, 4, 0},
     {0x35, 4, 0, 42},
     "jge #42,4",
     "bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 0x2a, SkipTrue: 4}"},
    {JumpIf{typed::Test::kBitsSet, 42, 2, 3},
     {0x45, 2, 3, 42},
     "jset #42,2,3",
     "bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x2a, SkipTrue: 2, SkipFalse: 3}"},
    {JumpIf{typed::Test::kBitsNotSet, 42, 3, 0},
     {0x45, 0, 3, 42},
     "jset #42,0,3",
     "bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x2a, SkipTrue: 3}"},
    {JumpIfX{typed::Test::kEqual, 8, 9},
     {0x1d, 8, 9, 0},
     "jeq x,8,9",
     "bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 8, SkipFalse: 9}"},
    {JumpIfX{typed::Test::kLessThan, 9, 0},
     {0x3d, 0, 9, 0},
     "jlt x,9",
     "bpf.JumpIfX{Cond: bpf.JumpLessThan, SkipTrue: 9}"},
    {RetA{}, {0x16, 0, 0, 0}, "ret a", "bpf.RetA{}"},
    {RetConstant{42}, {0x06, 0, 0, 42}, "ret #42", "bpf.RetConstant{Val: 42}"},
    {TXA{}, {0x87, 0, 0, 0}, "txa", "bpf.TXA{}"},
    {TAX{}, {0x07, 0, 0, 0}, "tax", "bpf.TAX{}"},
    {RawInstruction{0xff, 1, 2, 3},
     {0xff, 1, 2, 3},
     ".raw 0xff, 1, 2, 0x3",
     "bpf.RawInstruction{Op: 0xff, Jt: 1, Jf: 2, K: 0x3}"},
    // Fields that Go drops when it disassembles.
    {RawInstruction{0x1d, 1, 2, 3},
     {0x1d, 1, 2, 3},
     ".raw 0x1d, 1, 2, 0x3",
     "bpf.RawInstruction{Op: 0x1d, Jt: 1, Jf: 2, K: 0x3}"},
    {RawInstruction{0x16, 0, 0, 3},
     {0x16, 0, 0, 3},
     ".raw 0x16, 0, 0, 0x3",
     "bpf.RawInstruction{Op: 0x16, Jt: 0, Jf: 0, K: 0x3}"},
    {RawInstruction{0x60, 0, 0, 16},
     {0x60, 0, 0, 16},
     ".raw 0x60, 0, 0, 0x10",
     "bpf.RawInstruction{Op: 0x60, Jt: 0, Jf: 0, K: 0x10}"},
};

TEST(Typed, BytesTextAndGoSourceOfEveryKind) {
  std::vector<bool> seen(std::variant_size_v<Instruction>);
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.text);
    seen[one.value.index()] = true;
    const Result<RawInstruction> bytes = assemble(one.value);
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_EQ(*bytes, one.bytes);
    EXPECT_EQ(disassemble(one.bytes), one.value);
    EXPECT_EQ(write(one.value), one.text);
    EXPECT_EQ(write_go(one.value), one.go);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << "kind " << i;
}

// Tests without an opcode: Go's text drops SkipFalse of these, here the branches are exchanged.
TEST(Typed, ATestWithTwoBranchesKeepsBoth) {
  EXPECT_EQ(write(JumpIf{typed::Test::kNotEqual, 5, 1, 2}), "jeq #5,2,1");
  EXPECT_EQ(write(JumpIf{typed::Test::kLessThan, 5, 1, 2}), "jge #5,2,1");
  EXPECT_EQ(write(JumpIfX{typed::Test::kLessOrEqual, 0, 2}), "jgt x,2");
  EXPECT_EQ(assemble(JumpIf{typed::Test::kNotEqual, 5, 1, 2})->jt, 2);
}

TEST(Typed, EqualityLooksAtKindAndFields) {
  EXPECT_EQ(Instruction(LoadConstant{Register::kA, 1}), Instruction(LoadConstant{Register::kA, 1}));
  EXPECT_NE(Instruction(LoadConstant{Register::kA, 1}), Instruction(LoadConstant{Register::kX, 1}));
  EXPECT_NE(Instruction(LoadAbsolute{1, 4}), Instruction(LoadIndirect{1, 4}));
}

TEST(Typed, ErrorsNameTheInstruction) {
  const std::pair<Instruction, const char*> kWrong[] = {
      {LoadAbsolute{1, 3}, "LoadAbsolute: cannot load 3 bytes at once (1, 2 or 4)"},
      {LoadIndirect{1, 0}, "LoadIndirect: cannot load 0 bytes at once (1, 2 or 4)"},
      {LoadScratch{Register::kA, 16}, "LoadScratch: scratch word 16 does not exist (0 to 15)"},
      {StoreScratch{Register::kX, 99}, "StoreScratch: scratch word 99 does not exist (0 to 15)"},
      {LoadConstant{static_cast<Register>(2), 1}, "LoadConstant: register 2 does not exist (Register::kA or kX)"},
      {StoreScratch{static_cast<Register>(9), 1}, "StoreScratch: register 9 does not exist (Register::kA or kX)"},
      {LoadExtension{static_cast<Extension>(2)}, "LoadExtension: unknown extension 2"},
      {LoadExtension{Extension::kMark, Register::kX},
       "LoadExtension: only the length can be loaded into X (load into A, then TAX)"},
      {ALUOpConstant{static_cast<Operation>(0x80), 1}, "ALUOpConstant: unknown operation 0x80"},
      {ALUOpX{static_cast<Operation>(0x15)}, "ALUOpX: unknown operation 0x15"},
      {JumpIf{static_cast<typed::Test>(8)}, "JumpIf: unknown test 8"},
  };
  for (const auto& [value, message] : kWrong) {
    const Result<RawInstruction> bytes = assemble(value);
    ASSERT_FALSE(bytes);
    EXPECT_EQ(one_line(bytes.error()), message);
    EXPECT_EQ(write(value).find("unknown instruction: bpf."), 0u);
  }
  const Result<Program> program = assemble({RetA{}, TAX{}, LoadAbsolute{0, 8}});
  ASSERT_FALSE(program);
  EXPECT_EQ(one_line(program.error()), "instruction 2: LoadAbsolute: cannot load 8 bytes at once (1, 2 or 4)");
}

TEST(Typed, WholePrograms) {
  const Result<Program> arp =
      assemble({LoadAbsolute{12, 2}, JumpIf{typed::Test::kNotEqual, 0x806, 1}, RetConstant{4096}, RetConstant{0}});
  ASSERT_TRUE(arp);
  EXPECT_EQ(cbpf::write(*arp, Format::kBytecode), "4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0,\n");
  Disassembled back = disassemble(*arp);
  EXPECT_TRUE(back.all_decoded);
  EXPECT_EQ(back.instructions.size(), 4u);
  back = disassemble(Program{RawInstruction{0xff, 0, 0, 0}, make(Opcode::kRetA)});
  EXPECT_FALSE(back.all_decoded);
}

class Keeper : public Setter {
 public:
  Status set_filter(const Checked& program) override {
    if (full) return fail("no room");
    kept = program.program();
    return {};
  }
  bool full = false;
  Program kept;
};

TEST(Setter, GetsCheckedProgramsOnly) {
  Keeper keeper;
  const Instruction good[] = {LoadAbsolute{12, 2}, RetA{}};
  ASSERT_TRUE(set_filter(keeper, good));
  EXPECT_EQ(keeper.kept.size(), 2u);
  const Instruction endless[] = {LoadAbsolute{12, 2}};
  const Status refused = set_filter(keeper, endless);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().place, Place(InstructionPlace{0}));
  EXPECT_EQ(keeper.kept.size(), 2u);
  const Instruction odd[] = {RetA{}, LoadAbsolute{12, 5}};
  EXPECT_EQ(set_filter(keeper, odd).error().place, Place(InstructionPlace{1}));
  keeper.full = true;
  EXPECT_EQ(set_filter(keeper, good).error().message, "no room");
  // Two loads of half words: sockets take them, seccomp does not.
  EXPECT_FALSE(set_filter(keeper, good, {.target = Target::kSeccomp}));
}

}  // namespace
}  // namespace weir::cbpf::typed
