// The builder: each method's bytes as <linux/bpf.h> spells them, labels, maps, errors.
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <weir/ebpf/assembler.h>

namespace weir::ebpf {
namespace {

constexpr Register kA = Register::kR1;
constexpr Register kB = Register::kR2;

Instruction only(const Assembler& assembler) {
  const Result<Program> program = assembler.assemble();
  EXPECT_TRUE(program);
  EXPECT_EQ(program->size(), 1u);
  return program->instructions.at(0);
}

TEST(Assembler, Arithmetic) {
  EXPECT_EQ(only(Assembler().alu64_imm(AluOperation::kAdd, kA, -5)), make(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -5));
  EXPECT_EQ(only(Assembler().alu64_reg(AluOperation::kXor, kA, kB)), make(BPF_ALU64 | BPF_XOR | BPF_X, 1, 2));
  EXPECT_EQ(only(Assembler().alu32_imm(AluOperation::kMod, kA, 7)), make(BPF_ALU | BPF_MOD | BPF_K, 1, 0, 0, 7));
  EXPECT_EQ(only(Assembler().alu32_reg(AluOperation::kArsh, kA, kB)), make(BPF_ALU | BPF_ARSH | BPF_X, 1, 2));
  EXPECT_EQ(only(Assembler().mov64_imm(kA, 9)), make(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 9));
  EXPECT_EQ(only(Assembler().mov64_reg(kA, kB)), make(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2));
  EXPECT_EQ(only(Assembler().mov32_imm(kA, 9)), make(BPF_ALU | BPF_MOV | BPF_K, 1, 0, 0, 9));
  EXPECT_EQ(only(Assembler().mov32_reg(kA, kB)), make(BPF_ALU | BPF_MOV | BPF_X, 1, 2));
  EXPECT_EQ(only(Assembler().movsx64(kA, kB, 32)), make(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, 32));
  EXPECT_EQ(only(Assembler().movsx32(kA, kB, 8)), make(BPF_ALU | BPF_MOV | BPF_X, 1, 2, 8));
  EXPECT_EQ(only(Assembler().neg64(kA)), make(BPF_ALU64 | BPF_NEG, 1));
  EXPECT_EQ(only(Assembler().neg32(kA)), make(BPF_ALU | BPF_NEG, 1));
  EXPECT_EQ(only(Assembler().signed_div64_reg(kA, kB)), make(BPF_ALU64 | BPF_DIV | BPF_X, 1, 2, 1));
  EXPECT_EQ(only(Assembler().signed_mod32_imm(kA, -3)), make(BPF_ALU | BPF_MOD | BPF_K, 1, 0, 1, -3));
  EXPECT_EQ(only(Assembler().big_endian(kA, 16)), make(BPF_ALU | BPF_END | BPF_TO_BE, 1, 0, 0, 16));
  EXPECT_EQ(only(Assembler().little_endian(kA, 64)), make(BPF_ALU | BPF_END | BPF_TO_LE, 1, 0, 0, 64));
  EXPECT_EQ(only(Assembler().byte_swap(kA, 32)), make(BPF_ALU64 | BPF_END, 1, 0, 0, 32));
}

TEST(Assembler, Memory) {
  EXPECT_EQ(only(Assembler().mem_load(Width::kHalf, kA, kB, -4)), make(BPF_LDX | BPF_MEM | BPF_H, 1, 2, -4));
  EXPECT_EQ(only(Assembler().mem_load_signed(Width::kByte, kA, kB, 4)), make(BPF_LDX | 0x80 | BPF_B, 1, 2, 4));
  // The class of a store of a constant is ST; acln.ro/ebpf v0.5.0 wrote STX, which stored r0.
  EXPECT_EQ(only(Assembler().mem_store_imm(Width::kWord, kA, 8, 77)), make(BPF_ST | BPF_MEM | BPF_W, 1, 0, 8, 77));
  EXPECT_EQ(only(Assembler().mem_store_reg(Width::kDouble, kA, kB, 8)), make(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 8));
  EXPECT_EQ(only(Assembler().load_abs(Width::kHalf, 12)), make(BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, 12));
  EXPECT_EQ(only(Assembler().load_ind(Width::kByte, kB, 12)), make(BPF_LD | BPF_IND | BPF_B, 0, 2, 0, 12));
  EXPECT_EQ(only(Assembler().atomic_add32(kA, kB, 4)), make(BPF_STX | BPF_ATOMIC | BPF_W, 1, 2, 4, BPF_ADD));
  EXPECT_EQ(only(Assembler().atomic_add64(kA, kB, 4)), make(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 4, BPF_ADD));
  EXPECT_EQ(only(Assembler().atomic(AtomicOperation::kExchange, Width::kDouble, kA, kB, 0)),
            make(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_XCHG));
}

TEST(Assembler, WideConstantsTakeTwoSlots) {
  const Program program = Assembler()
                              .load_imm64(kA, 0x1122334455667788)
                              .load_map_fd(kA, 5)
                              .load_map_value(kA, 5, 16)
                              .load_map_index(kA, 2)
                              .load_map_index_value(kA, 2, 8)
                              .assemble()
                              .value();
  const std::vector<Instruction> expected = {make(0x18, 1, 0, 0, 0x55667788),
                                             make(0, 0, 0, 0, 0x11223344),
                                             make(0x18, 1, BPF_PSEUDO_MAP_FD, 0, 5),
                                             make(0),
                                             make(0x18, 1, BPF_PSEUDO_MAP_VALUE, 0, 5),
                                             make(0, 0, 0, 0, 16),
                                             make(0x18, 1, BPF_PSEUDO_MAP_IDX, 0, 2),
                                             make(0),
                                             make(0x18, 1, BPF_PSEUDO_MAP_IDX_VALUE, 0, 2),
                                             make(0, 0, 0, 0, 8)};
  EXPECT_EQ(program.instructions, expected);
}

TEST(Assembler, JumpsAndCalls) {
  EXPECT_EQ(only(Assembler().jump_imm(Condition::kSignedLess, kA, -1, 7)),
            make(BPF_JMP | BPF_JSLT | BPF_K, 1, 0, 7, -1));
  EXPECT_EQ(only(Assembler().jump_reg(Condition::kSet, kA, kB, 7)), make(BPF_JMP | BPF_JSET | BPF_X, 1, 2, 7));
  EXPECT_EQ(only(Assembler().jump32_imm(Condition::kLess, kA, 3, 7)), make(BPF_JMP32 | BPF_JLT | BPF_K, 1, 0, 7, 3));
  EXPECT_EQ(only(Assembler().jump32_reg(Condition::kEqual, kA, kB, 7)), make(BPF_JMP32 | BPF_JEQ | BPF_X, 1, 2, 7));
  EXPECT_EQ(only(Assembler().jump(-3)), make(BPF_JMP | BPF_JA, 0, 0, -3));
  EXPECT_EQ(only(Assembler().jump_long(100000)), make(BPF_JMP32 | BPF_JA, 0, 0, 0, 100000));
  EXPECT_EQ(only(Assembler().call(Helper::kMapLookupElem)), make(BPF_JMP | BPF_CALL, 0, 0, 0, 1));
  EXPECT_EQ(only(Assembler().call_local(9)), make(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 9));
  EXPECT_EQ(only(Assembler().call_kernel(9, 1)), make(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 1, 9));
  EXPECT_EQ(only(Assembler().exit()), make(BPF_JMP | BPF_EXIT));
  EXPECT_EQ(only(Assembler().raw(make(1, 2, 3, 4, 5))), make(1, 2, 3, 4, 5));
}

TEST(Assembler, LabelsForwardAndBackward) {
  const Program program = Assembler()
                              .function("main")
                              .label("again")
                              .load_imm64(kA, 1)
                              .jump_imm(Condition::kEqual, kA, 0, "out")
                              .call_local("work")
                              .jump("again")
                              .label("out")
                              .exit()
                              .function("work")
                              .exit()
                              .assemble()
                              .value();
  EXPECT_EQ(program.instructions[2].offset, 2);
  EXPECT_EQ(program.instructions[3].immediate, 2);
  EXPECT_EQ(program.instructions[4].offset, -5);
  EXPECT_EQ(program.functions, (std::vector<Function>{{"main", 0}, {"work", 6}}));
}

TEST(Assembler, MapsByName) {
  const Program program = Assembler()
                              .load_map(kA, "counts")
                              .load_map_value(kA, "data", 4)
                              .map({.name = "data", .type = MapType::kArray})
                              .map({.name = "counts"})
                              .exit()
                              .assemble()
                              .value();
  EXPECT_EQ(program.map_references, (std::vector<MapReference>{{0, 1}, {2, 0}}));
  EXPECT_EQ(program.map_reference(2)->map, 0u);
  EXPECT_EQ(program.map_reference(1), nullptr);
}

TEST(Assembler, SaysWhatIsWrongAndWhere) {
  const auto missing = Assembler().exit().jump("nowhere").label("elsewhere").exit().assemble();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "there is no label 'nowhere'");
  EXPECT_EQ(std::get<InstructionPlace>(missing.error().place).index, 1u);
  EXPECT_EQ(Assembler().label("a").label("a").exit().assemble().error().message, "label 'a' is defined twice");
  EXPECT_EQ(Assembler().load_map(kA, "m").exit().assemble().error().message, "there is no map 'm'");
  Assembler far;
  far.jump("end");
  for (int i = 0; i < 40000; ++i) far.exit();
  far.label("end").exit();
  EXPECT_EQ(far.assemble().error().message, "'end' is 40000 slots away, more than a jump reaches");
  EXPECT_FALSE(Assembler().mem_load_signed(Width::kDouble, kA, kB, 0).assemble());
  EXPECT_FALSE(Assembler().jump(40000).assemble());
}

}  // namespace
}  // namespace weir::ebpf
