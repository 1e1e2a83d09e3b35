// The running kernel against the naive reference, the checker and the engine: random programs, random packets, and
// the answers that a kernel gave before. Needs no privilege.
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>
#include <weir/kernel/extended_filter.h>
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

// Bytes of a packet that an extended program lets through; -1 when it drops it.
class ExtendedSocket {
 public:
  static Result<ExtendedSocket> make(const cbpf::Checked& program) {
    ExtendedSocket made;
    WEIR_TRY(const kernel::ExtendedFilter filter, kernel::ExtendedFilter::load(program));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0)
      return fail(system_failure("socketpair", errno));
    made.from_ = FileDescriptor(ends[0]);
    made.to_ = FileDescriptor(ends[1]);
    made.map_entries = filter.map_entries();
    WEIR_CHECK(kernel::attach_extended(made.to_.get(), filter.descriptor()));
    return made;
  }
  std::int64_t pass(const std::vector<std::uint8_t>& packet) const {
    if (::send(from_.get(), packet.data(), packet.size(), 0) < 0) return -2;
    std::uint8_t byte;
    return ::recv(to_.get(), &byte, 1, MSG_DONTWAIT | MSG_TRUNC);
  }
  std::size_t map_entries = 0;

 private:
  FileDescriptor from_, to_;
};

std::int64_t expected(const cbpf::Checked& program, const std::vector<std::uint8_t>& packet) {
  const std::uint32_t verdict = reference::run(program.program(), packet::make_packet(packet)).verdict;
  return verdict == 0 ? -1 : static_cast<std::int64_t>(std::min<std::size_t>(verdict, packet.size()));
}

bool not_permitted(const Error& error) { return error.system_error == EPERM || error.system_error == EACCES; }

TEST(ExtendedFilter, RandomProgramsKeepTheirVerdicts) {
  tests::ProgramMaker maker(5);
  int programs = 0;
  const int wanted = tests::rounds(1500);
  while (programs < wanted) {
    const auto checked = cbpf::check(maker.next());
    if (!checked || !kernel::VerdictRunner::create(*checked)) continue;
    const auto socket = ExtendedSocket::make(*checked);
    if (!socket && socket.error().code == ErrorCode::kUnsupported) continue;
    if (!socket && not_permitted(socket.error())) GTEST_SKIP() << socket.error().message;
    ASSERT_TRUE(socket) << socket.error().message << "\n" << cbpf::write(checked->program(), cbpf::Format::kAssembly);
    ++programs;
    for (int p = 0; p < 4; ++p) {
      const std::vector<std::uint8_t> packet = random_packet(maker, 72);
      if (packet.empty()) continue;
      ASSERT_EQ(socket->pass(packet), expected(*checked, packet))
          << cbpf::write(checked->program(), cbpf::Format::kAssembly) << "length " << packet.size();
    }
  }
}

// A load, and a long chain or tree of comparisons with several ends.
cbpf::Program long_run(tests::ProgramMaker& maker, std::uint32_t tests) {
  using cbpf::Opcode;
  std::vector<cbpf::Instruction> code = {cbpf::make(Opcode::kLdxImmediate, maker.below(9)),
                                         cbpf::make(Opcode::kLdByteAbsolute, 0)};
  const std::uint32_t wide = maker.below(2) == 0 ? 256 : 40;
  for (std::uint32_t i = 0; i < tests; ++i) {
    const std::uint32_t kind = maker.below(300);
    const Opcode opcode = kind == 0 ? Opcode::kJgtK : kind == 1 ? Opcode::kJgeK : Opcode::kJeqK;
    const std::uint32_t constant = kind < 2 ? 200 + maker.below(100) : maker.below(wide);
    // True leaves for one of three ends behind the run, by a jump in reach, or for a copy of one; false goes on.
    code.push_back(cbpf::make_jump(opcode, constant, 0, 1));
    const std::uint32_t end = maker.below(12);
    if (end < 3) code.push_back(cbpf::make(Opcode::kRetK, end));
    else code.push_back(cbpf::make(Opcode::kJa, 2 * (tests - i - 1) + 1 + end % 3));
  }
  code.push_back(cbpf::make(Opcode::kRetK, 1));
  code.push_back(cbpf::make(Opcode::kRetK, 0));
  code.push_back(cbpf::make(Opcode::kRetK, 2));
  // A and X are what they were before the run.
  code.push_back(cbpf::make(Opcode::kAddX));
  code.push_back(cbpf::make(Opcode::kRetA));
  return cbpf::Program(std::move(code));
}

TEST(ExtendedFilter, LongRunsBecomeLookupsWithTheSameVerdicts) {
  tests::ProgramMaker maker(17);
  std::size_t lookups = 0;
  for (int round = 0; round < 60; ++round) {
    const auto checked =
        cbpf::check(long_run(maker, round < 58 ? 1 + maker.below(90) : 3000), {.target = cbpf::Target::kUser});
    ASSERT_TRUE(checked) << checked.error().message;
    const auto socket = ExtendedSocket::make(*checked);
    if (!socket && not_permitted(socket.error())) GTEST_SKIP() << socket.error().message;
    // A run that stays comparisons may be more than net.core.optmem_max takes.
    if (!socket && socket.error().system_error == ENOMEM) continue;
    ASSERT_TRUE(socket) << socket.error().message;
    lookups += socket->map_entries != 0;
    for (int byte = 0; byte < 256; ++byte) {
      std::vector<std::uint8_t> packet(300, 1);
      packet[0] = static_cast<std::uint8_t>(byte);
      ASSERT_EQ(socket->pass(packet), expected(*checked, packet)) << "byte " << byte << " round " << round;
    }
    const std::vector<std::uint8_t> one(1, 7);
    ASSERT_EQ(socket->pass(one), expected(*checked, one));
  }
  EXPECT_GT(lookups, 20u);
}

}  // namespace
}  // namespace weir
