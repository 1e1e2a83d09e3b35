// Machine code against the interpreter: the same results, memory and faults at the same slots for random programs, with
// and without blinded constants.
#include <cstdlib>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

#include "callback_programs.h"
#include "random_extended.h"
#include "rounds.h"

namespace weir::engine {
namespace {

struct Ran {
  Outcome outcome;
  std::vector<std::uint8_t> memory, map;
};

Ran run_once(const ebpf::Checked& checked, ExtendedKind kind, bool blind, std::uint64_t base,
             std::uint64_t budget = 3000) {
  ExtendedOptions options{.kind = kind, .budget = budget, .blind_constants = blind};
  const auto engine = load_extended(checked, options);
  EXPECT_TRUE(engine) << engine.error().message;
  alignas(16) static std::uint8_t room[96];
  for (std::size_t i = 0; i < sizeof room; ++i) room[i] = static_cast<std::uint8_t>(base >> (i % 7) ^ i);
  runtime::Invocation run;
  run.arguments = {reinterpret_cast<std::uint64_t>(room), 64, 3, 4, 5};
  run.regions = {{run.arguments[0], 64, true}};
  run.loads = {room, 64};
  run.cpu = 3;
  Ran out{(*engine)->run(run), {room, room + sizeof room}, {}};
  out.outcome.program = nullptr;
  for (const auto& map : (*engine)->maps())
    for (std::uint32_t key = 0; key < 6; ++key)
      if (const auto* value = static_cast<const std::uint8_t*>(map->lookup(&key, 0)))
        out.map.insert(out.map.end(), value, value + map->value_size());
  return out;
}

TEST(ExtendedAgreement, NativeIsTheInterpreterOnRandomPrograms) {
#if !defined(__x86_64__) && !defined(__aarch64__)
  GTEST_SKIP() << "no machine code for this processor";
#endif
  const int rounds = tests::rounds(12000);
  const char* seed = std::getenv("WEIR_SEED");
  tests::ExtendedProgramMaker maker(seed != nullptr ? std::stoull(seed) : 41);
  int ended = 0;
  int compared = 0;
  for (int round = 0; round < rounds; ++round) {
    const ebpf::Program program = maker.next();
    const auto checked = ebpf::check(program);
    if (!checked) continue;
    if (tests::keeps_addresses(program)) continue;
    const auto base = static_cast<std::uint64_t>(round) * 77;
    const Ran expected = run_once(*checked, ExtendedKind::kInterpreter, false, base);
    const Ran native = run_once(*checked, ExtendedKind::kNative, round % 2 == 1, base);
    // Machine code counts where control goes back: where the budget ends is another place, if it ends at all.
    if (expected.outcome.fault == Fault::kBudget || native.outcome.fault == Fault::kBudget) continue;
    const std::string text = write(program, ebpf::Format::kListing);
    ASSERT_EQ(native.outcome.fault, expected.outcome.fault)
        << describe(native.outcome).message << describe(expected.outcome).message << "\n"
        << text;
    if (!expected.outcome) {
      ASSERT_EQ(native.outcome.instruction, expected.outcome.instruction) << text;
    }
    ++compared;
    ASSERT_EQ(native.outcome.value, expected.outcome.value) << text;
    ASSERT_EQ(native.memory, expected.memory) << text;
    ASSERT_EQ(native.map, expected.map) << text;
    ended += expected.outcome.fault == Fault::kNone ? 1 : 0;
  }
  EXPECT_GT(compared, rounds / 10);
  EXPECT_GT(ended, rounds / 20);
}

TEST(ExtendedAgreement, FunctionsAreCalledBackByBoth) {
#if !defined(__x86_64__) && !defined(__aarch64__)
  GTEST_SKIP() << "no machine code for this processor";
#endif
  const int rounds = tests::rounds(1500);
  tests::CallbackPrograms maker(7);
  int ended = 0;
  int faults = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string text = maker.next();
    const auto program = ebpf::assemble(text);
    ASSERT_TRUE(program) << program.error().message << "\n" << text;
    const auto checked = ebpf::check(*program);
    ASSERT_TRUE(checked) << checked.error().message << "\n" << text;
    const auto base = static_cast<std::uint64_t>(round) * 77;
    constexpr std::uint64_t kBudget = 1'000'000;
    const Ran expected = run_once(*checked, ExtendedKind::kInterpreter, false, base, kBudget);
    const Ran native = run_once(*checked, ExtendedKind::kNative, round % 2 == 1, base, kBudget);
    if (expected.outcome.fault == Fault::kBudget || native.outcome.fault == Fault::kBudget) continue;
    ASSERT_EQ(native.outcome.fault, expected.outcome.fault)
        << describe(native.outcome).message << describe(expected.outcome).message << "\n"
        << text;
    if (!expected.outcome) {
      ASSERT_EQ(native.outcome.instruction, expected.outcome.instruction) << text;
      ++faults;
      continue;
    }
    ++ended;
    ASSERT_EQ(native.outcome.value, expected.outcome.value) << text;
    ASSERT_EQ(native.map, expected.map) << text;
  }
  EXPECT_GT(ended, rounds / 2);
  EXPECT_GT(faults, rounds / 50);
}

}  // namespace
}  // namespace weir::engine
