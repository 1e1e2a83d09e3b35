// Guards that need no code. Exports common_length, drop_implied_guards, gather_guards, dominators.
//
// Forward over the blocks: the length that is known at a block's start is the least that any edge to it brings. A guard
// on a load whose address varies, or on a divisor, is implied where a dominator has the same guard. Of a block's
// constant extents only the longest stays, and comes first: the addresses of the others may be computed from what it
// covers.
#include <algorithm>

#include "engine/plan_passes.h"
#include "engine/plan_values.h"

namespace weir::engine {
namespace {

constexpr std::uint32_t kDominatorsLookedAt = 16;
constexpr std::size_t kMostChoices = 4;
constexpr std::size_t kMostGathered = 64;        // guards
constexpr std::uint32_t kFarthestGathered = 64;  // bytes

bool guarded_above(const Plan& plan, const ScratchVector<PlanBlockId>& dominator, PlanBlockId block, NodeId id) {
  for (std::uint32_t i = 0; i < kDominatorsLookedAt && block != 0; ++i) {
    block = dominator[block];
    const Slice& guards = plan.blocks[block].guards;
    if (std::find(plan.guards.begin() + guards.begin, plan.guards.begin() + guards.end, id) !=
        plan.guards.begin() + guards.end)
      return true;
  }
  return false;
}

}  // namespace

std::uint32_t common_length(const Plan& plan) {
  std::uint64_t largest = 0;
  for (const NodeId id : plan.guards) {
    const Node& node = plan[id];
    std::uint64_t extent = constant_extent(node);
    if (const std::vector<std::uint32_t> addresses = address_choices(plan, node); !addresses.empty())
      extent = std::uint64_t{addresses.back()} + node.k + node.size;
    if (extent <= kCommonLength) largest = std::max(largest, extent);
  }
  return static_cast<std::uint32_t>(largest);
}

std::vector<std::uint32_t> address_choices(const Plan& plan, const Node& load) {
  std::vector<std::uint32_t> out;
  if (load.op != flow::Op::kLoad || load.a == kNothing || plan[load.a].op != flow::Op::kParameter) return out;
  for (const Assignment& assignment : plan.assignments) {
    if (assignment.phi != load.a) continue;
    if (!plan.is_constant(assignment.value)) return {};
    out.push_back(plan[assignment.value].k);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (out.size() > kMostChoices) out.clear();
  return out;
}

ScratchVector<PlanBlockId> dominators(const Plan& plan, Scratch& scratch) {
  ScratchVector<PlanBlockId> dominator(plan.blocks.size(), kNothing, scratch);
  dominator[0] = 0;
  const auto reach = [&](PlanBlockId from, PlanBlockId to) {
    if (dominator[to] == kNothing) {
      dominator[to] = from;
      return;
    }
    PlanBlockId a = dominator[to];
    PlanBlockId b = from;
    while (a != b) {
      while (a > b) a = dominator[a];
      while (b > a) b = dominator[b];
    }
    dominator[to] = a;
  };
  for (const PlanBlockId entry : plan.entries) dominator[entry] = 0;
  for (PlanBlockId id = 0; id < plan.blocks.size(); ++id) {
    const PlanBlock& block = plan.blocks[id];
    if (block.kind == flow::ExitKind::kVerdict) continue;
    reach(id, block.if_true.target);
    if (block.kind != flow::ExitKind::kJump) reach(id, block.if_false.target);
  }
  return dominator;
}

bool may_begin_anew(const Plan& plan) {
  return std::none_of(plan.guards.begin(), plan.guards.end(), [&](NodeId id) { return is_draw(plan[id]); });
}

void gather_guards(Plan& plan) {
  struct Place {
    PlanBlockId block;
    std::uint32_t index;  // of plan.guards
  };
  const auto varies = [&](const Node& node) { return node.op == flow::Op::kLoad && node.a != kNothing; };
  if (std::count_if(plan.guards.begin(), plan.guards.end(), [&](NodeId id) { return varies(plan[id]); }) < 2) return;
  if (!may_begin_anew(plan)) return;
  Scratch scratch;
  const ScratchVector<std::uint32_t> largest = largest_values(plan, scratch);
  ScratchVector<Place> places(scratch);
  places.reserve(plan.guards.size());
  for (PlanBlockId id = 0; id < plan.blocks.size(); ++id)
    for (std::uint32_t i = plan.blocks[id].guards.begin; i < plan.blocks[id].guards.end; ++i) {
      const Node& node = plan[plan.guards[i]];
      if (!varies(node) || std::uint64_t{largest[node.a]} + node.k + node.size > 0x7fffffff) continue;
      places.push_back({id, i});
    }
  if (places.size() < 2 || places.size() > kMostGathered) return;
  const ScratchVector<PlanBlockId> dominator = dominators(plan, scratch);
  const auto dominates = [&](PlanBlockId above, PlanBlockId below) {
    while (below > above) below = dominator[below];
    return below == above;
  };
  const auto end = [&](NodeId id) { return plan[id].k + plan[id].size; };
  ScratchVector<bool> dropped(plan.guards.size(), false, scratch);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (dropped[places[i].index]) continue;
    NodeId& first = plan.guards[places[i].index];
    const std::uint32_t least = plan[first].k;
    for (std::size_t j = i + 1; j < places.size(); ++j) {
      const NodeId other = plan.guards[places[j].index];
      if (plan[other].a != plan[first].a || dropped[places[j].index]) continue;
      if (end(other) > least + kFarthestGathered || !dominates(places[i].block, places[j].block)) continue;
      if (end(other) > end(first)) first = other;
      dropped[places[j].index] = true;
    }
  }
  ScratchVector<NodeId> kept(scratch);
  kept.reserve(plan.guards.size());
  for (PlanBlock& block : plan.blocks) {
    const Slice before = block.guards;
    block.guards.begin = static_cast<std::uint32_t>(kept.size());
    for (std::uint32_t i = before.begin; i < before.end; ++i)
      if (!dropped[i]) kept.push_back(plan.guards[i]);
    block.guards.end = static_cast<std::uint32_t>(kept.size());
  }
  plan.guards.assign(kept.begin(), kept.end());
}

void drop_implied_guards(Plan& plan, std::uint32_t length) {
  if (plan.guards.empty()) return;
  Scratch scratch;
  const ScratchVector<PlanBlockId> dominator = dominators(plan, scratch);
  ScratchVector<std::uint64_t> known(plan.blocks.size(), ~std::uint64_t{0}, scratch);
  known[0] = length;
  ScratchVector<NodeId> kept(scratch);
  kept.reserve(plan.guards.size());
  ScratchVector<Slice> slices(plan.blocks.size(), Slice{}, scratch);
  for (PlanBlockId id = 0; id < plan.blocks.size(); ++id) {
    const PlanBlock& block = plan.blocks[id];
    std::uint64_t now = known[id];
    NodeId longest = kNothing;
    slices[id].begin = static_cast<std::uint32_t>(kept.size());
    for (std::uint32_t i = block.guards.begin; i < block.guards.end; ++i) {
      const NodeId guard = plan.guards[i];
      if (const std::uint64_t extent = constant_extent(plan[guard]); extent != 0) {
        if (extent <= now) continue;
        now = extent;
        longest = guard;
      } else if (is_draw(plan[guard]) || !guarded_above(plan, dominator, id, guard)) {
        kept.push_back(guard);
      }
    }
    if (longest != kNothing) kept.insert(kept.begin() + slices[id].begin, longest);
    slices[id].end = static_cast<std::uint32_t>(kept.size());
    const auto pass_on = [&](const PlanEdge& edge) { known[edge.target] = std::min(known[edge.target], now); };
    if (block.kind == flow::ExitKind::kVerdict) continue;
    pass_on(block.if_true);
    if (block.kind != flow::ExitKind::kJump) pass_on(block.if_false);
  }
  plan.guards.assign(kept.begin(), kept.end());
  for (PlanBlockId id = 0; id < plan.blocks.size(); ++id) plan.blocks[id].guards = slices[id];
}

}  // namespace weir::engine
