// Uses and bounds of nodes. Exports PlanValues, largest_values and raw_test.
#include "engine/plan_values.h"

#include <algorithm>
#include <bit>

namespace weir::engine {
namespace {

using flow::Op;

constexpr std::uint8_t kDeepTree = 12;

bool never_kept(Op op) { return op == Op::kConstant || op == Op::kParameter || op == Op::kLength; }

}  // namespace

RawTest raw_test(const Plan& plan, const PlanBlock& block) {
  RawTest test;
  if (block.kind != flow::ExitKind::kTest || !plan.is_constant(block.rhs)) return test;
  const std::uint32_t k = plan[block.rhs].k;
  const Node* node = &plan[block.lhs];
  NodeId id = block.lhs;
  std::uint32_t mask = 0xffffffff;
  if (node->op == Op::kAnd && plan.is_constant(node->b)) {
    mask = plan[node->b].k;
    id = node->a;
    node = &plan[id];
  }
  if (node->op != Op::kLoad) return test;
  const std::uint32_t all = node->size == 4 ? 0xffffffffu : (1u << (8 * node->size)) - 1;
  switch (block.condition) {
    case flow::Condition::kEqual:
      if ((k & ~(mask & all)) != 0) return test;  // never true: rare, and left to the general code
      test = {id, mask & all, k, false};
      break;
    case flow::Condition::kBitsSet: test = {id, mask & all & k, 0, true}; break;
    default: break;
  }
  return test;
}

PlanValues::PlanValues(const Plan& plan, Scratch& scratch)
    : uses_(plan.nodes.size(), 0, scratch),
      kept_(plan.nodes.size(), 0, scratch),
      largest_(largest_values(plan, scratch)) {
  count_uses(plan, scratch);
}

void PlanValues::count_uses(const Plan& plan, Scratch& scratch) {
  const auto use = [&](NodeId id) {
    if (id != kNothing && uses_[id] < 255) ++uses_[id];
  };
  const auto keep = [&](NodeId id) {
    if (id != kNothing && !never_kept(plan[id].op)) kept_[id] = 1;
  };
  for (const PlanBlock& block : plan.blocks) {
    if (block.kind == flow::ExitKind::kJump) continue;
    if (const RawTest raw = raw_test(plan, block); raw.load != kNothing) {
      if (plan[raw.load].a != kNothing) use(raw.load);
      continue;
    }
    use(block.lhs);
    if (block.kind == flow::ExitKind::kTest) {
      use(block.rhs);
      keep(block.rhs);
    }
  }
  for (const Assignment& assignment : plan.assignments) use(assignment.value);
  for (const NodeId id : plan.guards) {
    const Node& node = plan[id];
    if (is_draw(node)) keep(id);
    if (node.op == Op::kLoad) {
      use(node.a);
    } else {
      use(second_operand(node));
    }
  }
  // Operands, of nodes that are used: from the last node to the first, since users come after their operands.
  for (NodeId id = static_cast<NodeId>(plan.nodes.size()); id-- > 0;) {
    const Node& node = plan[id];
    if (uses_[id] == 0 && kept_[id] == 0) continue;
    if (uses_[id] > 1 && !never_kept(node.op)) kept_[id] = 1;
    if (node.op == Op::kLoad || node.op == Op::kExtension) {
      use(first_operand(node));
      keep(first_operand(node));
      use(second_operand(node));
      keep(second_operand(node));
      continue;
    }
    use(node.a);
    use(node.b);
    keep(node.b);
  }
  for (const NodeId id : plan.guards) {
    keep(plan[id].op == Op::kLoad ? plan[id].a : second_operand(plan[id]));
  }
  ScratchVector<std::uint8_t> depth(plan.nodes.size(), 0, scratch);
  for (NodeId id = 0; id < plan.nodes.size(); ++id) {
    const Node& node = plan[id];
    if (node.a == kNothing || kept_[id] != 0) continue;
    depth[id] = static_cast<std::uint8_t>(kept_[node.a] != 0 ? 1 : depth[node.a] + 1);
    if (depth[id] >= kDeepTree) kept_[id] = 1;
  }
}

ScratchVector<std::uint32_t> largest_values(const Plan& plan, Scratch& scratch) {
  ScratchVector<std::uint32_t> largest(plan.nodes.size(), 0xffffffff, scratch);
  for (NodeId id = 0; id < plan.nodes.size(); ++id) {
    const Node& node = plan[id];
    const auto right = [&] { return plan[node.b].k; };
    switch (node.op) {
      case Op::kConstant: largest[id] = node.k; break;
      case Op::kParameter:
        largest[id] = 0;
        for (const Assignment& assignment : plan.assignments)
          if (assignment.phi == id) largest[id] = std::max(largest[id], largest[assignment.value]);
        break;
      case Op::kLoad: largest[id] = node.size == 4 ? 0xffffffffu : (1u << (8 * node.size)) - 1; break;
      case Op::kAnd: largest[id] = std::min(largest[node.a], largest[node.b]); break;
      case Op::kShiftLeft:
        if (plan.is_constant(node.b) && (std::uint64_t{largest[node.a]} << right()) <= 0xffffffff)
          largest[id] = largest[node.a] << right();
        break;
      case Op::kShiftRight:
        if (plan.is_constant(node.b)) largest[id] = largest[node.a] >> right();
        break;
      case Op::kAdd:
        if (std::uint64_t{largest[node.a]} + largest[node.b] <= 0xffffffff)
          largest[id] = largest[node.a] + largest[node.b];
        break;
      default: break;
    }
  }
  return largest;
}

}  // namespace weir::engine
