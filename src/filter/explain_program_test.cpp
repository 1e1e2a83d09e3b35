// Programs in words: what is told of long ones, and what of values that are not comparable.
#include <gtest/gtest.h>

#include <weir/filter/explain.h>

namespace weir::filter {
namespace {

using cbpf::Instruction;

std::string explained(std::vector<Instruction> code) {
  const auto program = cbpf::check(cbpf::Program(std::move(code)), {.target = cbpf::Target::kUser});
  if (!program) return program.error().message;
  return explain(*program, packet::LinkType::kEthernet);
}

// Every branch leaves a way that is still to be walked; a copy of the tests for each would be gigabytes.
TEST(ExplainProgram, LongProgramsStopWithASentence) {
  std::vector<Instruction> code;
  for (std::uint32_t i = 0; i < 300000; ++i) {
    code.push_back({0x30, 0, 0, i});
    code.push_back({0x15, 0, 1, i});
    code.push_back({0x00, 0, 0, 1});
  }
  code.push_back({0x16, 0, 0, 0});
  EXPECT_EQ(
      explained(std::move(code)),
      "no way to accept a packet was found\n"
      "the explanation stops after 200000 steps: they reached 200000 of the 900001 instructions, and there may be "
      "further ways\n");
}

// One way of tests that all tell something: the first are told, the others counted.
TEST(ExplainProgram, LongWaysAreToldInPart) {
  std::vector<Instruction> code{{0x30, 0, 0, 0}};
  for (std::uint32_t i = 0; i < 5000; ++i) {
    code.push_back({0x15, 0, 1, 256 + i});
    code.push_back({0x06, 0, 0, 0});
  }
  code.push_back({0x06, 0, 0, 0xffff});
  const std::string text = explained(std::move(code));
  EXPECT_NE(text.find("accepts a packet when\n  - the byte at 0 is not 256\n"), std::string::npos) << text;
  EXPECT_NE(text.find("the byte at 0 is not 0x8cf\n  - and 3000 further tests\na load beyond"), std::string::npos);
}

// What one mask takes from the word with the fragment field and the protocol of IPv4.
TEST(ExplainProgram, FragmentAndProtocolInOneWord) {
  const auto masked = [](Instruction branch) {
    return explained({{0x20, 0, 0, 20}, {0x54, 0, 0, 0x1fff00ff}, branch, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}});
  };
  EXPECT_NE(masked({0x15, 0, 1, 6}).find("  - it is no later fragment, and the IPv4 protocol is TCP (6)\n"),
            std::string::npos);
  EXPECT_NE(masked({0x15, 1, 0, 17}).find("  - it is a later fragment, or the IPv4 protocol is not UDP (17)\n"),
            std::string::npos);
  EXPECT_NE(masked({0x15, 0, 1, 0x10006}).find("  - (the word at 20 & 0x1fff00ff) is 0x10006\n"), std::string::npos);
}

// A way that is walked later knows nothing of the tests of one before.
TEST(ExplainProgram, WaysAreWalkedApart) {
  EXPECT_EQ(explained({{0x30, 0, 0, 0},
                       {0x25, 0, 2, 9},   // more than 9
                       {0x15, 0, 3, 12},  // and 12
                       {0x06, 0, 0, 1},
                       {0x15, 0, 1, 7},  // at most 9: 7
                       {0x06, 0, 0, 2},
                       {0x15, 0, 1, 8},  // another number but 7, or but 12: 8
                       {0x06, 0, 0, 3},
                       {0x06, 0, 0, 0}}),
            "accepts a packet in one of these ways:\n"
            "1.\n  - the byte at 0 is 12\n  with the verdict 1\n"
            "2.\n  - the byte at 0 is 7\n  with the verdict 2\n"
            "3.\n  - the byte at 0 is 8\n  with the verdict 3\n"
            "a load beyond the end of the packet rejects it\n");
}

// Two random numbers, and two values too long for words, are not known to be equal.
TEST(ExplainProgram, ValuesThatMayDifferAreNotDecided) {
  const Instruction random{0x20, 0, 0, 0xfffff000 + 56};
  EXPECT_EQ(explained({random, {0x15, 0, 3, 1}, random, {0x15, 1, 0, 1}, {0x06, 0, 0, 5}, {0x06, 0, 0, 0}}),
            "accepts a packet when\n"
            "  - what Linux knows as 'rand' is 1\n"
            "  - what Linux knows as 'rand' is not 1\n"
            "  with the verdict 5\n"
            "a load beyond the end of the packet rejects it\n");
  std::vector<Instruction> code(3000, Instruction{0x84, 0, 0, 0});
  code.push_back({0x15, 0, 1, 3});
  code.push_back({0x06, 0, 0, 1});
  code.push_back({0x16, 0, 0, 0});
  EXPECT_LT(explained(std::move(code)).size(), 2000u);
}

}  // namespace
}  // namespace weir::filter
