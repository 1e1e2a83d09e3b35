// Tidying a plan. Exports tidy.
#include "engine/plan.h"

#include "base/scratch.h"

namespace weir::engine {
namespace {

using flow::ExitKind;

// Where an edge really leads: through blocks that only jump. An edge with assignments stays, as does a jump with some.
PlanBlockId through(const Plan& plan, PlanBlockId target) {
  for (;;) {
    const PlanBlock& block = plan.blocks[target];
    if (block.kind != ExitKind::kJump || !block.guards.empty() || !block.if_true.assignments.empty()) return target;
    target = block.if_true.target;
  }
}

}  // namespace

void tidy(Plan& plan) {
  const auto count = static_cast<PlanBlockId>(plan.blocks.size());
  for (PlanBlockId id = count; id-- > 0;) {
    PlanBlock& block = plan.blocks[id];
    if (block.kind == ExitKind::kVerdict) continue;
    if (block.if_true.assignments.empty()) block.if_true.target = through(plan, block.if_true.target);
    if (block.kind == ExitKind::kJump) continue;
    if (block.if_false.assignments.empty()) block.if_false.target = through(plan, block.if_false.target);
    if (block.if_true.target == block.if_false.target && block.if_true.assignments.empty() &&
        block.if_false.assignments.empty())
      block.kind = ExitKind::kJump;
  }
  Scratch scratch;
  ScratchVector<PlanBlockId> number(count, kNothing, scratch);
  number[through(plan, 0)] = 0;
  PlanBlockId next = 0;
  for (PlanBlockId id = 0; id < count; ++id) {
    if (number[id] == kNothing) continue;
    if (next != id) plan.blocks[next] = plan.blocks[id];
    const PlanBlock& block = plan.blocks[next];
    number[id] = next++;
    if (block.kind == ExitKind::kVerdict) continue;
    number[block.if_true.target] = 0;  // reached; its number follows
    if (block.kind != ExitKind::kJump) number[block.if_false.target] = 0;
  }
  plan.blocks.resize(next);
  for (PlanBlock& block : plan.blocks) {
    if (block.kind == ExitKind::kVerdict) continue;
    block.if_true.target = number[block.if_true.target];
    if (block.kind == ExitKind::kJump) {
      block.if_false = {};
    } else {
      block.if_false.target = number[block.if_false.target];
    }
  }
}

}  // namespace weir::engine
