// Machine code: what it must not be (writable, telling constants), and where it meets the interpreter. That both do
// the same is tested in tests/ebpf_agreement_test.cpp.
#include <cstring>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

namespace weir::engine {
namespace {

bool is_native_here() {
#if defined(__x86_64__)
  return true;
#else
  return false;
#endif
}
#define WEIR_REQUIRE_NATIVE() \
  if (!is_native_here()) GTEST_SKIP() << "no machine code for this processor"

ExtendedEnginePointer loaded(std::string_view text, ExtendedOptions options = {}) {
  const Result<ebpf::Program> program = ebpf::assemble(text);
  EXPECT_TRUE(program) << render(program.error(), text);
  const auto checked = ebpf::check(*program);
  EXPECT_TRUE(checked) << checked.error().message;
  options.kind = ExtendedKind::kNative;
  Result<ExtendedEnginePointer> engine = load_extended(*checked, options);
  EXPECT_TRUE(engine) << engine.error().message;
  return *engine;
}

TEST(Native, EndlessProgramsEnd) {
  WEIR_REQUIRE_NATIVE();
  runtime::Invocation run;
  EXPECT_EQ(loaded("a: goto a", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("a: gotol a", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("a: r0 += 1\nif r0 != 0 goto a\nexit", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("f: call local f\nexit")->run(run).fault, Fault::kCallDepth);
}

// A load outside of the packet ends the function, and the program where that is it.
TEST(Native, PacketLoadsOutside) {
  const std::vector<std::uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
  const auto result = [&](std::string_view text) {
    const auto checked = ebpf::check(ebpf::assemble(text).value()).value();
    std::uint64_t value = 0;
    for (const ExtendedKind kind : {ExtendedKind::kInterpreter, ExtendedKind::kAutomatic}) {
      runtime::Invocation run{.loads = bytes};
      const Outcome outcome = load_extended(checked, {.kind = kind}).value()->run(run);
      EXPECT_TRUE(outcome) << text;
      if (kind == ExtendedKind::kInterpreter) value = outcome.value;
      EXPECT_EQ(outcome.value, value) << text;
    }
    return value;
  };
  EXPECT_EQ(result("r0 = 7\nr0 = *(u8 *)skb[18]\nexit"), 0u);
  for (const char* load : {"skb[18]", "skb[r2 + 18]"})
    EXPECT_EQ(result("r6 = 5\nr2 = 0\ncall local f\nr0 += r6\nexit\nf: r6 = 1\nr2 = 0\nr0 = *(u8 *)" +
                     std::string(load) + "\nr0 = 9\nexit"),
              5u);
  EXPECT_EQ(result("call local f\nr0 += 1\nexit\nf: r0 = *(u16 *)skb[1]\nexit"), 0x204u);
  // From the network header, and from the first byte.
  EXPECT_EQ(result("r0 = *(u8 *)skb[0xfff00002]\nexit"), 17u);
  EXPECT_EQ(result("r2 = 3\nr0 = *(u8 *)skb[r2 + 0xfff00000]\nexit"), 18u);
  EXPECT_EQ(result("r0 = *(u16 *)skb[0xfff00003]\nexit"), 0u);
  EXPECT_EQ(result("r0 = *(u32 *)skb[0xffe00001]\nexit"), 0x2030405u);
  EXPECT_EQ(result("r0 = *(u8 *)skb[0xffe00012]\nexit"), 0u);
  EXPECT_EQ(result("r0 = *(u8 *)skb[0xffdfffff]\nexit"), 0u);
}

TEST(Native, CodeIsNotWritable) {
  WEIR_REQUIRE_NATIVE();
  const auto engine = loaded("r0 = 5\nexit");
  ASSERT_FALSE(engine->code().empty());
  std::ifstream maps("/proc/self/maps");
  const auto address = reinterpret_cast<std::uint64_t>(engine->code().data());
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char rights[5] = {};
    std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights);
    EXPECT_FALSE(rights[1] == 'w' && rights[2] == 'x') << line;
    if (address < begin || address >= end) continue;
    found = true;
    EXPECT_STREQ(rights, "r-xp");
  }
  EXPECT_TRUE(found);
}

TEST(Native, BlindedConstantsAreNotInTheCode) {
  WEIR_REQUIRE_NATIVE();
  constexpr std::string_view kText =
      "r0 = 0x3c909090\nr0 += 0x3c909091\nr1 = 0x1122334455667788 ll\nif r0 == 0x3c909092 goto +0\n*(u64 *)(r10 - 8) = "
      "0x3c909093\nw0 ^= 0x3c909094\nexit";
  const auto contains = [](const ExtendedEngine& engine, std::uint32_t value) {
    for (std::size_t i = 0; i + 4 <= engine.code().size(); ++i)
      if (load<std::uint32_t>(&engine.code()[i], std::endian::little) == value) return true;
    return false;
  };
  const auto plain = loaded(kText);
  const auto blind = loaded(kText, {.blind_constants = true});
  for (const std::uint32_t value : {0x3c909090u, 0x3c909091u, 0x55667788u, 0x3c909092u, 0x3c909093u, 0x3c909094u}) {
    EXPECT_TRUE(contains(*plain, value)) << std::hex << value;
    EXPECT_FALSE(contains(*blind, value)) << std::hex << value;
  }
  runtime::Invocation run;
  EXPECT_EQ(plain->run(run).value, blind->run(run).value);
}

TEST(Native, TailCallsBetweenBothEngines) {
  WEIR_REQUIRE_NATIVE();
  for (const ExtendedKind kind : {ExtendedKind::kNative, ExtendedKind::kInterpreter}) {
    const auto first = loaded(
        ".map next, prog_array, key 4, value 4, entries 3\ncall local f\nr0 += 1\nexit\nf: r2 = map[next]\nr3 = "
        "1\ncall bpf_tail_call\nr0 = 77\nexit");
    runtime::Invocation run;
    run.arguments[0] = 1;
    EXPECT_EQ(first->run(run).value, 78u);
    const auto second = load_extended(*ebpf::check(ebpf::assemble("r0 = 99\nexit").value()), {.kind = kind}).value();
    ASSERT_TRUE(set_tail_call(*first->maps()[0], 1, second));
    EXPECT_EQ(first->run(run).value, 100u) << "a tail call ends the function that made it, not its caller";
    const auto interpreted =
        load_extended(*ebpf::check(first->program()), {.kind = ExtendedKind::kInterpreter, .maps = first->maps()})
            .value();
    EXPECT_EQ(interpreted->run(run).value, 100u);
  }
}

// Programs whose tail calls lead into one another, in each engine and in both.
class TailCalls : public testing::TestWithParam<std::pair<ExtendedKind, ExtendedKind>> {
 protected:
  void SetUp() override { WEIR_REQUIRE_NATIVE(); }
  // The first program's array leads to the second, or to the first itself.
  Outcome run(std::string_view first, std::string_view second, std::uint64_t budget = ExtendedOptions{}.budget) {
    constexpr std::string_view kMap = ".map next, prog_array, key 4, value 4, entries 1\n";
    const auto checked = [&](std::string_view text) {
      return ebpf::check(ebpf::assemble(std::string(kMap) + std::string(text)).value()).value();
    };
    engine_ = load_extended(checked(first), {.kind = GetParam().first, .budget = budget}).value();
    other_ = second.empty() ? engine_ : load_extended(checked(second), {.kind = GetParam().second}).value();
    EXPECT_TRUE(set_tail_call(*engine_->maps()[0], 0, other_));
    const Outcome outcome = engine_->run(run_);
    dynamic_cast<runtime::ReferenceMap&>(*engine_->maps()[0]).clear();
    return outcome;
  }
  runtime::Invocation run_{.arguments = {11, 12, 13, 14, 15}};
  ExtendedEnginePointer engine_, other_;  // outcomes point into them
};
const std::string kFunction = "\nf: r2 = map[next]\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit";

TEST_P(TailCalls, TheOtherProgramBeginsAsAnyDoes) {
  const std::string begin = "r4 = 1\nr5 = 2\nr6 = 3\nr7 = 4\nr8 = 5\nr9 = 6\nr0 = 7\n*(u64 *)(r10 - 8) = 8\n";
  const std::string second =
      "r0 += r1\nr0 += r2\nr0 += r3\nr0 += r4\nr0 += r5\nr0 += r6\nr0 += r7\nr0 += r8\nr0 += r9\n"
      "r1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit";
  EXPECT_EQ(run(begin + "r2 = map[next]\nr3 = 0\ncall bpf_tail_call\nexit", second).value, 65u);
  EXPECT_EQ(run(begin + "call local f\nexit" + kFunction, second).value, 65u);
}

TEST_P(TailCalls, AProgramHasEightFunctionsOfItsOwn) {
  EXPECT_EQ(run("call local f\nr0 += 1\nexit" + kFunction, "").value, 34u);
  std::string deep =
      "*(u64 *)(r10 - 8) = 5\nr6 = 70\ncall local f1\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nr0 += r6\nexit\n";
  for (int i = 1; i < 7; ++i)
    deep +=
        "f" + std::to_string(i) + ": r6 = 9\n*(u64 *)(r10 - 8) = 6\ncall local f" + std::to_string(i + 1) + "\nexit\n";
  EXPECT_EQ(
      run(deep + "f7: r2 = map[next]\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit", deep + "f7: r0 = 100\nexit").value,
      100u + 75 + 75);
  EXPECT_EQ(run(deep + "f7: call local f8\nexit\nf8: r0 = 0\nexit", "exit").fault, Fault::kCallDepth);
  // Its stack is all that it sees.
  const Outcome outcome = run("call local f\nexit" + kFunction, "r0 = *(u64 *)(r10 + 0)\nexit");
  EXPECT_EQ(outcome.fault, Fault::kOutside);
  EXPECT_EQ(outcome.program->size(), 2u);
}

// A run has 33, whichever function makes them.
TEST_P(TailCalls, AreCountedThroughout) {
  const std::string loop =
      "r6 = 40\nr7 = 0\nagain: call local f\nr7 += r0\nr6 += -1\nif r6 != 0 goto again\nr0 = r7\nexit";
  EXPECT_EQ(run(loop + kFunction, "r0 = 1\nexit").value, 33u);
}

TEST_P(TailCalls, FromFunctionsThatAreCalledBack) {
  const std::string loop =
      "r6 = 5\nr1 = 3\nr2 = subprog[g]\nr3 = 11\nr4 = 0\n*(u64 *)(r10 - 8) = 4\ncall bpf_loop\nr0 += r6\n"
      "r1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit\ng: r1 = r2\n";
  EXPECT_EQ(run(loop + kFunction.substr(4), "r0 = 0\nexit").value, 3u + 5 + 4);
  EXPECT_EQ(run(loop + "call local f\nexit" + kFunction, "r0 = 0\nexit").value, 3u + 5 + 4);
}

TEST_P(TailCalls, MayMoveThePacket) {
  runtime::PacketBuffer packet = std::move(runtime::PacketBuffer::create(100).value());
  packet.set(std::vector<std::uint8_t>(40, 7));
  run_.packet = &packet;
  run_.arguments = {reinterpret_cast<std::uint64_t>(packet.xdp_context())};
  run_.regions = {{run_.arguments[0], 24, false}};
  const std::string first =
      "r6 = r1\nr7 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r7 + 39)\ncall local f\nr0 = *(u8 *)(r7 + 19)\n"
      "r0 = *(u8 *)(r7 + 20)\nexit";
  const Outcome outcome = run(first + kFunction, "r2 = -20\ncall bpf_xdp_adjust_tail\nexit");
  EXPECT_EQ(outcome.fault, Fault::kOutside);
  EXPECT_EQ(outcome.instruction, 5u);
  EXPECT_EQ(packet.size(), 20u);
}

// What a tail call leads into is run from the same budget, in loops and in functions that are called back.
TEST_P(TailCalls, UseUpTheBudget) {
  const std::string loop =
      "r6 = 30\nr7 = r1\nagain: r1 = r7\ncall local f\nr6 += -1\nif r6 != 0 goto again\nr0 = 1\nexit";
  const std::string call_back =
      "r1 = 3\nr2 = subprog[g]\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 2\nexit\ng: r0 = r1\nr1 = 900\n"
      "k: r1 += -1\nif r1 != 0 goto k\nr0 = 0\nexit";
  const std::string slow = "r1 = 900\nk: r1 += -1\nif r1 != 0 goto k\nr0 = 2\nexit";
  for (const std::string& second : {slow, call_back, "call local h\nexit\nh: " + slow}) {
    EXPECT_EQ(run(loop + kFunction, second, 20000).fault, Fault::kBudget);
    EXPECT_EQ(run(loop + kFunction, second, 400000).value, 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, TailCalls,
                         testing::Values(std::pair{ExtendedKind::kNative, ExtendedKind::kNative},
                                         std::pair{ExtendedKind::kNative, ExtendedKind::kInterpreter},
                                         std::pair{ExtendedKind::kInterpreter, ExtendedKind::kInterpreter},
                                         std::pair{ExtendedKind::kInterpreter, ExtendedKind::kNative}));

}  // namespace
}  // namespace weir::engine
