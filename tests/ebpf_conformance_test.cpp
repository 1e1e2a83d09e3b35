// The public bpf_conformance suite: our assembler makes its programs, our engines run them.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>

#include "conformance/helpers.h"
#include "shared_data.h"

namespace weir {
namespace {

struct Case {
  std::string assembly, memory, result, raw;
};

Case read_case(const std::filesystem::path& path) {
  std::ifstream file(path);
  Case out;
  std::string* section = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.substr(0, 3) == "-- ") {
      section = line == "-- asm"      ? &out.assembly
                : line == "-- mem"    ? &out.memory
                : line == "-- result" ? &out.result
                : line == "-- raw"    ? &out.raw
                                      : nullptr;
      continue;
    }
    if (section == &out.memory || section == &out.result) line = line.substr(0, line.find('#'));
    if (section != nullptr) *section += line + "\n";
  }
  return out;
}

void run_all(engine::ExtendedKind kind) {
  const std::filesystem::path folder = tests::shared_folder() / "data" / "bpf_conformance";
  WEIR_REQUIRE_SHARED(folder);
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".data") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const Case test = read_case(entry.path());
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
