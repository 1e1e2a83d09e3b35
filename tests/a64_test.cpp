// AArch64 code against the reference, run by qemu-user: random programs, and programs as compilers make them.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "a64/emulated_runner.h"
#include "engine/plan_builder.h"
#include "engine/scalar_a64.h"
#include "engines.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"
#include "shared_data.h"

#ifndef WEIR_A64_RUNNER
#define WEIR_A64_RUNNER ""
#define WEIR_A64_EMULATOR ""
#endif

namespace weir {
namespace {

// What the runner reads, and what it must answer.
class Session {
 public:
  // Says whether the program can be made into AArch64 code.
  bool add(const cbpf::Checked& program, const std::vector<packet::Packet>& packets) {
    const auto code = engine::assemble_a64(engine::plan_of(program.program()));
    if (!code) {
      EXPECT_EQ(code.error().code, ErrorCode::kUnsupported);
      return false;
    }
    runner_.number(static_cast<std::uint32_t>(code->size()));
    runner_.append(code->data(), code->size());
    runner_.number(static_cast<std::uint32_t>(packets.size()));
    for (const packet::Packet& packet : packets) {
      static constexpr packet::Metadata kNone{};
      runner_.number(packet.length);
      runner_.number(packet.wire_length);
      runner_.number(packet.metadata != nullptr ? 1 : 0);
      runner_.append(packet.metadata != nullptr ? packet.metadata : &kNone, sizeof kNone);
      runner_.append(packet.data, packet.length);
      expected_.push_back({reference::run(program.program(), packet).verdict, texts_.size()});
    }
    texts_.push_back(cbpf::write(program.program(), cbpf::Format::kText));
    return true;
  }

  void run_and_compare() {
    std::ifstream out = runner_.run();
    for (const Expected& expected : expected_) {
      std::uint32_t verdict = 0;
      ASSERT_TRUE(out.read(reinterpret_cast<char*>(&verdict), sizeof verdict));
      ASSERT_EQ(verdict, expected.verdict) << texts_[expected.program];
    }
  }

 private:
  struct Expected {
    std::uint32_t verdict;
    std::size_t program;
  };
  tests::EmulatedRunner runner_{WEIR_A64_EMULATOR, WEIR_A64_RUNNER};
  std::vector<Expected> expected_;
  std::vector<std::string> texts_;
};

bool can_run() { return std::string(WEIR_A64_RUNNER) != ""; }

TEST(AArch64, AgreesWithTheReferenceOnRandomPrograms) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  tests::ProgramMaker maker(21);
  Session session;
  int programs = 0;
  for (int i = 0; i < tests::rounds(6000); ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program()) || tests::dissects(program->program())) continue;
    std::vector<std::vector<std::uint8_t>> bytes;
    const packet::Metadata metadata{.protocol = 7, .type = 1, .mark = maker.below(9), .vlan_present = 1};
    for (int p = 0; p < 6; ++p) {
      bytes.emplace_back(maker.below(72));
      for (std::uint8_t& byte : bytes.back())
        byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
    }
    std::vector<packet::Packet> packets;
    for (const auto& one : bytes) {
      packets.push_back(packet::make_packet(one));
      packets.back().wire_length += maker.below(3);
      if (maker.below(2) == 0) packets.back().metadata = &metadata;
    }
    programs += session.add(*program, packets);
  }
  EXPECT_GT(programs, tests::rounds(6000) / 6);
  session.run_and_compare();
}

TEST(AArch64, AgreesOnRealProgramsAndSteeredPackets) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  const auto path = tests::shared_folder() / "data/pcap-filter/accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  std::mt19937 random(5);
  Session session;
  for (const tests::Row& row : tests::read_table(path)) {
    const auto listing = cbpf::read(row.at("program"));
    if (!listing) continue;
    const auto program = cbpf::check(*listing, {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program()) || tests::dissects(program->program())) continue;
    reference::SteeredPackets steered =
        reference::steer(program->program().instructions(), random, {.length = 128, .rounds = 1, .turns = 6});
    std::vector<packet::Packet> packets;
    for (std::size_t i = 0; i < std::min<std::size_t>(steered.packets.size(), 24); ++i) {
      if (i % 3 == 0) steered.packets[i].resize(random() % 128);
      packets.push_back(packet::make_packet(steered.packets[i]));
    }
    session.add(*program, packets);
  }
  session.run_and_compare();
}

// Sets of every layout: single values near and far, ranges, and equal blocks.
TEST(AArch64, LooksUpSetsOfEveryLayout) {
  if (!can_run()) GTEST_SKIP() << "no aarch64-linux-gnu-g++ or no qemu-aarch64 when this was built";
  std::mt19937 random(9);
  Session session;
  for (const std::uint32_t spread : {30u, 60u, 4000u, 100000u, 0xffffffffu})
    for (const int count : {3, 5, 20, 90, 200}) {
      std::vector<cbpf::Instruction> code{cbpf::make(cbpf::Opcode::kLdWordAbsolute, 0)};
      std::vector<std::uint32_t> values;
      for (int i = 0; i < count; ++i) values.push_back(1000 + static_cast<std::uint32_t>(random()) % spread);
      for (int i = 0; i < count; ++i)
        code.push_back(cbpf::make_jump(cbpf::Opcode::kJeqK, values[static_cast<std::size_t>(i)],
                                       static_cast<std::uint8_t>(count - i), 0));
      code.push_back(cbpf::make(cbpf::Opcode::kRetK, 0));
      code.push_back(cbpf::make(cbpf::Opcode::kRetK, 9));
      const auto program = cbpf::check(cbpf::Program(code), {.target = cbpf::Target::kUser});
      ASSERT_TRUE(program);
      std::vector<std::vector<std::uint8_t>> bytes;
      for (int p = 0; p < 24; ++p) {
        const std::uint32_t v = p % 2 == 0 ? values[random() % values.size()]
                                           : values[random() % values.size()] + static_cast<std::uint32_t>(p) - 12;
        bytes.push_back({static_cast<std::uint8_t>(v >> 24), static_cast<std::uint8_t>(v >> 16),
                         static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)});
      }
      std::vector<packet::Packet> packets;
      for (const auto& one : bytes) packets.push_back(packet::make_packet(one));
      EXPECT_TRUE(session.add(*program, packets));
    }
  session.run_and_compare();
}

}  // namespace
}  // namespace weir
