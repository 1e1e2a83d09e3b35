// The builder: labels, long jumps, errors.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/builder.h>
#include <weir/cbpf/text.h>

namespace weir::cbpf {
namespace {

using typed::Operation;

std::string bytecode(const Builder& builder) {
  const Result<Program> program = builder.build();
  return program ? write(*program, Format::kBytecode) : one_line(program.error());
}

TEST(Builder, MakesTheProgramsOfTheDocuments) {
  EXPECT_EQ(
      bytecode(
          Builder().load_half(12).jump_if(typed::Test::kNotEqual, 0x806, "drop").ret(0xffffffff).label("drop").ret(0)),
      "4,40 0 0 12,21 0 1 2054,6 0 0 4294967295,6 0 0 0,\n");
  EXPECT_EQ(bytecode(Builder()
                         .load_extension(typed::Extension::kVlanTci)
                         .jump_if(typed::Test::kEqual, 10, "keep", "drop")
                         .label("keep")
                         .ret(0xffffffff)
                         .label("drop")
                         .ret(0)),
            "4,32 0 0 4294963244,21 0 1 10,6 0 0 4294967295,6 0 0 0,\n");
}

TEST(Builder, HasEveryInstruction) {
  const Result<Program> program = Builder()
                                      .load_constant(1)
                                      .load_byte(2)
                                      .load_half(3)
                                      .load_word(4)
                                      .load_byte_at_x(5)
                                      .load_half_at_x(6)
                                      .load_word_at_x(7)
                                      .store(8)
                                      .load_scratch(8)
                                      .load_length()
                                      .load_x_constant(9)
                                      .store_x(10)
                                      .load_x_scratch(10)
                                      .load_x_header_length(14)
                                      .tax()
                                      .txa()
                                      .compute(Operation::kMul, 11)
                                      .compute_x(Operation::kXor)
                                      .negate()
                                      .jump("next")
                                      .label("next")
                                      .label("again")
                                      .jump_if_x(typed::Test::kGreaterThan, "end")
                                      .add(typed::LoadExtension{typed::Extension::kMark})
                                      .label("end")
                                      .ret_a()
                                      .build();
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(write(*program, Format::kXNet),
            "ld #1\nldb [2]\nldh [3]\nld [4]\nldb [x + 5]\nldh [x + 6]\nld [x + 7]\nst M[8]\nld M[8]\nld #len\nldx #9\n"
            "stx M[10]\nldx M[10]\nldx 4*([14]&0xf)\ntax\ntxa\nmul #11\nxor x\nneg\nja 0\njgt x,1\nld #mark\nret a\n");
  EXPECT_TRUE(check(*program));
}

// Targets farther than 255 instructions go through jumps of their own, at every distance around the limit.
TEST(Builder, LongJumpsReachTheirTargets) {
  for (std::size_t filler = 250; filler < 262; ++filler) {
    Builder builder;
    builder.load_byte(0).jump_if(typed::Test::kEqual, 1, "one", "two").jump_if_x(typed::Test::kLessThan, "two", "one");
    for (std::size_t i = 0; i < filler; ++i) builder.compute(Operation::kAdd, 1);
    builder.label("one").ret(1).label("two").ret(2);
    const Result<Program> program = builder.build();
    ASSERT_TRUE(program);
    ASSERT_TRUE(check(*program)) << filler;
    // Follow both branches of both tests.
    for (const std::size_t start : {std::size_t{1}, filler}) {
      std::size_t at = start;
      while (((*program)[at].code & 0x07) != 5 || (*program)[at].code == 5) --at;
      const Instruction& jump = (*program)[at];
      for (const bool branch : {true, false}) {
        std::size_t to = at + 1 + (branch ? jump.jt : jump.jf);
        while ((*program)[to].opcode() == Opcode::kJa) to += 1 + (*program)[to].k;
        ASSERT_EQ((*program)[to], make(Opcode::kRetK, branch ? 1u : 2u)) << filler << " " << at << branch;
      }
    }
  }
}

TEST(Builder, ErrorsNameTheInstruction) {
  EXPECT_EQ(bytecode(Builder().load_byte(0).jump_if(typed::Test::kEqual, 1, "dorp").ret(1).label("drop").ret(0)),
            "instruction 1: JumpIf: there is no label 'dorp' (did you mean 'drop'?)");
  EXPECT_EQ(bytecode(Builder().label("a").ret(1).label("a").ret(0)),
            "instruction 1: RetConstant: label 'a' is defined twice");
  EXPECT_EQ(bytecode(Builder().label("top").load_byte(0).jump("top").ret(0)),
            "instruction 1: Jump: jump backward to 'top' (programs only jump forward)");
  EXPECT_EQ(bytecode(Builder().ret(0).label("end")), "no instruction follows the label 'end'");
  EXPECT_EQ(bytecode(Builder().ret(0).label("a").jump_if(typed::Test::kEqual, 1, {})),
            "instruction 1: JumpIf: no instruction follows it");
  EXPECT_EQ(bytecode(Builder().load_scratch(16).ret(0)),
            "instruction 0: LoadScratch: scratch word 16 does not exist (0 to 15)");
  EXPECT_EQ(bytecode(Builder().label("").ret(0)), "instruction 0: RetConstant: its label is empty");
}

}  // namespace
}  // namespace weir::cbpf
