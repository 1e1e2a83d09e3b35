// Plans: shared values, guards that are dropped, runs of tests that become sets.
#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

#include "engine/plan_builder.h"
#include "engine/plan_passes.h"
#include "engine/set_table.h"

namespace weir::engine {
namespace {

Plan plan_from(std::string_view assembly) {
  const auto program = cbpf::assemble(assembly);
  EXPECT_TRUE(program);
  return plan_of(*program);
}

std::size_t count_kind(const Plan& plan, flow::ExitKind kind) {
  std::size_t count = 0;
  for (const PlanBlock& block : plan.blocks) count += block.kind == kind;
  return count;
}

TEST(Plan, TheSameLoadIsOneNode) {
  const Plan plan = plan_from(R"(
    ldh [12]
    jeq #0x800, a, b
 a: ldh [12]
    ret a
 b: ldh [12]
    ret a
)");
  std::size_t loads = 0;
  for (const Node& node : plan.nodes) loads += node.op == flow::Op::kLoad;
  EXPECT_EQ(loads, 1u);
}

TEST(Plan, WhatIsKnownIsFolded) {
  const Plan plan = plan_from("ldi #6\nadd #1\nmul #4\njeq #28, y, n\ny: ret #5\nn: ret #0\n");
  ASSERT_EQ(plan.blocks.size(), 1u);
  EXPECT_EQ(plan[plan.blocks[0].lhs].k, 5u);
}

TEST(Plan, AnImpossibleLoadEndsTheProgram) {
  const Plan plan = plan_from("ld [0x7fffffff]\nret #5\n");
  ASSERT_EQ(plan.blocks.size(), 1u);
  EXPECT_EQ(plan[plan.blocks[0].lhs].k, 0u);
  EXPECT_TRUE(plan.blocks[0].guards.empty());
}

TEST(Plan, PathsThatDifferMeetInAPhi) {
  const Plan plan = plan_from("ldb [0]\njeq #1, y, n\ny: ldi #7\nja e\nn: ldi #9\ne: add #1\nret a\n");
  EXPECT_EQ(plan.phi_count, 1u);
}

TEST(PlanGuards, TheLongestOfABlockStaysAndCoversLaterOnes) {
  Plan plan = plan_from("ldb [3]\nldh [12]\nldb [5]\njeq #1, y, n\ny: ldb [13]\nret a\nn: ldb [14]\nret a\n");
  drop_implied_guards(plan, 0);
  std::vector<std::uint64_t> extents;
  for (const PlanBlock& block : plan.blocks)
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g)
      extents.push_back(constant_extent(plan[plan.guards[g]]));
  EXPECT_EQ(extents, (std::vector<std::uint64_t>{14, 15}));
}

TEST(PlanGuards, NoneAreLeftForPacketsOfTheCommonLength) {
  Plan plan = plan_from("ldh [12]\njeq #0x800, y, n\ny: ldb [23]\nret a\nn: ret #0\n");
  EXPECT_EQ(common_length(plan), 24u);
  drop_implied_guards(plan, 24);
  EXPECT_TRUE(plan.guards.empty());
}

TEST(PlanSets, AChainOfComparisonsIsOneSet) {
  Plan plan = plan_from("ld [26]\njeq #1, y\njeq #5, y\njeq #9, y, n\nn: ret #0\ny: ret #1\n");
  drop_implied_guards(plan, 0);
  find_sets(plan);
  EXPECT_EQ(count_kind(plan, flow::ExitKind::kSet), 1u);
  EXPECT_EQ(count_kind(plan, flow::ExitKind::kTest), 0u);
  ASSERT_EQ(plan.sets.size(), 1u);
  EXPECT_EQ(plan.sets[0], (std::vector<flow::Range>{{1, 1}, {5, 5}, {9, 9}}));
}

TEST(PlanSets, ChainsOverTwoValuesAreSortedApart) {
  const char* const text =
      "ld [26]\njeq #1, y\nld [30]\njeq #1, y\nld [26]\njeq #5, y\nld [30]\njeq #5, y, n\nn: ret #0\ny: ret #1\n";
  Plan plan = plan_from(text);
  drop_implied_guards(plan, 34);
  find_sets(plan);
  EXPECT_EQ(count_kind(plan, flow::ExitKind::kSet), 2u);
  EXPECT_EQ(count_kind(plan, flow::ExitKind::kTest), 0u);
  // Where a guard stands between, the order counts, and nothing is moved over it.
  Plan guarded = plan_from(text);
  drop_implied_guards(guarded, 0);
  find_sets(guarded);
  EXPECT_GT(count_kind(guarded, flow::ExitKind::kTest), 0u);
}

TEST(PlanSets, ASearchTreeIsASetAgain) {
  Plan plan = plan_from(R"(
    ld [26]
    jge #100, right, left
left: jeq #3, y, l2
  l2: jeq #7, y, n
right: jge #200, far, r2
  r2: jgt #150, n, y
 far: jeq #300, y, n
   n: ret #0
   y: ret #1
)");
  drop_implied_guards(plan, 0);
  find_sets(plan);
  ASSERT_EQ(count_kind(plan, flow::ExitKind::kSet), 1u);
  EXPECT_EQ(count_kind(plan, flow::ExitKind::kTest), 0u);
  const PlanBlock& block = plan.blocks[0];
  const bool yes = plan[plan.blocks[block.if_true.target].lhs].k == 1;
  const SetTable table = make_set_table(plan.sets[block.set]);
  for (const std::uint32_t v : {0u, 3u, 5u, 7u, 99u, 100u, 125u, 150u, 151u, 200u, 300u, 0xffffffffu}) {
    const bool member = v == 3 || v == 7 || (v >= 100 && v <= 150) || v == 300;
    EXPECT_EQ(table.contains(v) == yes, member) << v;
  }
}

}  // namespace
}  // namespace weir::engine
