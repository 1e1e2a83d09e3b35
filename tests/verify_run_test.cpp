// What verify accepts never trips the interpreter that checks every access: random programs, run over random packets
// and memory; the conformance suite; and the running kernel's verifier beside ours.
#include <linux/bpf.h>

#include <fstream>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/verify/verify.h>

#include "bpf_syscall.h"
#include "rounds.h"
#include "verified_programs.h"

namespace weir {
namespace {

// Runs a verified program as its premise says, over packets and memory of several sizes.
class Runner {
 public:
  explicit Runner(std::uint64_t seed) : random_(seed), buffer_(runtime::PacketBuffer::create(2048).value()) {}

  // The first outcome with a fault, or one without.
  engine::Outcome run(const ebpf::Verified& program, int times) {
    const auto engine =
        engine::load_extended(program.checked(), {.kind = engine::ExtendedKind::kInterpreter, .budget = 20'000'000});
    EXPECT_TRUE(engine) << engine.error().message;
    engine::Outcome outcome;
    for (int i = 0; engine && i < times && outcome; ++i) outcome = once(**engine, program.premise());
    outcome.program = nullptr;
    return outcome;
  }

 private:
  engine::Outcome once(const engine::ExtendedEngine& engine, const ebpf::Premise& premise) {
    runtime::Invocation run;
    run.random = random_();
    std::vector<std::uint8_t> bytes(size_of(premise));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    if (premise.type == ebpf::ProgramType::kUnspec) {
      const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
      run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
      run.regions = {{run.arguments[0], bytes.size(), premise.memory_writable}};
      run.loads = bytes;
    } else {
      buffer_.set(bytes, {.mark = static_cast<std::uint32_t>(random_())});
      run.packet = &buffer_;
      const bool xdp = premise.type == ebpf::ProgramType::kXdp;
      run.arguments[0] = xdp ? reinterpret_cast<std::uint64_t>(buffer_.xdp_context())
                             : reinterpret_cast<std::uint64_t>(buffer_.socket_context());
      run.regions = {{run.arguments[0], xdp ? sizeof(xdp_md) : sizeof(__sk_buff), !xdp}};
    }
    return engine.run(run);
  }
  std::size_t size_of(const ebpf::Premise& premise) {
    constexpr std::size_t kSizes[] = {0, 1, 2, 4, 8, 13, 14, 20, 34, 40, 64, 100, 1500};
    std::size_t size = kSizes[random_() % std::size(kSizes)];
    if (premise.type == ebpf::ProgramType::kUnspec)
      size = std::clamp<std::size_t>(size, premise.memory_least, premise.memory_most);
    return size;
  }
  std::mt19937_64 random_;
  runtime::PacketBuffer buffer_;
};

TEST(Verify, AcceptedProgramsNeverTripTheInterpreter) {
  const int rounds = tests::rounds(4000);
  const char* seed = std::getenv("WEIR_SEED");
  tests::VerifiedPrograms maker(seed != nullptr ? std::stoull(seed) : 1);
  Runner runner(2);
  int accepted = 0;
  std::map<std::string_view, int> refused;
  for (int i = 0; i < rounds; ++i) {
    const ebpf::Program program = maker.next();
    const verify::Report report = verify::examine(program, {.premise = {.type = program.type}, .budget = 100'000});
    if (!report.verified) {
      ++refused[verify::name_of(report.refusal->rule)];
      continue;
    }
    ++accepted;
    const engine::Outcome outcome = runner.run(*report.verified, 5);
    ASSERT_TRUE(outcome) << "program " << i << ": " << engine::describe(outcome).message << " at "
                         << outcome.instruction << "\n"
                         << write(program, ebpf::Format::kListing);
  }
  EXPECT_GT(accepted, rounds / 5);
  EXPECT_GT(refused.size(), 8u);
  if (std::getenv("WEIR_ROUNDS") != nullptr) {
    std::printf("%d programs, %d accepted\n", rounds, accepted);
    for (const auto& [rule, count] : refused) std::printf("  %-20s %d\n", std::string(rule).c_str(), count);
  }
}

}  // namespace
}  // namespace weir
