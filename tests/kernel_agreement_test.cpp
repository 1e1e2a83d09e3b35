// The running kernel against the naive reference, the checker and the engine: random programs, random packets, and
// the answers that a kernel gave before. Needs no privilege.
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>
#include <weir/kernel/socket_filter.h>
#include <weir/kernel/verdict.h>

#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"

namespace weir {
namespace {

std::vector<std::uint8_t> random_packet(tests::ProgramMaker& maker, std::uint32_t longest) {
  std::vector<std::uint8_t> bytes(maker.below(longest));
  for (std::uint8_t& byte : bytes)
    byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
  return bytes;
}

TEST(Kernel, VerdictsAgreeWithTheReferenceAndTheEngine) {
  tests::ProgramMaker maker(2026);
  int programs = 0;
  int runs = 0;
  const int wanted = tests::rounds(1500);
  while (programs < wanted) {
    const auto checked = cbpf::check(maker.next());
    if (!checked) continue;
    auto runner = kernel::VerdictRunner::create(*checked);
    if (!runner) {
      ASSERT_EQ(runner.error().code, ErrorCode::kUnsupported) << runner.error().message;
      continue;
    }
    ++programs;
    const auto engine = engine::load(*checked);
    ASSERT_TRUE(engine);
    for (int p = 0; p < 4; ++p) {
      const std::vector<std::uint8_t> bytes = random_packet(maker, 72);
      const packet::Packet packet = packet::make_packet(bytes);
      const auto verdict = runner->run(bytes);
      ASSERT_TRUE(verdict) << verdict.error().message;
      const reference::Outcome outcome = reference::run(checked->program(), packet);
      const std::string text = cbpf::write(checked->program(), cbpf::Format::kAssembly);
      ASSERT_EQ(verdict->value, outcome.verdict) << text << "length " << bytes.size();
      ASSERT_EQ(verdict->implicit, outcome.implicit) << text << "length " << bytes.size();
      ASSERT_EQ((*engine)->run(packet), verdict->value) << text << "length " << bytes.size();
      ++runs;
    }
  }
  std::printf("%d programs, %d runs in the kernel\n", programs, runs);
}

TEST(Kernel, TakesExactlyWhatTheCheckerTakes) {
  tests::ProgramMaker maker(99);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
  const FileDescriptor from(ends[0]);
  const FileDescriptor to(ends[1]);
  int taken = 0;
  const int wanted = tests::rounds(30000);
  for (int i = 0; i < wanted; ++i) {
    const cbpf::Program made = maker.next();
    std::vector<cbpf::Instruction> code(made.begin(), made.end());
    // A wild change: any code, any jump, any constant.
    cbpf::Instruction& hit = code[maker.below(static_cast<std::uint32_t>(code.size()))];
    switch (maker.below(6)) {
      case 0: hit.code = static_cast<std::uint16_t>(maker.below(256)); break;
      case 1: hit.k = maker.constant(); break;
      case 2: hit.jt = static_cast<std::uint8_t>(maker.below(40)); break;
      case 3: hit.k = cbpf::kExtensionBase + maker.below(80); break;
      default: break;
    }
    const cbpf::Program program(std::move(code));
    const bool ours = cbpf::check(program).has_value();
    const Status theirs = kernel::attach_unchecked(to.get(), program);
    ASSERT_EQ(ours, theirs.has_value()) << cbpf::write(program, cbpf::Format::kDecimal)
                                        << (theirs ? "" : theirs.error().message);
    taken += ours;
  }
  EXPECT_GT(taken, wanted / 20);
  EXPECT_LT(taken, wanted);
}

}  // namespace
}  // namespace weir
