// Blocks, masks, edges. Exports LaneBody::emit.
#include "engine/lane_body.h"

#include <algorithm>
#include <cmath>

#include "engine/plan_likelihood.h"
#include "engine/plan_passes.h"

namespace weir::engine {

using flow::ExitKind;
using flow::Op;
namespace x86 = asmjit::x86;

namespace {

// The register allocator takes more than its share of time for larger ones.
constexpr std::size_t kMostBlocks = 150;
constexpr std::size_t kMostNodes = 600;  // that are computed

// In cycles, roughly.
constexpr float kMisprediction = 20;
constexpr float kTest = 2;
constexpr float kGather = 6;  // twice as much for twice the lanes

}  // namespace

bool LaneBody::takes(const Plan& plan) {
  // Constants need no instructions of their own, and those of chains that became sets are used no more.
  const auto computed =
      std::count_if(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.op != Op::kConstant; });
  if (plan.blocks.size() > kMostBlocks || static_cast<std::size_t>(computed) > kMostNodes) return false;
  return std::none_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.op == Op::kExtension; });
}

LaneBody::LaneBody(x86::Compiler& compiler, Lanes& lanes, const Plan& plan, std::span<const SetTable> tables,
                   std::uint32_t known_length, bool fast_gather)
    : c_(compiler),
      lanes_(lanes),
      plan_(plan),
      tables_(tables),
      known_length_(known_length),
      values_(plan, scratch_),
      dominator_(dominators(plan, scratch_)),
      first_child_(plan.blocks.size(), kNothing),
      sibling_(plan.blocks.size(), kNothing),
      arrivals_(plan.blocks.size(), 0),
      reach_(plan.blocks.size(), 0),
      masks_(plan.blocks.size()),
      phis_(plan.phi_count),
      cached_(plan.nodes.size()),
      field_of_(plan.nodes.size(), kNothing),
      choices_(plan.nodes.size()),
      fast_gather_(fast_gather),
      shared_of_(plan.nodes.size(), kNothing) {
  for (auto id = static_cast<PlanBlockId>(plan.blocks.size()); id-- > 1;) {
    sibling_[id] = first_child_[dominator_[id]];
    first_child_[dominator_[id]] = id;
  }
  for (const PlanBlock& block : plan.blocks) {
    if (block.kind == ExitKind::kVerdict) continue;
    ++arrivals_[block.if_true.target];
    if (block.kind != ExitKind::kJump) ++arrivals_[block.if_false.target];
  }
  estimate_reach();
  plan_fields();
  plan_shared_gathers();
}

x86::Vec LaneBody::emit(const LaneGroup& group) {
  group_ = group;
  verdicts_ = lanes_.zero();
  for (Vec& phi : phis_) phi = lanes_.zero();
  for (std::uint32_t i = 0; i < lanes_.count() && !rows_.empty(); ++i) {
    lane_offsets_[i] = c_.newUInt64();
    c_.mov(lane_offsets_[i].r32(),
           x86::dword_ptr(group.offset_column, group.index, 2, static_cast<std::int32_t>(4 * i)));
  }
  if (!plan_.shared.empty()) {
    open_homes(0);
    const Mask all = lanes_.all_lanes(group_.offsets);
    for (const NodeId id : plan_.shared) value(id, all);
  }
  emit_tree(0);
  return verdicts_;
}

// How likely a packet is to reach each block.
void LaneBody::estimate_reach() {
  for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id) {  // edges lead to higher numbers
    const PlanBlock& block = plan_.blocks[id];
    if (arrivals_[id] == 0) reach_[id] = 1;
    if (block.kind == ExitKind::kVerdict) continue;
    const float likely = block.kind == ExitKind::kJump ? 1 : likelihood(plan_, block);
    reach_[block.if_true.target] += likely * reach_[id];
    if (block.kind != ExitKind::kJump) reach_[block.if_false.target] += (1 - likely) * reach_[id];
  }
}

// Whether a jump over the blocks that `root` dominates, where no lane wants them, spares more than it costs where it is
// not foreseen.
bool LaneBody::is_worth_a_jump(PlanBlockId root) const {
  const float none = std::pow(1 - std::min(reach_[root], 1.0F), static_cast<float>(lanes_.count()));
  const float enough = kMisprediction * std::min(none, 1 - none) / none;
  const float gather = lanes_.wide() ? 2 * kGather : kGather;
  float cost = 0;
  std::vector<PlanBlockId> pending{root};
  while (!pending.empty() && cost <= enough) {
    const PlanBlockId id = pending.back();
    pending.pop_back();
    const PlanBlock& block = plan_.blocks[id];
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g)
      if (plan_[plan_.guards[g]].op == Op::kLoad) cost += gather;
    if (block.kind == ExitKind::kTest) cost += kTest;
    if (block.kind == ExitKind::kSet) {
      const SetKind kind = tables_[block.set].kind;
      cost += kind >= SetKind::kCuckoo ? 2 * gather : kind >= SetKind::kBitmap ? gather : 2 * kTest;
    }
    for (PlanBlockId child = first_child_[id]; child != kNothing; child = sibling_[child]) pending.push_back(child);
  }
  return cost > enough && cost > kGather;
}

// The masks that a block needs before its code: its own where control enters, and those that several edges add to of
// the blocks that it dominates.
void LaneBody::open_masks(PlanBlockId id) {
  if (arrivals_[id] == 0) all_ = masks_[id] = lanes_.all_lanes(group_.offsets);
  for (PlanBlockId child = first_child_[id]; child != kNothing; child = sibling_[child])
    if (arrivals_[child] >= 2) masks_[child] = lanes_.no_lanes();
}

