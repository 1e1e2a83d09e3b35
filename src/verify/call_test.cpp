// Helpers and what they give out, functions of the program, functions that helpers call back, and tail calls: programs
// that break a rule, and their twins that do not.
#include "verify/verify_cases.h"

namespace weir::verify {
namespace {

TEST(Helpers, Exist) {
  refuses("call 9999\nexit", Rule::kHelper);
  accepts("call ktime_get_ns\nexit");
  refuses("r2 = 0\ncall xdp_adjust_head\nexit", Rule::kHelper, as(ProgramType::kSchedCls));
  accepts("r2 = 0\ncall xdp_adjust_head\nexit", as(ProgramType::kXdp));
  refuses("call kernel[id:5]\nexit", Rule::kCall);
}

TEST(Helpers, TakeWhatTheyTake) {
  accepts(kLookup + "r0 = 0\nexit");
  refuses("r2 = r10\nr2 += -4\nr1 = map[array]\ncall map_lookup_elem\nr0 = 0\nexit", Rule::kUninitialised);
  refuses("*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -2\nr1 = map[array]\ncall map_lookup_elem\nr0 = 0\nexit",
          Rule::kStackBounds);
  refuses("r2 = 4\nr1 = map[array]\ncall map_lookup_elem\nr0 = 0\nexit", Rule::kArgument);
  refuses("*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = 5\ncall map_lookup_elem\nr0 = 0\nexit", Rule::kArgument);
  refuses("*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[ring]\ncall map_lookup_elem\nr0 = 0\nexit",
          Rule::kArgument);
  refuses("r6 = r1\nr2 = map[jumps]\nr1 = r10\nr3 = 0\ncall tail_call\nr0 = 0\nexit", Rule::kArgument);
  accepts("r2 = map[jumps]\nr3 = 0\ncall tail_call\nr0 = 0\nexit");
  refuses("r2 = map[array]\nr3 = 0\ncall tail_call\nr0 = 0\nexit", Rule::kArgument);
  refuses(
      "*(u32 *)(r10 - 4) = 0\n*(u64 *)(r10 - 16) = 0\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\n"
      "r1 = map[constants]\ncall map_update_elem\nr0 = 0\nexit",
      Rule::kReadOnly);
  refuses("r1 = map[stack]\nr2 = r10\nr2 += -4\ncall map_pop_elem\nr0 = 0\nexit", Rule::kStackBounds);
  accepts("r1 = map[stack]\nr2 = r10\nr2 += -8\ncall map_pop_elem\nr0 = *(u64 *)(r10 - 8)\nexit");
}

TEST(Helpers, SizesAreBounded) {
  const auto tc = as(ProgramType::kSchedCls);
  const std::string head = "r6 = r1\ncall get_prandom_u32\nr4 = r0\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -16\n";
  const std::string written = "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\n";
  const std::string tail = "call skb_load_bytes\nr0 = 0\nexit";
  accepts(head + "r4 = 16\n" + tail, tc);
  refuses(head + "r4 = 17\n" + tail, Rule::kStackBounds, tc);
  refuses(head + "r4 = 0\n" + tail, Rule::kArgument, tc);
  refuses(written + head + tail, Rule::kArgument, tc);
  refuses(written + head + "r4 &= 15\n" + tail, Rule::kArgument, tc);
  accepts(written + head + "r4 &= 15\nr4 += 1\n" + tail, tc);
  refuses(written + head + "r4 &= 31\nr4 += 1\n" + tail, Rule::kStackBounds, tc);
  refuses(head + "r4 &= 15\nr4 += 1\n" + tail, Rule::kUninitialised, tc);
  accepts(head + "r4 = 16\ncall skb_load_bytes\nr0 = *(u64 *)(r10 - 16)\nexit", tc);
}

TEST(Helpers, NullWithoutASize) {
  const auto tc = as(ProgramType::kSchedCls);
  const std::string end = "r3 = r10\nr3 += -8\nr4 = 8\nr5 = 0\n*(u64 *)(r10 - 8) = 0\ncall csum_diff\nr0 = 0\nexit";
  accepts("r1 = 0\nr2 = 0\n" + end, tc);
  refuses("r1 = 0\nr2 = 4\n" + end, Rule::kNull, tc);
}

TEST(Helpers, MapsWithinMaps) {
  const std::string head = "*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[outer]\ncall map_lookup_elem\n";
  const std::string inner =
      "r1 = r0\nr2 = r10\nr2 += -4\ncall map_lookup_elem\nif r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 16)\nexit";
  accepts(head + "if r0 == 0 goto +6\n" + inner);
  refuses(head + inner, Rule::kNull);
  refuses(head + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit", Rule::kNotAPointer);
}

const std::string kReserve = "r1 = map[ring]\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\n";

TEST(Records, AreGivenBack) {
  accepts(kReserve + "if r0 == 0 goto +4\n*(u64 *)(r0 + 0) = 5\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nr0 = 0\nexit");
  accepts(kReserve + "if r0 == 0 goto +3\nr1 = r0\nr2 = 0\ncall ringbuf_discard\nr0 = 0\nexit");
  refuses(kReserve + "r0 = 0\nexit", Rule::kHeld);
  refuses(kReserve + "if r0 == 0 goto +1\n*(u64 *)(r0 + 0) = 5\nr0 = 0\nexit", Rule::kHeld);
  refuses(kReserve + "r1 = r0\nr2 = 0\ncall ringbuf_submit\nr0 = 0\nexit", Rule::kNull);
  const std::string twice =
      "if r0 == 0 goto +7\nr6 = r0\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nr1 = r6\nr2 = 0\ncall ringbuf_submit\nr0 = "
      "0\nexit";
  refuses(kReserve + twice, Rule::kArgument);
  refuses(
      kReserve + "if r0 == 0 goto +5\nr6 = r0\nr1 = r0\nr2 = 0\ncall ringbuf_submit\n*(u8 *)(r6 + 0) = 1\nr0 = 0\nexit",
      Rule::kNotAPointer);
  refuses(kReserve + "if r0 == 0 goto +4\nr0 += 4\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nr0 = 0\nexit",
          Rule::kArgument);
  refuses("r6 = r1\n" + kReserve + "if r0 == 0 goto +4\nr1 = r6\nr2 = map[jumps]\nr3 = 0\ncall tail_call\nr0 = 0\nexit",
          Rule::kHeld);
}

TEST(Records, HaveTheirSize) {
  const std::string tail = "\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nr0 = 0\nexit";
  refuses(kReserve + "if r0 == 0 goto +4\n*(u64 *)(r0 + 1) = 5" + tail, Rule::kRecordBounds);
  refuses("r6 = r2\nr1 = map[ring]\nr2 = r6\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto +3" + tail, Rule::kArgument);
}

TEST(Calls, AreNotDeeperThanEight) {
  std::string text = "call local f1\nexit\n";
  for (int i = 1; i < 7; ++i) text += "f" + std::to_string(i) + ": call local f" + std::to_string(i + 1) + "\nexit\n";
  accepts(text + "f7: r0 = 0\nexit");
  refuses(text + "f7: call local f8\nexit\nf8: r0 = 0\nexit", Rule::kCall);
  refuses("call local f\nexit\nf: call local f\nexit", Rule::kCall);
}

TEST(Calls, ThroughRegistersOnlyWhereTheyAreKnown) {
  const ebpf::Program program = program_of("r2 = 5\ncallx r2\nexit");
  EXPECT_FALSE(examine(program).verified);
  EXPECT_TRUE(examine(program, {.register_calls = true}).verified);
  EXPECT_FALSE(examine(program_of("callx r2\nexit"), {.register_calls = true}).verified);
}

// A round's key is gone when its function has ended; one of a round that still runs is there.
TEST(Callbacks, KeysAreThoseOfTheRound) {
  const std::string head =
      "*(u64 *)(r10 - 16) = 0\nr1 = r10\nr1 += -16\n*(u64 *)(r10 - 8) = r1\nr1 = map[hash]\nr2 = subprog[keep]\nr3 = "
      "r10\nr3 += -8\nr4 = 0\n"
      "call bpf_for_each_map_elem\n";
  const std::string keep = "\nkeep: *(u64 *)(r4 + 0) = r2\nr0 = *(u32 *)(r2 + 0)\nr0 = 0\nexit";
  accepts(head + "r0 = 0\nexit" + keep);
  const Refusal refusal =
      refuses(head + "r1 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r1 + 0)\nexit" + keep, Rule::kNotAPointer);
  EXPECT_NE(refusal.message.find("key"), std::string::npos) << refusal.message;
  // In the next round the one before is gone, too.
  refuses(head + "r0 = 0\nexit\nkeep: r1 = *(u64 *)(r4 + 0)\n*(u64 *)(r4 + 0) = r2\nr0 = *(u8 *)(r1 + 0)\nr0 = 0\nexit",
          Rule::kNotAPointer);
  accepts(
      "r1 = map[hash]\nr2 = subprog[outer]\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\nr0 = 0\nexit\n"
      "outer: r6 = r2\nr1 = map[array]\nr2 = subprog[inner]\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = r6\nr4 = 0\n"
      "call bpf_for_each_map_elem\nr0 = *(u32 *)(r6 + 0)\nr0 = 0\nexit\n"
      "inner: r1 = *(u64 *)(r3 + 0)\nr0 = 0\nexit");
}

// As in kernels: what is proven of maps in maps ends there.
TEST(MapsOfMaps, HoldNoMapsOfMaps) {
  const std::string look = "r2 = r10\nr2 += -8\ncall map_lookup_elem\nif r0 == 0 goto out\nr1 = r0\n";
  const std::string maps =
      ".map leaf, array, key 4, value 64, entries 1\n.map mid, array_of_maps, key 4, value 4, entries 1, inner leaf\n"
      ".map o, hash_of_maps, key 4, value 4, entries 1, inner mid\n";
  const auto report = [&](const std::string& start, const std::string& end) {
    return examine(ebpf::assemble(maps + "*(u64 *)(r10 - 8) = 0\n" + start + end +
                                  "r0 = *(u8 *)(r0 + 63)\nexit\nout: r0 = 0\nexit")
                       .value());
  };
  EXPECT_TRUE(report("r1 = map[mid]\n", look + look).verified);
  const Report nested = report("r1 = map[o]\n", look + look + look);
  ASSERT_TRUE(nested.refusal);
  EXPECT_EQ(nested.refusal->rule, Rule::kArgument);
  EXPECT_EQ(nested.refusal->message, "map 'o' would hold maps of maps");
}

// Text that is asked for must be the program's own, not that of a map in a map of maps.
TEST(MapsOfMaps, TextOfTheInnerOneIsNotConstant) {
  for (const bool shows : {false, true}) {
    const std::string text =
        ".map c, array, key 4, value 8, entries 1, flags 128\n"
        ".map v, array, key 4, value 64, entries 1\n"
        ".map o, array_of_maps, key 4, value 4, entries 1, inner " +
        std::string(shows ? "c" : "v") +
        "\nr1 = map[v][0]+0\nr2 = 64\nr3 = map[c][0]+0\ncall bpf_strncmp\nr0 = 0\nexit";
    EXPECT_EQ(examine(ebpf::assemble(text).value(), as(ProgramType::kXdp)).verified.has_value(), !shows);
  }
}

// A map that shows what the maps of another are like may stand for one with other contents.
TEST(MapsOfMaps, ContentsOfTheInnerOneAreNotKnown) {
  for (const bool shows : {false, true}) {
    ebpf::Program program = ebpf::assemble(
                                ".map c, array, key 4, value 8, entries 1, flags 128\n"
                                ".map v, array, key 4, value 8, entries 1\n"
                                ".map o, array_of_maps, key 4, value 4, entries 1, inner " +
                                std::string(shows ? "c" : "v") +
                                "\nr1 = map[c][0]+0\nr2 = *(u64 *)(r1 + 0)\nr1 = map[v][0]+0\nr1 += r2\n"
                                "r0 = *(u8 *)(r1 + 0)\nexit")
                                .value();
    program.maps[0].contents = {7};
    EXPECT_EQ(examine(program).verified.has_value(), !shows);
  }
}

// Like those of values and records.
TEST(Callbacks, AtomicLoadsOfKeysAreAligned) {
  const std::string head =
      ".map wide, hash, key 16, value 8, entries 2\nr1 = map[wide]\nr2 = subprog[f]\nr3 = 0\nr4 = 0\n"
      "call bpf_for_each_map_elem\nr0 = 0\nexit\nf: r0 = load_acquire((u32 *)(r2 + ";
  accepts(head + "4))\nr0 = 0\nexit");
  refuses(head + "1))\nr0 = 0\nexit", Rule::kAlignment);
}

// Where the packet is too short, the function gives 0.
TEST(Calls, PacketLoadsEndTheFunctionThatMakesThem) {
  const std::string use =
      "r6 = map[variables][0]+0\nr1 = 8\nif r0 > 0 goto w\nr1 = 24\nw: r6 += r1\nr0 = *(u8 *)(r6 + 0)\nexit";
  const std::string load = "r0 = *(u8 *)skb[12]\n";
  accepts("r0 = 1\n" + use);
  accepts(load + "r0 = 1\n" + use);
  const Refusal refusal = refuses("call local f\n" + use + "\nf: " + load + "r0 = 1\nexit", Rule::kMapBounds);
  EXPECT_NE(explain(refusal).find("too short, which ends the function"), std::string::npos) << explain(refusal);
}

// Where a tail call in a function succeeds, the function gives what the other program gives.
TEST(TailCalls, EndTheFunctionThatMakesThem) {
  const std::string function = "\nf: r2 = map[jumps]\nr3 = 0\ncall tail_call\nr0 = 0\nexit";
  const std::string use = "r6 = map[variables][0]+0\nr6 += r0\nr0 = *(u8 *)(r6 + 0)\nexit";
  for (const Options& options : {Options{}, as(ProgramType::kXdp)}) {
    const Refusal refusal = refuses("call local f\n" + use + function, Rule::kPointerArithmetic, options);
    EXPECT_NE(explain(refusal).find("the other program ends the function"), std::string::npos) << explain(refusal);
    accepts("call local f\nr0 &= 7\n" + use + function, options);
  }
  accepts("r2 = map[jumps]\nr3 = 0\ncall tail_call\nr0 = 0\n" + use);
  // And it may have moved the packet, wherever pointers into it are.
  const std::string packet =
      "r6 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r6\nr4 += 8\nr0 = 0\nif r4 > r3 goto out\n";
  const std::string end = "r0 = *(u8 *)(r6 + 7)\nout: exit";
  const auto xdp = as(ProgramType::kXdp);
  refuses(packet + "call local f\n" + end + function, Rule::kNotAPointer, xdp);
  accepts(packet + "r2 = map[jumps]\nr3 = 0\ncall tail_call\n" + end, xdp);
  refuses(packet + "call local g\n" + end + "\ng: call local f\nexit" + function, Rule::kNotAPointer, xdp);
  // The memory of a program on memory stays where it is.
  accepts("r6 = r1\ncall local f\nr0 = *(u8 *)(r6 + 7)\nexit" + function, {.premise = {.memory_least = 8}});
}

}  // namespace
}  // namespace weir::verify
