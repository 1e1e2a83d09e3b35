// The optimiser: every pass alone, all together, and the code made from the result give the verdicts of what they were
// given, packet by packet. Graphs come from random expressions and from random classic programs; packets are steered
// down every path and cut short.
#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>
#include <weir/flow/emit.h>
#include <weir/flow/lift.h>
#include <weir/flow/optimise.h>

#include "flow_cases.h"
#include "libpcap_names.h"
#include "reference/graph_evaluator.h"
#include "reference/random_expression.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"

namespace weir {
namespace {

// What a pass is given: gather and thread need nothing, but find more after each other.
std::vector<flow::OptimiseOptions> pass_lists() {
  std::vector<flow::OptimiseOptions> out;
  for (const flow::PassInfo& pass : flow::passes()) out.push_back({.only = {std::string(pass.name)}});
  for (const flow::PassInfo& pass : flow::passes())
    out.push_back({.only = {"gather", "thread", std::string(pass.name)}});
  out.push_back({});
  return out;
}

// The graph after some passes, and its code.
struct Optimised {
  flow::Graph graph;
  cbpf::Program program;
  std::string passes;
};

std::vector<Optimised> optimise_each_way(const flow::Graph& graph, const std::string& what) {
  std::vector<Optimised> out;
  for (const flow::OptimiseOptions& options : pass_lists()) {
    Optimised one{graph, {}, {}};
    for (const std::string& pass : options.only) one.passes += pass + " ";
    if (!flow::optimise(one.graph, options)) return {};
    const Status valid = flow::validate(one.graph);
    EXPECT_TRUE(valid) << valid.error().message << " after " << one.passes << "of " << what << "\n"
                       << flow::write(graph) << "\n"
                       << flow::write(one.graph);
    if (options.only.empty()) {  // what comes out can go in again
      Optimised twice{one.graph, {}, "all passes, twice "};
      if (const auto program = flow::optimise_and_emit(one.graph)) {
        EXPECT_TRUE(flow::optimise(twice.graph) && flow::validate(twice.graph)) << what;
        twice.program = *program;
        out.push_back(std::move(twice));
      }
      if (const auto program = flow::emit(one.graph)) out.push_back({one.graph, *program, "all passes, its graph "});
    }
    const auto program = flow::optimise_and_emit(graph, options);
    if (!program) continue;
    const auto checked = cbpf::check(*program, {.target = cbpf::Target::kUser});
    EXPECT_TRUE(checked) << checked.error().message << " after " << one.passes << "of " << what << "\n"
                         << cbpf::write(*program, cbpf::Format::kText);
    if (testing::Test::HasFailure()) return {};
    one.program = *program;
    out.push_back(std::move(one));
  }
  return out;
}

bool same_verdicts(std::uint32_t expected, const std::vector<Optimised>& all, const packet::Packet& packet,
                   const flow::Graph& graph, const std::string& what) {
  for (const Optimised& one : all) {
    EXPECT_EQ(reference::evaluate(one.graph, packet), expected)
        << "graph after " << one.passes << "of " << what << ", " << packet.length << " bytes\n"
        << flow::write(graph) << "\n"
        << flow::write(one.graph);
    EXPECT_EQ(reference::run(one.program, packet).verdict, expected)
        << "code after " << one.passes << "of " << what << ", " << packet.length << " bytes\n"
        << flow::write(graph) << "\n"
        << flow::write(one.graph) << "\n"
        << cbpf::write(one.program, cbpf::Format::kText);
    if (testing::Test::HasFailure()) return false;
  }
  return true;
}

// A block that rejects and has a parameter all the same: ways to it that are found to be sure have something to give.
TEST(Optimise, AParameterThatNothingLooksAt) {
  const auto text = cbpf::read(
      "ld [35]\n"
      "jge #0x85c5, other, distant\n"
      "distant: ldx #0x7fffffff\n"
      "other: sub #2147483647\n"
      "jgt #0xb4d79a2, taken, summed\n"
      "summed: add x\n"
      "ja final\n"
      "taken: ld [5]\n"
      "final: ldxb 4*([-2111910429]&0xf)\n"
      "ret a\n");
  ASSERT_TRUE(text) << text.error().message;
  const auto program = cbpf::check(*text, {.target = cbpf::Target::kUser});
  ASSERT_TRUE(program) << program.error().message;
  flow::Graph graph = flow::lift(*program);
  for (int times = 0; times < 3; ++times) {
    ASSERT_TRUE(flow::optimise(graph));
    const Status valid = flow::validate(graph);
    ASSERT_TRUE(valid) << valid.error().message << "\n" << flow::write(graph);
  }
}

TEST(Optimise, EveryPassKeepsTheVerdictsOfRandomExpressions) {
  std::mt19937 random(17);
  const int rounds = tests::rounds(500);
  int compared = 0;
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    const auto type = tests::some_link_type(random);
    const std::string expression = reference::random_expression(random);
    tests::LibpcapTestNames resolver;
    const auto platform = random() % 4 == 0 ? filter::Platform::kLinux : filter::Platform::kPortable;
    const auto compiled = filter::compile_to_graph(expression, {.bind = {.link_type = type,
                                                                         .platform = platform,
                                                                         .netmask = 0xffffff00,
                                                                         .allow_no_match = true,
                                                                         .resolver = &resolver}});
    if (!compiled) continue;
    const std::vector<Optimised> all = optimise_each_way(compiled->graph, expression);
    if (all.empty()) continue;
    ++compared;
    const auto plain = flow::emit(compiled->graph);
    for (const cbpf::Program* program : {plain ? &*plain : &all[0].program, &all.back().program})
      tests::for_steered_packets(*program, random, [&](const packet::Packet& packet) {
        return same_verdicts(reference::evaluate(compiled->graph, packet), all, packet, compiled->graph, expression);
      });
  }
  EXPECT_GT(compared, rounds / 4);
}

TEST(Optimise, EveryPassKeepsTheVerdictsOfRandomPrograms) {
  tests::ProgramMaker maker(23);
  std::mt19937 random(23);
  const int rounds = tests::rounds(12000);
  int compared = 0;
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::is_unrepeatable(program->program())) continue;
    const std::string text = cbpf::write(program->program(), cbpf::Format::kText);
    const flow::Graph graph = flow::lift(*program);
    const std::vector<Optimised> all = optimise_each_way(graph, text);
    if (all.empty()) continue;
    ++compared;
    EXPECT_LE(flow::optimise(*program).size(), program->program().size());
    for (int p = 0; p < 4; ++p) {
      const tests::RandomPacket packet(maker);
      const std::uint32_t expected = reference::run(program->program(), packet.view()).verdict;
      if (!same_verdicts(expected, all, packet.view(), graph, text)) break;
    }
    if (i % 8 != 0) continue;
    tests::for_steered_packets(program->program(), random, [&](const packet::Packet& packet) {
      return same_verdicts(reference::run(program->program(), packet).verdict, all, packet, graph, text);
    });
  }
  EXPECT_GT(compared, rounds / 8);
}

}  // namespace
}  // namespace weir
