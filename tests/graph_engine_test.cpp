// Machine code from flow graphs: lifted programs, sets, and parameters where paths join.
#include <weir/flow/emit.h>
#include <weir/flow/lift.h>
#include <weir/flow/optimise.h>

#include "engines.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"

namespace weir {
namespace {

using flow::Op;

std::vector<std::unique_ptr<engine::Engine>> all_engines(const flow::Graph& graph) {
  std::vector<std::unique_ptr<engine::Engine>> engines;
  for (const engine::KindInfo& info : engine::kinds()) {
    auto engine = engine::load(graph, {.kind = info.kind});
    // The interpreter runs classic code, for which an optimised graph may have too many values at once.
    if (!engine && (engine.error().code == ErrorCode::kUnsupported || engine.error().code == ErrorCode::kLimit))
      continue;
    EXPECT_TRUE(engine) << info.name << ": " << engine.error().message;
    if (engine) engines.push_back(std::move(*engine));
  }
  return engines;
}

TEST(GraphEngine, LiftedProgramsMeanTheSame) {
  tests::ProgramMaker maker(31);
  int programs = 0;
  int optimised = 0;
  for (int i = 0; i < tests::rounds(3000); ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program()) || tests::dissects(program->program())) continue;
    ++programs;
    flow::Graph graph = flow::lift(*program);
    if (i % 2 == 0 && flow::optimise(graph)) ++optimised;
    std::vector<std::vector<std::uint8_t>> bytes;
    std::vector<packet::Packet> packets;
    for (int p = 0; p < 11; ++p) {
      bytes.emplace_back(maker.below(72));
      for (std::uint8_t& byte : bytes.back())
        byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
    }
    for (const auto& one : bytes) packets.push_back(packet::make_packet(one));
    for (const auto& engine : all_engines(graph)) {
      std::vector<std::uint32_t> verdicts(packets.size());
      engine->run(packets, verdicts);
      for (std::size_t p = 0; p < packets.size(); ++p)
        ASSERT_EQ(verdicts[p], reference::run(program->program(), packets[p]).verdict)
            << engine->name() << "\n"
            << cbpf::write(program->program(), cbpf::Format::kText);
    }
  }
  EXPECT_GT(programs, tests::rounds(3000) / 6);
  EXPECT_GT(optimised, programs / 3);
}

// Its first test always holds and leads to a division by zero, so it rejects all. A load that no packet reaches gives
// short packets a body of their own, which is empty: it must still end.
TEST(GraphEngine, AProgramThatTurnsOutToRejectAll) {
  const auto text = cbpf::read(
      "ld #pktlen\n"
      "jge #0x0, reject, other\n"
      "other: ldxb 4*([38]&0xf)\n"
      "ldh [x + 1]\n"
      "ret a\n"
      "reject: jge x, divide, end\n"
      "divide: mod x\n"
      "end: ret a\n");
  ASSERT_TRUE(text) << text.error().message;
  const auto program = cbpf::check(*text, {.target = cbpf::Target::kUser});
  ASSERT_TRUE(program) << program.error().message;
  const std::vector<std::uint8_t> bytes(64, 1);
  for (const auto& engine : all_engines(flow::lift(*program)))
    for (std::uint32_t size = 0; size <= bytes.size(); ++size) {
      const packet::Packet packet{bytes.data(), size, size, nullptr};
      EXPECT_EQ(engine->run(packet), reference::run(program->program(), packet).verdict) << engine->name() << size;
    }
}

TEST(GraphEngine, WhatIsNoGraphIsRefused) {
  const auto verdict = [](flow::Graph& graph) -> flow::Block& {
    graph.entry = graph.add_block();
    flow::Block& block = graph.blocks[graph.entry];
    block.exit.lhs = graph.append_constant(graph.entry, 1);
    return block;
  };
  flow::Graph fine;
  verdict(fine);
  EXPECT_TRUE(flow::validate(fine));
  flow::Graph stray;
  verdict(stray).exit.rhs = 0xfffffffe;  // which a verdict has no use for
  EXPECT_FALSE(flow::validate(stray));
  flow::Graph unreached;
  verdict(unreached);
  const flow::BlockId other = unreached.add_block();
  unreached.blocks[other].exit = {.kind = flow::ExitKind::kTest, .lhs = 77, .rhs = 77};
  unreached.blocks[other].exit.if_true.target = unreached.blocks[other].exit.if_false.target = unreached.entry;
  EXPECT_FALSE(flow::validate(unreached));
  flow::Graph extension;
  verdict(extension);
  extension.append(extension.entry, {.op = Op::kExtension, .k = 15});
  EXPECT_FALSE(flow::validate(extension));
}

// packet[0] in the set ? 7 : 0, for sets of every layout.
TEST(GraphEngine, SetsAreLookedUp) {
  std::mt19937 random(4);
  const std::vector<std::vector<flow::Range>> sets = {
      {{5, 9}},
      {{0, 0xffffffff}},
      {{1, 1}, {3, 3}, {60, 62}},
      {{1, 1}, {300, 400}, {900, 1000}},
      {{0, 0}, {70, 80}, {1000, 2000}, {5000, 5000}, {60000, 60001}},
      {{0, 10}, {1 << 20, (1 << 20) + 7}, {1 << 24, 1 << 25}, {1u << 31, (1u << 31) + 100}, {0xfffffff0, 0xffffffff}}};
  for (const auto& set : sets) {
    flow::Graph graph;
    const flow::BlockId entry = graph.add_block();
    const flow::BlockId yes = graph.add_block();
    const flow::BlockId no = graph.add_block();
    graph.entry = entry;
    const flow::ValueId load = graph.append(entry, {.op = Op::kLoad, .size = 4, .k = 0});
    graph.blocks[yes].exit.lhs = graph.append_constant(yes, 7);
    graph.blocks[no].exit.lhs = graph.append_constant(no, 0);
    flow::Exit& exit = graph.blocks[entry].exit;
    exit.kind = flow::ExitKind::kSet;
    exit.lhs = load;
    exit.set = set;
    exit.if_true.target = yes;
    exit.if_false.target = no;
    ASSERT_TRUE(flow::validate(graph));
    std::vector<std::uint32_t> values;
    for (const flow::Range& range : set)
      for (const std::uint32_t near : {range.first - 1, range.first, range.last, range.last + 1})
        values.push_back(near);
    for (int i = 0; i < 50; ++i) values.push_back(static_cast<std::uint32_t>(random()));
    std::vector<std::uint8_t> bytes;
    std::vector<packet::Packet> packets;
    for (const std::uint32_t v : values)
      for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(v >> shift));
    for (std::size_t i = 0; i < values.size(); ++i) packets.push_back({&bytes[4 * i], 4, 4, nullptr});
    for (const auto& engine : all_engines(graph)) {
      std::vector<std::uint32_t> verdicts(packets.size());
      engine->run(packets, verdicts);
      for (std::size_t i = 0; i < values.size(); ++i) {
        bool inside = false;
        for (const flow::Range& range : set) inside |= values[i] >= range.first && values[i] <= range.last;
        EXPECT_EQ(verdicts[i], inside ? 7u : 0u) << engine->name() << ", value " << values[i];
      }
    }
  }
}

}  // namespace
}  // namespace weir
