// One test for each rule: a program that breaks it, and its twin that does not. Packets and contexts are in
// context_test.cpp, helpers and calls in call_test.cpp.
#include <malloc.h>

#include <fstream>

#include "verify/verify_cases.h"

namespace weir::verify {
namespace {

TEST(Flow, EveryInstructionIsReached) {
  accepts("r0 = 0\nexit");
  EXPECT_EQ(refuses("r0 = 0\nexit\nr0 = 1\nexit", Rule::kUnreachable).instruction, 2u);
  refuses("r0 = 0\ngoto +1\nr0 = 1\nexit", Rule::kUnreachable);
}

TEST(Flow, TheEndIsNotRunOver) {
  refuses("r0 = 0", Rule::kStructure);
  EXPECT_EQ(refuses("r0 = 0\ngoto +5\nexit", Rule::kStructure).instruction, 1u);
}

TEST(Flow, JumpsDoNotLeadIntoConstants) {
  refuses("goto +1\nr0 = 5 ll\nexit", Rule::kStructure);
  accepts("goto +0\nr0 = 5 ll\nexit");
}

TEST(Flow, FunctionsAreEnteredByCallsOnly) {
  accepts("call local f\nexit\nf: r0 = 1\nexit");
  refuses("call local f\nif r0 == 0 goto f\nexit\nf: r0 = 1\nexit", Rule::kFunctionBounds);
  refuses("if r1 == 0 goto +1\ncall local f\nr0 = 1\nf: r0 = 1\nexit", Rule::kFunctionBounds);
}

TEST(Flow, LoopsEnd) {
  accepts("r0 = 0\nagain: r0 += 1\nif r0 < 100 goto again\nexit");
  EXPECT_EQ(refuses("again: goto again", Rule::kEndless).instruction, 0u);
  refuses("r0 = 0\nagain: r0 += 0\nif r0 == 0 goto again\nexit", Rule::kEndless);
  refuses("r6 = r1\nagain: call get_prandom_u32\nif r0 != 0 goto again\nexit", Rule::kEndless);
  accepts("r6 = 9\nagain: call get_prandom_u32\nr6 += -1\nif r6 != 0 goto again\nexit");
}

TEST(Flow, TheBudgetIsFinite) {
  const std::string loop = "r0 = 0\nagain: r0 += 1\nif r0 < 1000 goto again\nexit";
  accepts(loop, {.budget = 10000});
  refuses(loop, Rule::kTooComplex, {.budget = 1000});
  // Wraps around only after 2^64 rounds.
  refuses("r0 = 0\nagain: r0 += 2\nif r0 != 7 goto again\nexit", Rule::kTooComplex);
}

TEST(Flow, RoundsThatDifferOnlyInWhatDoesNotMatterAreJoined) {
  // 2^60 paths, if sums were kept apart.
  std::string text =
      "r6 = r2\nr7 = 0\nr8 = 0\nagain: if r6 & 1 goto +1\nr7 += 5\nr6 >>= 1\nr8 += 1\nif r8 < 60 goto again\n";
  accepts(text + "r0 = r7\nexit");
}

TEST(Registers, AreWrittenBeforeTheyAreRead) {
  EXPECT_EQ(refuses("r0 = r3\nexit", Rule::kUninitialised).instruction, 0u);
  accepts("r3 = 1\nr0 = r3\nexit");
  refuses("if r2 == 0 goto +1\nr3 = 1\nr0 = r3\nexit", Rule::kUninitialised);
  accepts("r3 = 2\nif r2 == 0 goto +1\nr3 = 1\nr0 = r3\nexit");
  refuses("r6 = r2\ncall get_prandom_u32\nr0 = r2\nexit", Rule::kUninitialised);
  accepts("r6 = r2\ncall get_prandom_u32\nr0 = r6\nexit");
}

TEST(Registers, ResultIsThereAtTheEnd) {
  refuses("exit", Rule::kReturn);
  refuses("r0 = 5\nexit", Rule::kReturn, as(ProgramType::kCgroupSkb));
  accepts("r0 = 1\nexit", as(ProgramType::kCgroupSkb));
}

TEST(Registers, FunctionsHaveTheirOwn) {
  accepts("r6 = 5\nr1 = 2\ncall local f\nr0 += r6\nexit\nf: r0 = r1\nexit");
  refuses("r6 = 5\nr1 = 2\ncall local f\nexit\nf: r0 = r6\nexit", Rule::kUninitialised);
  refuses("r1 = 2\ncall local f\nr0 = r1\nexit\nf: r0 = r1\nexit", Rule::kUninitialised);
}

TEST(Stack, StaysWithin512Bytes) {
  accepts("*(u64 *)(r10 - 512) = 1\nr0 = *(u64 *)(r10 - 512)\nexit");
  refuses("*(u64 *)(r10 - 520) = 1\nr0 = 0\nexit", Rule::kStackBounds);
  refuses("*(u64 *)(r10 + 0) = 1\nr0 = 0\nexit", Rule::kStackBounds);
  accepts("r2 = r10\nr2 += -8\n*(u64 *)(r2 + 0) = 1\nr0 = 0\nexit");
  refuses("r2 = r10\nr2 += -8\n*(u64 *)(r2 + 8) = 1\nr0 = 0\nexit", Rule::kStackBounds);
}

TEST(Stack, IsWrittenBeforeItIsRead) {
  refuses("r0 = *(u64 *)(r10 - 8)\nexit", Rule::kUninitialised);
  refuses("*(u32 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit", Rule::kUninitialised);
  accepts("*(u32 *)(r10 - 8) = 1\n*(u32 *)(r10 - 4) = 1\nr0 = *(u64 *)(r10 - 8)\nexit");
  refuses("if r2 == 0 goto +1\n*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit", Rule::kUninitialised);
}

TEST(Stack, MayBeReadUnwrittenWhereThatIsAllowed) {
  const Options allowed{.unwritten_stack = true};
  accepts("r0 = *(u64 *)(r10 - 8)\nexit", allowed);
  accepts("*(u8 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit", allowed);
  accepts("*(u8 *)(r10 - 8) = 1\nr1 = map[hash]\nr2 = r10\nr2 += -8\ncall map_lookup_elem\nr0 = 0\nexit", allowed);
  // It holds any number, and no pointer; its bounds are what they are.
  refuses("r1 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r1 + 0)\nexit", Rule::kNotAPointer, allowed);
  refuses("r1 = *(u64 *)(r10 - 8)\nr2 = r10\nr2 += r1\nr0 = *(u8 *)(r2 - 8)\nexit", Rule::kPointerArithmetic, allowed);
  refuses("r0 = *(u64 *)(r10 - 520)\nexit", Rule::kStackBounds, allowed);
  refuses("r0 = r6\nexit", Rule::kUninitialised, allowed);
  // What one path left there is not what the other finds.
  refuses(
      "r6 = 0\nif r2 == 0 goto +1\n*(u64 *)(r10 - 8) = 1\nr3 = 1\nr3 = 2\nr3 = 3\nr4 = *(u64 *)(r10 - 8)\n"
      "r1 = map[variables][0]+0\nr1 += r4\nr0 = *(u8 *)(r1 + 0)\nexit",
      Rule::kPointerArithmetic, allowed);
}

TEST(Stack, KeepsPointersAndNumbers) {
  accepts("*(u64 *)(r10 - 8) = r1\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r3 + 0)\nexit", as(ProgramType::kXdp));
  refuses("*(u64 *)(r10 - 8) = r1\n*(u8 *)(r10 - 3) = 0\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r3 + 0)\nexit",
          Rule::kNotAPointer, as(ProgramType::kXdp));
  refuses("*(u32 *)(r10 - 8) = r1\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("*(u64 *)(r10 - 8) = r1\nr0 = *(u32 *)(r10 - 8)\nexit", Rule::kPointerArithmetic);
  const std::string indexed = "r0 = 0\nr3 = r10\nr4 = *(u64 *)(r10 - 8)\nr3 += r4\nr0 = *(u8 *)(r3 - 16)\nexit";
  accepts("*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 7\n" + indexed);
  refuses("*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 17\n" + indexed, Rule::kStackBounds);
}

TEST(Stack, OffsetsThatVaryAreTakenEverywhere) {
  const std::string start = "*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr3 = r10\nr3 += -16\nr2 &= ";
  const std::string end = "\nr3 += r2\nr0 = *(u8 *)(r3 + 0)\nexit";
  accepts(start + "15" + end);
  refuses(start + "31" + end, Rule::kStackBounds);
  refuses("*(u64 *)(r10 - 16) = 0\nr3 = r10\nr3 += -16\nr2 &= 15" + end, Rule::kUninitialised);
  refuses("r3 = r10\nr3 -= 8\nr0 = 0\nexit", Rule::kPointerArithmetic, as(ProgramType::kXdp));
  accepts("r3 = r10\nr3 -= 8\nr0 = 0\nexit");
  // A store somewhere in a slot voids the pointer that it may have hit, and writes no byte for sure.
  refuses(
      "*(u64 *)(r10 - 16) = r1\nr3 = r10\nr3 += -16\nr2 &= 7\nr3 += r2\n*(u8 *)(r3 + 0) = 1\n"
      "r4 = *(u64 *)(r10 - 16)\nr0 = *(u8 *)(r4 + 0)\nexit",
      Rule::kNotAPointer, {.premise = {.memory_least = 8}});
}

TEST(Stack, PointersDoNotOutliveTheirFunction) {
  refuses("call local f\nr0 = *(u64 *)(r0 + 0)\nexit\nf: r0 = r10\nexit", Rule::kReturn);
  refuses("r1 = r10\ncall local f\nr0 = 0\nexit\nf: *(u64 *)(r1 - 8) = r10\nr0 = 0\nexit", Rule::kStackBounds);
  accepts("r1 = r10\ncall local f\nr0 = *(u64 *)(r10 - 8)\nexit\nf: *(u64 *)(r1 - 8) = 3\nr0 = 0\nexit");
}

TEST(Memory, ItsLengthIsComparedFirst) {
  const Refusal refusal = refuses("r0 = *(u8 *)(r1 + 0)\nexit", Rule::kPacketBounds);
  EXPECT_NE(refusal.suggestion.find("length"), std::string::npos);
  accepts("r0 = 0\nif r2 < 4 goto +1\nr0 = *(u32 *)(r1 + 0)\nexit");
  refuses("r0 = 0\nif r2 < 4 goto +1\nr0 = *(u32 *)(r1 + 1)\nexit", Rule::kPacketBounds);
  refuses("r0 = 0\nif r2 > 4 goto +1\nr0 = *(u32 *)(r1 + 0)\nexit", Rule::kPacketBounds);
  accepts("r0 = *(u32 *)(r1 + 4)\nexit", {.premise = {.memory_least = 8}});
  refuses("r0 = *(u32 *)(r1 + 5)\nexit", Rule::kPacketBounds, {.premise = {.memory_least = 8}});
  refuses("*(u8 *)(r1 + 0) = 1\nr0 = 0\nexit", Rule::kReadOnly,
          {.premise = {.memory_least = 8, .memory_writable = false}});
}

TEST(Memory, ALengthThatWasComparedWithARegister) {
  accepts("r0 = 0\nr5 = 4\nif r2 < r5 goto +1\nr0 = *(u32 *)(r1 + 0)\nexit");
  refuses("r0 = 0\nr5 = 3\nif r2 < r5 goto +1\nr0 = *(u32 *)(r1 + 0)\nexit", Rule::kPacketBounds);
  // Two ways to the same comparison: what one showed does not hold for the other.
  refuses("r0 = 0\nr5 = 4\nif r3 == 0 goto +0\nr0 = 0\nexit", Rule::kUninitialised);
  refuses(
      "r6 = r1\nr7 = r2\ncall get_prandom_u32\nr5 = 4\nif r0 == 0 goto +1\nr5 = 1\nr0 = 0\n"
      "if r7 < r5 goto +1\nr0 = *(u32 *)(r6 + 0)\nexit",
      Rule::kPacketBounds);
}

TEST(Memory, AnIndexBelowTheLength) {
  const std::string tail = "\nr1 += r3\nr0 = *(u8 *)(r1 + 0)\nexit";
  const std::string head = "r6 = r1\nr7 = r2\ncall get_prandom_u32\nr1 = r6\nr2 = r7\nr3 = r0\nr0 = 0\n";
  accepts(head + "if r3 >= r2 goto +2" + tail);
  refuses(head + "if r3 > r2 goto +2" + tail, Rule::kPacketBounds);
  refuses(head + "if r3 s>= r2 goto +2" + tail, Rule::kPointerArithmetic);
  accepts(head + "if r2 > r3 goto +1\nexit" + tail);
  refuses(head + "if r3 >= r2 goto +3\nr3 += 1" + tail, Rule::kPacketBounds);
}

TEST(Memory, ItsEnd) {
  const std::string tail = "\nr0 = *(u16 *)(r1 + 2)\nexit\nr0 = 0\nexit";
  accepts("r3 = r1\nr3 += r2\nr4 = r1\nr4 += 4\nif r4 > r3 goto +2" + tail);
  refuses("r3 = r1\nr3 += r2\nr4 = r1\nr4 += 3\nif r4 > r3 goto +2" + tail, Rule::kPacketBounds);
}

TEST(Memory, AtomicsNeedAlignment) {
  const std::string text = "r0 = 1\nlock *(u64 *)(r1 + 8) += r0\nexit";
  accepts(text, {.premise = {.memory_least = 16, .memory_alignment = 8}});
  refuses(text, Rule::kAlignment, {.premise = {.memory_least = 16}});
  accepts("r0 = 1\n*(u64 *)(r10 - 8) = 0\nlock *(u64 *)(r10 - 8) += r0\nexit");
  refuses("r0 = 1\n*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nlock *(u64 *)(r10 - 12) += r0\nexit",
          Rule::kAlignment);
}

TEST(MapValues, MayBeNull) {
  refuses(kLookup + "r0 = *(u64 *)(r0 + 0)\nexit", Rule::kNull);
  accepts(kLookup + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit");
  accepts(kLookup + "if r0 != 0 goto +1\nexit\nr0 = *(u64 *)(r0 + 0)\nexit");
  refuses(kLookup + "if r0 != 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit", Rule::kNotAPointer);
  // Copies are null together.
  accepts(kLookup +
          "r6 = r0\n*(u64 *)(r10 - 16) = r0\nif r0 == 0 goto +2\nr6 = *(u64 *)(r10 - 16)\nr0 = *(u64 *)(r6 + 0)\nexit");
  refuses(kLookup + "r0 += 8\nif r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit", Rule::kNull);
  refuses(kLookup + "w3 = w0\nif w0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit", Rule::kNull);
}

TEST(MapValues, HaveASize) {
  accepts(kLookup + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 16)\nexit");
  refuses(kLookup + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 17)\nexit", Rule::kMapBounds);
  refuses(kLookup + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 - 1)\nexit", Rule::kMapBounds);
  const std::string indexed = "r0 += r6\nr0 = *(u8 *)(r0 + 0)\nexit";
  accepts("r6 = r2\n" + kLookup + "if r0 == 0 goto +4\nif r6 > 23 goto +2\n" + indexed + "\nr0 = 0\nexit");
  refuses("r6 = r2\n" + kLookup + "if r0 == 0 goto +4\nif r6 > 24 goto +2\n" + indexed + "\nr0 = 0\nexit",
          Rule::kMapBounds);
  accepts("r0 = map[variables][0]+20\nr0 = *(u32 *)(r0 + 0)\nexit");
  refuses("r0 = map[variables][0]+21\nr0 = *(u32 *)(r0 + 0)\nexit", Rule::kMapBounds);
  refuses("r0 = map[variables][0]+24\nr0 = 0\nexit", Rule::kMapBounds);
}

TEST(MapValues, SignedComparisonsAloneDoNotBound) {
  const std::string head =
      "r6 = r1\nr7 = r2\ncall get_prandom_u32\nr6 = r0\nr6 <<= 40\n" + kLookup + "if r0 == 0 goto +4\n";
  const std::string tail = "\nr0 += r6\nr0 = *(u8 *)(r0 + 0)\nexit\nr0 = 0\nexit";
  refuses(head + "if r6 s> 23 goto +2" + tail, Rule::kPointerArithmetic);
  accepts(head + "if r6 > 23 goto +2" + tail);
}

TEST(MapValues, OfArraysExistWhereTheKeyIsKnown) {
  const std::string head = "r2 = r10\nr2 += -8\nr1 = map[array]\ncall map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit";
  accepts("*(u32 *)(r10 - 8) = 3\n" + head);
  refuses("*(u32 *)(r10 - 8) = 4\n" + head, Rule::kNull);
  refuses("*(u32 *)(r10 - 8) = r2\n" + head, Rule::kNull);
  // Two keys on two paths.
  refuses("r6 = 3\nif r2 == 0 goto +1\nr6 = 4\nr7 = 1\nr7 = 2\n*(u32 *)(r10 - 8) = r6\n" + head, Rule::kNull);
}

TEST(MapValues, ConstantsOfTheProgramAreKnown) {
  const auto report = [](const std::string& text, std::vector<std::uint8_t> contents, std::uint32_t flags = 128) {
    ebpf::Program program = program_of(text);
    program.maps[2].contents = std::move(contents);
    program.maps[2].flags = flags;
    return examine(program);
  };
  const std::string offset = "r1 = map[constants][0]+0\nr2 = *(u32 *)(r1 + 4)\n";
  const std::string use = "r1 = map[variables][0]+0\nr1 += r2\nr0 = *(u8 *)(r1 + 0)\nexit";
  EXPECT_TRUE(report(offset + use, {0, 0, 0, 0, 23, 0, 0, 0}).verified);
  EXPECT_TRUE(report(offset + use, {0, 0, 0, 0, 23}).verified) << "zeros follow";
  EXPECT_FALSE(report(offset + use, {0, 0, 0, 0, 24}).verified);
  EXPECT_FALSE(report(offset + use, {0, 0, 0, 0, 23}, 0).verified) << "programs may write it";
  EXPECT_FALSE(report(offset + use, {}).verified) << "set by whoever makes the map";
  const std::string by_sign = "r1 = map[constants][0]+0\nr2 = *(s8 *)(r1 + 4)\nr2 += 2\n";
  EXPECT_TRUE(report(by_sign + use, {0, 0, 0, 0, 0xfe}).verified);
  EXPECT_FALSE(report(by_sign + use, {0, 0, 0, 0, 0xfd}).verified);
}

// A number and the one that is a constant more: what a comparison tells of one is known of the other.
TEST(Branches, TellOfNumbersThatAreAConstantMore) {
  const std::string copy = "call get_prandom_u32\nw6 = w0\nr7 = r6\n";
  const auto with = [&](const std::string& moves, const std::string& branch, const std::string& used) {
    return copy + moves + "r0 = 0\n" + branch + "\nr1 = map[variables][0]+0\nr1 += " + used +
           "\nr0 = *(u8 *)(r1 + 0)\nout: exit";
  };
  accepts(with("r7 += 4\n", "if r6 > 19 goto out", "r7"));
  refuses(with("r7 += 4\n", "if r6 > 20 goto out", "r7"), Rule::kMapBounds);
  accepts(with("r7 += 4\n", "if r7 > 23 goto out", "r6"));
  accepts(with("r6 += -3\nr6 += 1\nr7 += 5\n", "if r6 > 16 goto out", "r7"));
  refuses(with("r6 += -3\nr6 += 1\nr7 += 5\n", "if r6 > 17 goto out", "r7"), Rule::kMapBounds);
  // In 32 bits the sum may wrap, and other operations are no sums.
  refuses(with("w7 += 4\n", "if r6 > 9 goto out", "r7"), Rule::kPointerArithmetic);
  refuses(with("r7 *= 2\n", "if r6 > 2 goto out", "r7"), Rule::kPointerArithmetic);
  // A path that joins with another distance between the two is walked.
  const std::string two = copy + "r7 += 4\nif r0 & 1 goto +1\nr7 += 1\nr2 = 1\nr2 = 2\nr2 = 3\nr0 = 0\n";
  const std::string use = "\nr1 = map[variables][0]+0\nr1 += r7\nr0 = *(u8 *)(r1 + 0)\nout: exit";
  accepts(two + "if r6 > 18 goto out" + use);
  refuses(two + "if r6 > 19 goto out" + use, Rule::kMapBounds);
}

TEST(Branches, OnARegisterAndItself) {
  accepts("if r2 == r2 goto +1\nr0 = r9\nr0 = 0\nexit");
  refuses("if r2 != r2 goto +1\nr0 = r9\nr0 = 0\nexit", Rule::kUninitialised);
  refuses("if r2 & r2 goto +1\nr0 = r9\nr0 = 0\nexit", Rule::kUninitialised);
  accepts("if r2 & r2 goto +1\nr0 = r9\nr0 = 0\nexit", {.premise = {.memory_least = 1}});
}

TEST(MapValues, ConstantsAreNotWritten) {
  refuses("r1 = map[constants][0]+0\n*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit", Rule::kReadOnly);
  accepts("r1 = map[constants][0]+0\nr0 = *(u32 *)(r1 + 0)\nexit");
  accepts("r1 = map[variables][0]+0\n*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit");
}

TEST(Pointers, AddAndSubtractOnly) {
  refuses("r1 *= 2\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("r1 &= -8\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("w1 += 2\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("r3 = r10\nr3 += r1\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("r1 = -r1\nr0 = 0\nexit", Rule::kPointerArithmetic);
  accepts("r3 = r1\nr3 += 2\nr0 = 0\nr3 -= r1\nr0 = r3\nexit");
  refuses("r1 = map[array]\nr1 += 8\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses("r0 = 5\nr0 = *(u8 *)(r0 + 0)\nexit", Rule::kNotAPointer);
  refuses("r1 = map[array]\nr0 = *(u8 *)(r1 + 0)\nexit", Rule::kNotAPointer);
}

// What joins must not forget. In each, the first path to the join is good and the second is not.
TEST(Joins, TheSecondPathIsWalkedWhereItDiffersInWhatMatters) {
  const std::string head = "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr6 = 8\nr7 = 0\nif r2 == 0 goto +1\n";
  const std::string tail = "r8 = 1\nr8 = 2\nr8 = 3\nr3 = r10\nr3 -= r6\nr0 = *(u8 *)(r3 + 0)\nexit";
  accepts(head + "r6 = 16\n" + tail);
  refuses(head + "r6 = 17\n" + tail, Rule::kUninitialised);
  // Through the stack.
  const std::string spilled = "*(u64 *)(r10 - 8) = r6\nr8 = 1\nr8 = 2\nr6 = *(u64 *)(r10 - 8)\n";
  refuses(head + "r6 = 17\n" + spilled + tail, Rule::kUninitialised);
  accepts(head + "r6 = 9\n" + spilled + tail);
  // Through a branch that one value decides.
  const std::string decided = "r8 = 1\nr8 = 2\nif r6 == 8 goto +1\nr0 = *(u64 *)(r10 - 24)\nr0 = 0\nexit";
  refuses(head + "r6 = 9\n" + decided, Rule::kUninitialised);
  // Through a copy that a comparison bounds.
  refuses("r6 = r2\nr7 = r2\nr4 = r2\nif r4 & 1 goto +1\nr7 = r3\nr0 = 0\nexit", Rule::kUninitialised);
  const std::string copies =
      "r6 = r1\nr7 = r2\ncall get_prandom_u32\nr8 = r0\nr9 = r0\nif r7 == 0 goto +2\ncall get_prandom_u32\nr9 = r0\n"
      "r1 = 1\nr1 = 2\nr1 = 3\nr0 = 0\nif r8 > 7 goto +5\n*(u64 *)(r10 - 8) = 0\nr3 = r10\nr3 += r9\nr3 += -8\nr0 = "
      "*(u8 *)(r3 + 0)\nexit";
  refuses(copies, Rule::kPointerArithmetic);
}

// Calls of bpf_loop that are made again and again end each, and all together never.
TEST(Joins, AStateComesBackOnlyBetweenRoundsOfOneCall) {
  const std::string tail =
      "r2 = subprog[turn]\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\nr1 = *(u64 *)(r10 - 8)\nif r1 == 0 goto out\n";
  const std::string turn = "turn: *(u64 *)(r2 + 0) = 1\nr0 = 0\nexit";
  const Options options{.budget = 20'000};
  for (const char* rounds : {"r1 = 1\n", "call get_prandom_u32\nr1 = r0\n"}) {
    refuses(std::string("again: *(u64 *)(r10 - 8) = 0\n") + rounds + tail + "goto again\nout: r0 = 2\nexit\n" + turn,
            Rule::kTooComplex, options);
    accepts(std::string("r6 = 4\nagain: *(u64 *)(r10 - 8) = 0\n") + rounds + tail +
                "r6 += -1\nif r6 != 0 goto again\nout: r0 = 2\nexit\n" + turn,
            options);
  }
}

// Functions that wait keep their stacks in each state that is kept: a long loop must not keep all of them.
TEST(Loops, TakeLittleMemory) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEIR_TAKES_MORE_MEMORY
#endif
#endif
#if defined(WEIR_TAKES_MORE_MEMORY) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  // How much more than before there was at a time, in MiB, whatever ran earlier in this process.
  const auto taken_by = [](const auto& work) {
    const auto most = [] {
      std::ifstream status("/proc/self/status");
      std::string word;
      long kibibytes = 0;
      while (status >> word && word != "VmHWM:") {}
      status >> kibibytes;
      return kibibytes / 1024;
    };
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    std::ofstream("/proc/self/clear_refs") << "5";  // the most is what there is now
    const long before = most();
    EXPECT_NE(before, 0);
    work();
    return most() - before;
  };
  const auto with = [](const std::string& inner, std::uint64_t rounds) {
    std::string text;
    for (int depth = 0; depth < 8; ++depth) {
      if (depth > 0) text += "f" + std::to_string(depth) + ":\n";
      for (int slot = 1; slot <= 64; ++slot) text += "*(u64 *)(r10 - " + std::to_string(8 * slot) + ") = 1\n";
      if (depth < 7) text += "call local f" + std::to_string(depth + 1) + "\nr0 = 0\nexit\n";
    }
    return text + "r1 = 0\nloop: r1 += 1\n" + inner + "if r1 != " + std::to_string(rounds) +
           " goto loop\nr0 = 0\nexit\n";
  };
  EXPECT_LT(taken_by([&] { accepts(with("", 400000)); }), 64) << "each round alone goes on";
  // States with which others are still compared: at every join another.
  std::string joins;
  for (int i = 0; i < 12000; ++i)
    joins += "if r1 == 0 goto j" + std::to_string(i) + "\nj" + std::to_string(i) + ": r2 = 1\n";
  EXPECT_LT(taken_by([&] { accepts(with(joins, 3)); }), 700);
}

// A pointer is not null while it points to what is there. Packets and contexts may lie so low that one that was moved
// is 0; the kernel says nothing of them, moved or not, and nothing of the stack.
TEST(Pointers, AreNullWhereTheyMayBe) {
  const std::string is_null = "if r6 == 0 goto bad\nr0 = 1\nexit\nbad: r0 = *(u64 *)(r0 + 0)\nexit";
  const std::string is_other =
      "r2 = r10\nr2 += -8\n*(u64 *)(r2 + 0) = 9\nr1 = map[hash]\ncall map_lookup_elem\nr1 = r0\n"
      "r0 = 0\nif r1 != r6 goto out\nr0 = *(u64 *)(r1 + 0)\nout: exit";
  for (const ProgramType type : {ProgramType::kXdp, ProgramType::kSchedCls}) {
    const std::string packet = type == ProgramType::kXdp ? "r6 = *(u32 *)(r1 + 0)\n" : "r6 = *(u32 *)(r1 + 76)\n";
    for (const std::string& low : {packet, packet + "r6 += -0x10001100\n", std::string("r6 = r1\n")}) {
      refuses("r0 = 2\n" + low + is_null, Rule::kNotAPointer, as(type));
      refuses(low + is_other, Rule::kNull, as(type));
    }
    refuses("r0 = 2\nr6 = r10\n" + is_null, Rule::kNotAPointer, as(type));
    accepts("r6 = r10\n" + is_other, as(type));
    for (const std::string by : {"0", "23", "24"}) {
      const std::string value = "r6 = map[variables][0]+0\nr6 += " + by + "\n";
      accepts("r0 = 2\n" + value + is_null, as(type));
      accepts(value + is_other, as(type));
    }
    for (const std::string by : {"-1", "25", "-0x10001100"}) {
      const std::string value = "r6 = map[variables][0]+0\nr6 += " + by + "\n";
      refuses("r0 = 2\n" + value + is_null, Rule::kNotAPointer, as(type));
      refuses(value + is_other, Rule::kNull, as(type));
    }
  }
}

// In programs for the kernel, as it does.
TEST(Numbers, VariablePartsOfOffsetsAreNotNegative) {
  const std::string start =
      "r6 = map[variables][0]+0\nr2 = *(s32 *)(r6 + 0)\nr0 = 1\nif r2 s> 8 goto out\nif r2 s< -8 goto out\n";
  const std::string end = "r1 = *(u8 *)(r6 + 0)\nout: exit";
  const Options xdp = as(ProgramType::kXdp);
  refuses(start + "r6 += 12\nr6 += r2\n" + end, Rule::kMapBounds, xdp);
  accepts(start + "r6 += 12\nr6 += r2\n" + end);
  accepts(start + "r2 += 12\nr6 += r2\n" + end, xdp);
  accepts(start + "r2 += 8\nr6 += r2\n" + end, xdp);
}

// Of a number on the stack the lower bytes are known; others only in programs of user space.
TEST(Numbers, UpperHalvesOnTheStack) {
  const auto text = [](const char* number) {
    return std::string("*(u64 *)(r10 - 16) = 0\n") + number +
           "\n*(u64 *)(r10 - 8) = r1\nr2 = *(u32 *)(r10 - 4)\nr3 = r10\nr3 += -8\nr3 += r2\nr0 = *(u8 *)(r3 + 0)\nr0 "
           "&= 1\nexit";
  };
  const Options xdp = as(ProgramType::kXdp);
  refuses(text("r1 = *(u32 *)(r1 + 12)"), Rule::kPointerArithmetic, xdp);
  accepts(text("r1 = 0"), xdp);
  accepts(text("r1 = r2\nr1 &= 0xff"));
}

TEST(Pointers, WhatEqualsOneIsNotNull) {
  const std::string look = "r1 = map[hash]\nr2 = r10\nr2 += -8\ncall map_lookup_elem\n";
  const std::string start = "*(u64 *)(r10 - 8) = 0\n" + look + "r7 = r0\nif r0 == 0 goto out\n" + look;
  const std::string use = "r0 = *(u64 *)(r0 + 0)\nexit\nout: r0 = 1\nexit";
  accepts(start + "if r0 != r7 goto out\n" + use);
  accepts(start + "if r7 != r0 goto out\n" + use);
  accepts(start + "if r7 == r0 goto in\ngoto out\nin: " + use);
  refuses(start + "if r0 == r7 goto out\n" + use, Rule::kNull);
  refuses("*(u64 *)(r10 - 8) = 0\n" + look + "r7 = r0\n" + look + "if r0 != r7 goto out\n" + use, Rule::kNull);
}

TEST(Pointers, ConstantsLeadNotTooFar) {
  const std::string start = "r6 = map[variables][0]+0\n";
  const std::string end = "r0 = *(u8 *)(r6 + 0)\nexit";
  accepts(start + "r6 += 0x1fffffff\nr6 += -0x1fffffff\n" + end);
  refuses(start + "r6 += 0x1fffffff\nr6 += 1\nr6 += -1\nr6 += -0x1fffffff\n" + end, Rule::kPointerArithmetic);
  refuses(start + "r6 += -0x1fffffff\nr6 += -0x1fffffff\nr0 = 0\nexit", Rule::kPointerArithmetic);
  refuses(start + "r6 += 0x20000000\nr0 = 0\nexit", Rule::kPointerArithmetic);
  const std::string far = "r6 += 0x1fffffff\nr6 += 0x1fffffff\nr6 += -0x1fffffff\nr6 += -0x1fffffff\n";
  refuses("r2 &= 7\n" + start + far + "r2 += -0x1fffffff\nr6 += r2\n" + end, Rule::kPointerArithmetic);
}

TEST(Explanations, TellWherePathAndWhatToChange) {
  ebpf::Program program =
      program_of("r0 = 0\nif r2 == 0 goto +2\nif r2 > 9 goto +1\nr0 = *(u16 *)(r1 + 0)\nexit", false);
  program.lines = {{0, 3, 1, "filter.c", "  int r = 0;"}, {3, 7, 5, "filter.c", "  return *p;"}};
  const Report report = examine(program);
  ASSERT_TRUE(report.refusal);
  const Refusal& refusal = *report.refusal;
  EXPECT_EQ(refusal.instruction, 3u);
  ASSERT_TRUE(refusal.line);
  EXPECT_EQ(refusal.line->line, 7u);
  ASSERT_EQ(refusal.path.size(), 2u);
  EXPECT_EQ(refusal.path[0].instruction, 1u);
  EXPECT_FALSE(refusal.path[0].taken);
  EXPECT_EQ(explain(refusal),
            "instruction 3: bytes 0 to 1 of the memory, of which 1 is known to be there\n"
            "  code      r0 = *(u16 *)(r1 + 0)\n"
            "  source    filter.c:7: return *p;\n"
            "  required  2 bytes before the memory's length (r2 at the start)\n"
            "  known     r1 is memory, 1 byte from there on known to be there\n"
            "  path      1: if r2 == 0 goto +2: not taken (filter.c:3: int r = 0;)\n"
            "            2: if r2 > 9 goto +1: not taken (filter.c:3: int r = 0;)\n"
            "  try       compare the length (r2 at the start) with 2 before\n");
  const Error error = to_error(refusal);
  EXPECT_EQ(std::get<InstructionPlace>(error.place).index, 3u);
  EXPECT_EQ(error.hint, refusal.suggestion);
  EXPECT_FALSE(verify(*ebpf::check(program)));
}

TEST(Explanations, TheLogTellsEachStep) {
  std::vector<std::string> lines;
  const Options options{.log = [&](std::string_view line) { lines.emplace_back(line); }};
  EXPECT_TRUE(examine(program_of("r0 = 3\nr0 += 4\nexit", false), options).verified);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NE(lines[1].find("; r0: 7"), std::string::npos) << lines[1];
}

TEST(Verified, HoldsTheProgramAndThePremise) {
  const auto checked = ebpf::check(program_of("r0 = 3\nexit", false));
  ASSERT_TRUE(checked);
  const Result<ebpf::Verified> verified = verify(*checked, as(ProgramType::kXdp));
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->premise().type, ProgramType::kXdp);
  EXPECT_EQ(verified->program().size(), 2u);
}

}  // namespace
}  // namespace weir::verify
