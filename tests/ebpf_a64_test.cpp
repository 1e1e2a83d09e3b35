// AArch64 code of extended programs, run by qemu-user: the conformance suite, and random programs beside the
// interpreter.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>

#include "a64/emulated_runner.h"
#include "callback_programs.h"
#include "conformance/cases.h"
#include "engine/ebpf_a64.h"
#include "random_extended.h"
#include "rounds.h"
#include "shared_data.h"

#ifndef WEIR_A64_EXTENDED_RUNNER
#define WEIR_A64_EXTENDED_RUNNER ""
#define WEIR_A64_EMULATOR ""
#endif

namespace weir {
namespace {

class Session {
 public:
  void add(const ebpf::Checked& checked, const std::vector<std::uint8_t>& memory, bool conformance, bool blind) {
    const ebpf::Program& program = checked.program();
    engine::ExtendedOptions options;
    if (conformance) options = tests::conformance_options();
    options.budget = 100000;
    options.blind_constants = blind;
    const auto code = engine::prepare(checked, options);
    ASSERT_TRUE(code) << code.error().message;
    const auto bytes = engine::assemble_extended_a64(**code, engine::find_facts(**code));
    ASSERT_TRUE(bytes) << bytes.error().message << write(program, ebpf::Format::kListing);
    runner_.number(conformance ? 1 : 0);
    runner_.number(program.size());
    runner_.append(program.instructions.data(), program.size() * sizeof(ebpf::Instruction));
    runner_.number(program.maps.size());
    for (const ebpf::MapDefinition& map : program.maps) {
      runner_.number(static_cast<std::uint32_t>(map.type));
      runner_.number(map.key_size);
      runner_.number(map.value_size);
      runner_.number(map.max_entries);
    }
    runner_.number(program.map_references.size());
    for (const ebpf::MapReference& reference : program.map_references) {
      runner_.number(reference.instruction);
      runner_.number(reference.map);
    }
    runner_.number(memory.size());
    runner_.append(memory.data(), memory.size());
    runner_.number(bytes->size());
    runner_.append(bytes->data(), bytes->size());
    texts_.push_back(write(program, ebpf::Format::kListing));
  }

  struct Answer {
    std::uint32_t fault, slot, native_fault, native_slot, equal_memory;
    std::uint64_t value, native_value;
  };
  // One answer a program; machine code and interpreter agree in each.
  std::vector<Answer> run() {
    std::ifstream out = runner_.run();
    std::vector<Answer> answers;
    for (const std::string& text : texts_) {
      Answer answer{};
      out.read(reinterpret_cast<char*>(&answer), 20);
      out.read(reinterpret_cast<char*>(&answer.value), 16);
      EXPECT_TRUE(out.good());
      if (!out.good()) break;
      answers.push_back(answer);
      const auto budget = static_cast<std::uint32_t>(engine::Fault::kBudget);
      if (answer.fault == budget || answer.native_fault == budget) continue;  // counted at other places
      EXPECT_EQ(answer.native_fault, answer.fault) << text;
      EXPECT_EQ(answer.native_value, answer.value) << text;
      EXPECT_EQ(answer.equal_memory, 1u) << text;
      if (answer.fault != 0) {
        EXPECT_EQ(answer.native_slot, answer.slot) << text;
      }
      if (testing::Test::HasFailure()) break;
    }
    return answers;
  }

 private:
  tests::EmulatedRunner runner_{WEIR_A64_EMULATOR, WEIR_A64_EXTENDED_RUNNER};
  std::vector<std::string> texts_;
};

bool can_run() { return std::string(WEIR_A64_EXTENDED_RUNNER) != ""; }

TEST(ExtendedAArch64, PassesTheConformanceSuite) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  WEIR_REQUIRE_SHARED(tests::conformance_folder());
  Session session;
  std::vector<tests::ConformanceCase> cases = tests::conformance_cases();
  ASSERT_GE(cases.size(), 300u);
  for (const bool blind : {false, true})
    for (const tests::ConformanceCase& test : cases) {
      SCOPED_TRACE(test.name);
      const auto program = ebpf::assemble(test.assembly);
      ASSERT_TRUE(program);
      const auto checked = ebpf::check(*program, {.register_calls = true});
      ASSERT_TRUE(checked);
      session.add(*checked, tests::bytes_of_hex(test.memory).value(), true, blind);
    }
  const auto answers = session.run();
  ASSERT_EQ(answers.size(), 2 * cases.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const tests::ConformanceCase& test = cases[i % cases.size()];
    EXPECT_EQ(answers[i].native_fault, 0u) << test.name;
    EXPECT_EQ(answers[i].native_value, std::stoull(test.result, nullptr, 0)) << test.name;
  }
}

TEST(ExtendedAArch64, IsTheInterpreterOnRandomPrograms) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  tests::ExtendedProgramMaker maker(43);
  Session session;
  std::size_t added = 0;
  for (int round = 0; round < tests::rounds(6000); ++round) {
    const ebpf::Program program = round % 3 == 0 ? maker.next_for_kernel(false) : maker.next();
    const auto checked = ebpf::check(program);
    if (!checked || tests::keeps_addresses(program)) continue;
    std::vector<std::uint8_t> memory(64);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::uint8_t>(round >> (i % 7) ^ i);
    session.add(*checked, memory, false, round % 2 == 1);
    ++added;
  }
  const auto answers = session.run();
  EXPECT_EQ(answers.size(), added);
  std::size_t ended = 0;
  for (const auto& answer : answers) ended += answer.native_fault == 0 ? 1 : 0;
  EXPECT_GT(ended, added / 8);
}

TEST(ExtendedAArch64, CallsFunctionsBack) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  tests::CallbackPrograms maker(9);
  Session session;
  const auto rounds = static_cast<std::size_t>(tests::rounds(300));
  for (std::size_t round = 0; round < rounds; ++round) {
    const auto checked = ebpf::check(ebpf::assemble(maker.next()).value());
    ASSERT_TRUE(checked);
    session.add(*checked, std::vector<std::uint8_t>(64, static_cast<std::uint8_t>(round)), false, round % 2 == 1);
  }
  const auto answers = session.run();
  EXPECT_EQ(answers.size(), rounds);
  std::size_t ended = 0;
  for (const auto& answer : answers) ended += answer.native_fault == 0 ? 1 : 0;
  EXPECT_GT(ended, rounds / 3);
}

}  // namespace
}  // namespace weir
