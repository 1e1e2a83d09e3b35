// Lifting, validation and emission: what a graph means stays what the program meant. Random classic programs are lifted
// and emitted again; graphs of random expressions and of lifted programs are evaluated by their definition.
#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>
#include <weir/flow/emit.h>
#include <weir/flow/lift.h>

#include "flow_cases.h"
#include "libpcap_names.h"
#include "reference/graph_evaluator.h"
#include "reference/random_expression.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"

namespace weir {
namespace {

TEST(Lift, RandomProgramsKeepTheirVerdictsAsGraphsAndAsCode) {
  tests::ProgramMaker maker(11);
  int lifted = 0;
  const int rounds = tests::rounds(40000);
  for (int i = 0; i < rounds; ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::is_unrepeatable(program->program())) continue;
    ++lifted;
    const flow::Graph graph = flow::lift(*program);
    const Status valid = flow::validate(graph);
    ASSERT_TRUE(valid) << valid.error().message << "\n" << flow::write(graph);
    const auto emitted = flow::emit(graph);
    const bool checked = emitted && cbpf::check(*emitted, {.target = cbpf::Target::kUser});
    if (emitted) {
      ASSERT_TRUE(checked) << cbpf::write(*emitted, cbpf::Format::kText);
    }
    for (int p = 0; p < 6; ++p) {
      const tests::RandomPacket packet(maker);
      const std::uint32_t expected = reference::run(program->program(), packet.view()).verdict;
      ASSERT_EQ(reference::evaluate(graph, packet.view()), expected)
          << cbpf::write(program->program(), cbpf::Format::kText) << flow::write(graph);
      if (!emitted) continue;
      ASSERT_EQ(reference::run(*emitted, packet.view()).verdict, expected)
          << cbpf::write(program->program(), cbpf::Format::kText) << cbpf::write(*emitted, cbpf::Format::kText);
    }
  }
  EXPECT_GT(lifted, rounds / 5);
}

TEST(Emit, CodeOfRandomExpressionsMeansWhatTheirGraphMeans) {
  std::mt19937 random(5);
  const int rounds = tests::rounds(600);
  int compared = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto type = tests::some_link_type(random);
    const std::string expression = reference::random_expression(random);
    tests::LibpcapTestNames resolver;
    const auto compiled = filter::compile_to_graph(
        expression,
        {.bind = {.link_type = type, .netmask = 0xffffff00, .allow_no_match = true, .resolver = &resolver}});
    if (!compiled) continue;
    ASSERT_TRUE(flow::validate(compiled->graph)) << expression;
    const auto program = flow::emit(compiled->graph);
    ASSERT_TRUE(program) << expression;
    ++compared;
    tests::for_steered_packets(*program, random, [&](const packet::Packet& packet) {
      EXPECT_EQ(reference::run(*program, packet).verdict, reference::evaluate(compiled->graph, packet)) << expression;
      return !testing::Test::HasFailure();
    });
    if (HasFailure()) return;
  }
  EXPECT_GT(compared, rounds / 4);
}

}  // namespace
}  // namespace weir
