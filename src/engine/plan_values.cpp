// Uses and bounds of nodes. Exports PlanValues and raw_test.
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

PlanValues::PlanValues(const Plan& plan) : uses_(plan.nodes.size(), 0), kept_(plan.nodes.size(), false) {
  bound(plan);
  count_uses(plan);
}

void PlanValues::count_uses(const Plan& plan) {
  const auto use = [&](NodeId id) {
    if (id != kNothing && uses_[id] < 255) ++uses_[id];
  };
  const auto keep = [&](NodeId id) {
    if (id != kNothing && !never_kept(plan[id].op)) kept_[id] = true;
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
    if (uses_[id] == 0 && !kept_[id]) continue;
    if (uses_[id] > 1 && !never_kept(node.op)) kept_[id] = true;
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
  std::vector<std::uint8_t> depth(plan.nodes.size(), 0);
  for (NodeId id = 0; id < plan.nodes.size(); ++id) {
    const Node& node = plan[id];
    if (node.a == kNothing || kept_[id]) continue;
    depth[id] = static_cast<std::uint8_t>(kept_[node.a] ? 1 : depth[node.a] + 1);
    if (depth[id] >= kDeepTree) kept_[id] = true;
  }
}

void PlanValues::bound(const Plan& plan) {
  largest_.assign(plan.nodes.size(), 0xffffffff);
  for (NodeId id = 0; id < plan.nodes.size(); ++id) {
    const Node& node = plan[id];
    const auto right = [&] { return plan[node.b].k; };
    switch (node.op) {
      case Op::kConstant: largest_[id] = node.k; break;
      case Op::kParameter:
        largest_[id] = 0;
        for (const Assignment& assignment : plan.assignments)
          if (assignment.phi == id) largest_[id] = std::max(largest_[id], largest_[assignment.value]);
        break;
      case Op::kLoad: largest_[id] = node.size == 4 ? 0xffffffffu : (1u << (8 * node.size)) - 1; break;
      case Op::kAnd: largest_[id] = std::min(largest_[node.a], largest_[node.b]); break;
      case Op::kShiftLeft:
        if (plan.is_constant(node.b) && (std::uint64_t{largest_[node.a]} << right()) <= 0xffffffff)
          largest_[id] = largest_[node.a] << right();
        break;
      case Op::kShiftRight:
        if (plan.is_constant(node.b)) largest_[id] = largest_[node.a] >> right();
        break;
      case Op::kAdd:
        if (std::uint64_t{largest_[node.a]} + largest_[node.b] <= 0xffffffff)
          largest_[id] = largest_[node.a] + largest_[node.b];
        break;
      default: break;
    }
  }
}

}  // namespace weir::engine
