// Several plans as one. Exports join.
//
// The plans' nodes go into one pool, so what two of them compute is one node. Their blocks stay apart, each plan with
// an entry of its own below a common root that does nothing: lanes run all of them, one after another, each with all
// lanes. A verdict becomes the bit of its plan.
#include <algorithm>
#include <unordered_map>

#include "engine/plan_passes.h"

namespace weir::engine {
namespace {

using flow::ExitKind;
using flow::Op;

struct NodeHash {
  std::size_t operator()(const Node& node) const {
    std::uint64_t h = (std::uint64_t{node.k} << 32 | node.a) * 0x9e3779b97f4a7c15u;
    h ^= (std::uint64_t{node.b} << 16 | static_cast<std::uint64_t>(node.op) << 8 | node.size) * 0xc2b2ae3d27d4eb4fu;
    return h >> 20;
  }
};

class Joiner {
 public:
  Joiner() {
    plan_.blocks.push_back({.kind = ExitKind::kVerdict, .lhs = add({.op = Op::kConstant})});
    plan_.entries.push_back(0);
  }

  void take(const Plan& from, std::uint32_t number) {
    const auto first_block = static_cast<PlanBlockId>(plan_.blocks.size());
    const auto first_set = static_cast<std::uint32_t>(plan_.sets.size());
    take_nodes(from);
    plan_.phi_count += from.phi_count;
    plan_.sets.insert(plan_.sets.end(), from.sets.begin(), from.sets.end());
    plan_.entries.push_back(first_block);
    const auto edge = [&](const PlanEdge& old) -> PlanEdge {
      if (old.target == kNothing) return old;
      PlanEdge out{old.target + first_block, {size(plan_.assignments), 0}};
      for (std::uint32_t i = old.assignments.begin; i < old.assignments.end; ++i)
        plan_.assignments.push_back({renamed(from.assignments[i].phi), renamed(from.assignments[i].value)});
      out.assignments.end = size(plan_.assignments);
      return out;
    };
    for (const PlanBlock& old : from.blocks) {
      PlanBlock block = old;
      block.guards.begin = size(plan_.guards);
      for (std::uint32_t i = old.guards.begin; i < old.guards.end; ++i) plan_.guards.push_back(renamed(from.guards[i]));
      block.guards.end = size(plan_.guards);
      block.lhs = renamed(old.lhs);
      block.rhs = renamed(old.rhs);
      if (old.kind == ExitKind::kVerdict)
        block.lhs = add({.op = Op::kConstant, .k = from[old.lhs].k != 0 ? 1u << number : 0});
      if (old.set != kNothing) block.set += first_set;
      block.if_true = edge(old.if_true);
      block.if_false = edge(old.if_false);
      plan_.blocks.push_back(block);
    }
  }

  // length: what all packets have at least.
  Plan finish(std::uint32_t length) {
    std::vector<bool> always(plan_.nodes.size(), false);  // can be computed for every packet
    for (NodeId id = 0; id < plan_.nodes.size(); ++id) {
      const Node& node = plan_[id];
      const std::uint64_t extent = constant_extent(node);
      switch (node.op) {
        case Op::kConstant:
        case Op::kLength: always[id] = true; break;
        case Op::kLoad: always[id] = extent != 0 && extent <= length; break;
        case Op::kAdd:
        case Op::kSubtract:
        case Op::kMultiply:
        case Op::kAnd:
        case Op::kOr:
        case Op::kXor:
        case Op::kShiftLeft:
        case Op::kShiftRight: always[id] = always[node.a] && always[node.b]; break;
        default: break;
      }
      if (always[id] && users_[id] > 1 && node.op != Op::kConstant) plan_.shared.push_back(id);
    }
    return std::move(plan_);
  }

 private:
  template <typename T>
  static std::uint32_t size(const std::vector<T>& pool) {
    return static_cast<std::uint32_t>(pool.size());
  }

  NodeId renamed(NodeId id) const { return id == kNothing ? kNothing : names_[id]; }

  NodeId add(const Node& node) {
    const auto [at, is_new] = numbers_.try_emplace(node, size(plan_.nodes));
    if (is_new) {
      plan_.nodes.push_back(node);
      users_.push_back(0);
    }
    return at->second;
  }

  void take_nodes(const Plan& from) {
    names_.assign(from.nodes.size(), kNothing);
    for (NodeId id = 0; id < from.nodes.size(); ++id) {
      Node node = from[id];
      node.a = renamed(node.a);
      node.b = renamed(node.b);
      if (node.op == Op::kParameter) node.k += plan_.phi_count;
      names_[id] = add(node);
      ++users_[names_[id]];
    }
  }

  Plan plan_;
  std::unordered_map<Node, NodeId, NodeHash> numbers_;
  std::vector<std::uint32_t> users_;  // plans that have each node
  std::vector<NodeId> names_;         // of the plan that is being taken
};

}  // namespace

bool can_join(const Plan& plan) {
  return std::all_of(plan.blocks.begin(), plan.blocks.end(), [&](const PlanBlock& block) {
    return block.kind != ExitKind::kVerdict || plan.is_constant(block.lhs);
  });
}

Plan join(std::span<const Plan* const> plans, std::uint32_t length) {
  Joiner joiner;
  for (std::uint32_t i = 0; i < plans.size(); ++i) joiner.take(*plans[i], i);
  return joiner.finish(length);
}

}  // namespace weir::engine
