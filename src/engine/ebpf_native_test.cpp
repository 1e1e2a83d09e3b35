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

}  // namespace
}  // namespace weir::engine