// Children in order of their numbers; the walk has its own stack, since trees are as deep as programs are long.
void LaneBody::emit_tree(PlanBlockId root) {
  struct Frame {
    PlanBlockId next_child;
    std::size_t taken;
    std::size_t windows;
    std::size_t shared;
    asmjit::Label after;  // where the subtree's end is, if it can be jumped over
  };
  std::vector<Frame> stack;
  const auto enter = [&](PlanBlockId id) {
    Frame frame{first_child_[id], taken_.size(), taken_windows_.size(), taken_shared_.size(), {}};
    const bool is_entry = arrivals_[id] == 0;  // tidy() leaves no blocks that cannot be reached
    const bool dead = !is_entry && !masks_[id].isValid();
    if (!dead && !is_entry && is_worth_a_jump(id)) {
      frame.after = c_.newLabel();
      lanes_.jump_if_empty(masks_[id], frame.after);
    }
    if (!dead) {
      open_masks(id);
      open_homes(id);
      emit_block(id);
    }
    stack.push_back(frame);
  };
  enter(root);
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next_child != kNothing) {
      const PlanBlockId child = frame.next_child;
      frame.next_child = sibling_[child];
      enter(child);
      continue;
    }
    for (; taken_.size() > frame.taken; taken_.pop_back()) cached_[taken_.back()] = Vec();
    for (; taken_windows_.size() > frame.windows; taken_windows_.pop_back())
      windows_[taken_windows_.back()].bytes = Vec();
    for (; taken_shared_.size() > frame.shared; taken_shared_.pop_back()) shared_[taken_shared_.back()].bytes = Vec();
    if (frame.after.isValid()) c_.bind(frame.after);
    stack.pop_back();
  }
}

void LaneBody::emit_block(PlanBlockId id) {
  const PlanBlock& block = plan_.blocks[id];
  const Mask mask = masks_[id];
  if (keep_marks_ && !block.instructions.empty()) {
    marks_.push_back({c_.newLabel(), block.instructions});
    c_.bind(marks_.back().at);
  }
  for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) guard(plan_.guards[g], mask);
  switch (block.kind) {
    case ExitKind::kVerdict: return emit_verdict(block.lhs, mask);
    case ExitKind::kJump: return emit_edge(block.if_true, mask);
    case ExitKind::kTest:
    case ExitKind::kSet: return split(block, test(block, mask), mask);
  }
}

void LaneBody::emit_verdict(NodeId verdict, const Mask& mask) {
  if (plan_.is_constant(verdict) && plan_[verdict].k == 0) return;
  if (!plan_.is_constant(verdict)) value(verdict, mask);
  if (plan_.entries.empty()) {
    lanes_.blend(verdicts_, operand(verdict), mask);
  } else {
    lanes_.add_where(verdicts_, operand(verdict), {mask});  // joined plans have a bit each
  }
}

// Changes the mask in place: from here on it is the block's.
void LaneBody::guard(NodeId id, const Mask& mask) {
  const Node& node = plan_[id];
  if (!choices_[id].empty()) return;  // all packets have the bytes of each
  if (shared_of_[id] != kNothing) return open_shared(shared_of_[id], mask);
  if (const std::uint64_t extent = constant_extent(node); extent != 0) {
    const auto last = static_cast<std::uint32_t>(extent - 1);
    lanes_.keep(mask, lanes_.signed_greater(group_.lengths, lanes_.constant(last)));
  } else if (node.op == Op::kLoad) {
    // base + k modulo 2^32 is at most length - size; lengths are at least 4.
    const Vec start = lanes_.with(x86::Inst::kIdVpaddd, value(node.a, mask), lanes_.constant(node.k));
    const Vec last = lanes_.with(x86::Inst::kIdVpsubd, group_.lengths, lanes_.constant(node.size));
    lanes_.keep(mask, lanes_.below_or_equal(start, last));
  } else {
    Test zero = lanes_.compare(flow::Condition::kEqual, value(node.b, mask), lanes_.constant(0));
    zero.inverted = !zero.inverted;
    lanes_.keep(mask, zero);
  }
  all_ = Mask();
}

void LaneBody::split(const PlanBlock& block, const Test& test, const Mask& mask) {
  const auto rejects = [&](PlanBlockId id) {
    const PlanBlock& target = plan_.blocks[id];
    return target.kind == ExitKind::kVerdict && plan_.is_constant(target.lhs) && plan_[target.lhs].k == 0;
  };
  const bool all = all_.isValid() && mask.id() == all_.id();
  const auto part = [&](bool wanted) {
    return all && test.inverted != wanted ? test.lanes : lanes_.both(test, wanted, mask);
  };
  if (!rejects(block.if_true.target)) emit_edge(block.if_true, part(true));
  if (!rejects(block.if_false.target)) emit_edge(block.if_false, part(false));
}

// The mask becomes the target's own where no other edge leads there.
void LaneBody::emit_edge(const PlanEdge& edge, const Mask& mask) {
  for (std::uint32_t i = edge.assignments.begin; i < edge.assignments.end; ++i) {
    const Assignment& assignment = plan_.assignments[i];
    if (!plan_.is_constant(assignment.value)) value(assignment.value, mask);
    lanes_.blend(phis_[plan_[assignment.phi].k], operand(assignment.value), mask);
  }
  if (arrivals_[edge.target] > 1) {
    lanes_.join(masks_[edge.target], mask);
  } else {
    masks_[edge.target] = mask;
  }
}

}  // namespace weir::engine
