// What is known at each instruction: lengths are compared once for all that a match needs, and numbers have bounds.
#include "convert/facts.h"

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

namespace weir::convert {
namespace {

ProgramFacts facts_of(const std::string& text, bool moving_counts = false) {
  const cbpf::Program program = cbpf::assemble(text).value();
  return find_facts(program, std::vector<bool>(program.size(), true),
                    {.place = [](std::uint32_t k) { return k < cbpf::kLinkLayerOffset ? k : UINT32_MAX; },
                     .always_fails = [](std::uint32_t, unsigned) { return false; },
                     .moving_counts = moving_counts});
}
std::vector<std::uint32_t> compared(const ProgramFacts& facts) {
  std::vector<std::uint32_t> out;
  for (const Facts& each : facts.at) out.push_back(each.compared);
  return out;
}
using Numbers = std::vector<std::uint32_t>;

TEST(Facts, OneComparisonForAllThatAMatchNeeds) {
  EXPECT_EQ(compared(facts_of("ldh [12]\njne #0x800, no\nldb [23]\njne #6, no\nret #1\nno: ret #0")),
            (Numbers{24, 0, 0, 0, 0, 0}));
  // A match without the second load needs it not.
  EXPECT_EQ(compared(facts_of("ldh [12]\njne #0x800, yes\nldb [23]\njne #6, no\nyes: ret #1\nno: ret #0")),
            (Numbers{14, 0, 24, 0, 0, 0}));
  // What A holds may be a match; nothing matches at all.
  EXPECT_EQ(compared(facts_of("ldh [12]\njeq #1, no\nret a\nno: ldb [90]\nret #0")), (Numbers{14, 0, 0, 91, 0}));
  // Ways that join know what both know.
  EXPECT_EQ(compared(facts_of("ldb [0]\njeq #1, far\nldb [9]\nja both\nfar: ldb [19]\nboth: ldb [14]\nret a")),
            (Numbers{15, 0, 0, 0, 20, 0, 0}));
}

TEST(Facts, LoadsThatMove) {
  // X is at most 60: it needs 16 bytes at least.
  const std::string text = "ldx 4*([0]&0xf)\nldh [x+14]\njne #80, no\nldb [15]\nret #1\nno: ret #0";
  EXPECT_EQ(compared(facts_of(text)), (Numbers{16, 0, 0, 0, 0, 0}));
  EXPECT_EQ(facts_of(text).at[1].x_most, 60u);
  // Any X: the sum may wrap, and says nothing.
  const std::string any = "ld [0]\ntax\nldh [x+14]\nldb [15]\nret #1";
  EXPECT_EQ(compared(facts_of(any, true)), (Numbers{16, 0, 0, 0, 0}));
  EXPECT_EQ(compared(facts_of("ldx #len\nldh [x+14]\nret #1", true)), (Numbers{0, 0, 0}));
  EXPECT_EQ(compared(facts_of("ldb [0]\ntax\nldh [x+14]\nldb [3]\nret a", true)), (Numbers{16, 0, 0, 0, 0}));
}

TEST(Facts, BoundsOfX) {
  const auto bound = [](const std::string& text) {
    const ProgramFacts facts = facts_of(text + "\ntax\nldb [x+0]\nret a");
    return facts.at[facts.at.size() - 2].x_most;
  };
  EXPECT_EQ(bound("ldb [0]"), 255u);
  EXPECT_EQ(bound("ldh [0]\nadd #5"), 65540u);
  EXPECT_EQ(bound("ldb [0]\nand #0xf0\nrsh #2"), 60u);
  EXPECT_EQ(bound("ldb [0]\nlsh #4"), 4080u);
  EXPECT_EQ(bound("ldh [0]\nmod #7"), 6u);
  EXPECT_EQ(bound("ldh [0]\ndiv #4"), 16383u);
  EXPECT_EQ(bound("ldb [0]\nor #0x100"), 511u);
  EXPECT_EQ(bound("ldb [0]\nsub #1"), UINT32_MAX);
  EXPECT_EQ(bound("ld [0]"), UINT32_MAX);
  EXPECT_EQ(bound("ld #4\nst M[3]\nldb [0]\njeq #0, over\nld #9\nst M[3]\nover: ld M[3]"), 9u);
  EXPECT_EQ(bound("ld [0]\nlsh #31"), UINT32_MAX);
}

TEST(Facts, WhatIsReadAtTheStart) {
  EXPECT_FALSE(facts_of("ldh [12]\nret a").a_is_read);
  EXPECT_TRUE(facts_of("add #1\nret a").a_is_read);
  EXPECT_TRUE(facts_of("ret a").a_is_read);
  EXPECT_TRUE(facts_of("ldb [x+1]\nret a").x_is_read);
  EXPECT_FALSE(facts_of("ldx #1\nldb [x+1]\nret a").x_is_read);
  EXPECT_TRUE(facts_of("ld #1\njeq #2, a, b\na: ldx #3\nb: txa\nret a").x_is_read);
  EXPECT_TRUE(facts_of("ld #7\nldx 4*([0]&0xf)\nadd x\nret a").at[1].a_is_read);
  EXPECT_FALSE(facts_of("ld #7\nldx 4*([0]&0xf)\nldb [x+0]\nret a").at[1].a_is_read);
}

}  // namespace
}  // namespace weir::convert
