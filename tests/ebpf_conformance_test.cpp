// The public bpf_conformance suite: our assembler makes its programs, our engines run them.
#include <sstream>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>

#include "conformance/cases.h"

namespace weir {
namespace {

void run_all(engine::ExtendedKind kind) {
  WEIR_REQUIRE_SHARED(tests::conformance_folder());
  int count = 0;
  for (const tests::ConformanceCase& test : tests::conformance_cases()) {
    SCOPED_TRACE(test.name);
    Result<ebpf::Program> program = ebpf::assemble(test.assembly);
    ASSERT_TRUE(program) << render(program.error(), test.assembly);
    if (!test.raw.empty()) {  // 64-bit numbers, a slot each
      std::istringstream raw(test.raw);
      std::vector<std::uint8_t> bytes;
      for (std::string word; raw >> word;) {
        const std::uint64_t slot = std::stoull(word, nullptr, 0);
        for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(slot >> (8 * i)));
      }
      EXPECT_EQ(ebpf::to_bytes(*program), bytes);
    }
    for (const ebpf::Format format : {ebpf::Format::kKernel, ebpf::Format::kUbpf}) {
      const Result<ebpf::Program> back = ebpf::read(write(*program, format));
      ASSERT_TRUE(back) << write(*program, format);
      EXPECT_EQ(back->instructions, program->instructions);
    }
    Result<std::vector<std::uint8_t>> memory = tests::bytes_of_hex(test.memory);
    ASSERT_TRUE(memory) << test.memory;
    engine::ExtendedOptions options = tests::conformance_options();
    options.kind = kind;
    const Result<engine::Outcome> outcome = tests::run_conformance(*program, *memory, options);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->fault, engine::Fault::kNone) << engine::describe(*outcome).message;
    EXPECT_EQ(outcome->value, std::stoull(test.result, nullptr, 0)) << write(*program, ebpf::Format::kListing);
    ++count;
  }
  EXPECT_GE(count, 300);
}

TEST(Conformance, Interpreter) { run_all(engine::ExtendedKind::kInterpreter); }
#if defined(__x86_64__)
TEST(Conformance, Native) { run_all(engine::ExtendedKind::kNative); }
#endif

}  // namespace
}  // namespace weir
