// Blocks, masks, edges. Exports Avx2Body::emit.
#include "engine/avx2_body.h"

#include <algorithm>

#include "engine/plan_passes.h"

namespace weir::engine {

using flow::ExitKind;
using flow::Op;
namespace x86 = asmjit::x86;

namespace {

// The register allocator takes more than its share of time for larger ones.
constexpr std::size_t kMostBlocks = 150;
constexpr std::size_t kMostNodes = 600;
constexpr std::uint32_t kGathersWorthABranch = 2;

}  // namespace

bool Avx2Body::takes(const Plan& plan) {
  if (plan.blocks.size() > kMostBlocks || plan.nodes.size() > kMostNodes) return false;
  return std::none_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.op == Op::kExtension; });
}

Avx2Body::Avx2Body(x86::Compiler& compiler, const Plan& plan, std::span<const SetTable> tables,
                   std::uint32_t known_length, bool fast_gather)
    : c_(compiler),
      plan_(plan),
      tables_(tables),
      known_length_(known_length),
      values_(plan),
      constants_label_(compiler.newLabel()),
      dominator_(dominators(plan)),
      first_child_(plan.blocks.size(), kNothing),
      sibling_(plan.blocks.size(), kNothing),
      arrivals_(plan.blocks.size(), 0),
      masks_(plan.blocks.size()),
      phis_(plan.phi_count),
      cached_(plan.nodes.size()),
      window_of_(plan.nodes.size(), kNothing),
      fast_gather_(fast_gather),
      varying_of_(plan.nodes.size(), kNothing) {
  for (auto id = static_cast<PlanBlockId>(plan.blocks.size()); id-- > 1;) {
    sibling_[id] = first_child_[dominator_[id]];
    first_child_[dominator_[id]] = id;
  }
  for (const PlanBlock& block : plan.blocks) {
    if (block.kind == ExitKind::kVerdict) continue;
    ++arrivals_[block.if_true.target];
    if (block.kind != ExitKind::kJump) ++arrivals_[block.if_false.target];
  }
  plan_windows();
  plan_varying_windows();
}

x86::Ymm Avx2Body::emit(const Avx2Group& group) {
  group_ = group;
  verdicts_ = c_.newYmm();
  c_.vpxor(verdicts_, verdicts_, verdicts_);
  for (Ymm& phi : phis_) {
    phi = c_.newYmm();
    c_.vpxor(phi, phi, phi);
  }
  for (std::uint32_t i = 0; i < 8 && !fast_gather_ && !windows_.empty(); ++i) {
    lane_offsets_[i] = c_.newUInt64();
    c_.mov(lane_offsets_[i].r32(),
           x86::dword_ptr(group.offset_column, group.index, 2, static_cast<std::int32_t>(4 * i)));
  }
  if (!plan_.shared.empty()) {
    const Ymm all = all_lanes();
    for (const NodeId id : plan_.shared) value(id, all);
  }
  emit_tree(0);
  return verdicts_;
}

// Gathers in the blocks that `id` dominates: what a jump over them saves.
std::uint32_t Avx2Body::subtree_gathers(PlanBlockId root) const {
  std::uint32_t gathers = 0;
  std::vector<PlanBlockId> pending{root};
  while (!pending.empty() && gathers < kGathersWorthABranch) {
    const PlanBlockId id = pending.back();
    pending.pop_back();
    const PlanBlock& block = plan_.blocks[id];
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g)
      gathers += plan_[plan_.guards[g]].op == Op::kLoad;
    if (block.kind == ExitKind::kSet) {
      const SetKind kind = tables_[block.set].kind;
      gathers += kind >= SetKind::kBitmap ? 1 : 0;
      gathers += kind >= SetKind::kCuckoo ? 1 : 0;
    }
    for (PlanBlockId child = first_child_[id]; child != kNothing; child = sibling_[child]) pending.push_back(child);
  }
  return gathers;
}

// The masks that a block needs before its code: its own where control enters, and those that several edges add to of
// the blocks that it dominates.
void Avx2Body::open_masks(PlanBlockId id) {
  if (arrivals_[id] == 0) masks_[id] = all_lanes();
  for (PlanBlockId child = first_child_[id]; child != kNothing; child = sibling_[child]) {
    if (arrivals_[child] < 2) continue;
    masks_[child] = c_.newYmm();
    c_.vpxor(masks_[child], masks_[child], masks_[child]);
  }
}

// Children in order of their numbers; the walk has its own stack, since trees are as deep as programs are long.
void Avx2Body::emit_tree(PlanBlockId root) {
  struct Frame {
    PlanBlockId next_child;
    std::size_t taken;
    std::size_t windows;
    std::size_t varying;
    asmjit::Label after;  // where the subtree's end is, if it can be jumped over
  };
  std::vector<Frame> stack;
  const auto enter = [&](PlanBlockId id) {
    Frame frame{first_child_[id], taken_.size(), taken_windows_.size(), taken_varying_.size(), {}};
    const bool is_entry = arrivals_[id] == 0;  // tidy() leaves no blocks that cannot be reached
    const bool dead = !is_entry && !masks_[id].isValid();
    if (!dead && !is_entry && subtree_gathers(id) >= kGathersWorthABranch) {
      frame.after = c_.newLabel();
      c_.vptest(masks_[id], masks_[id]);
      c_.jz(frame.after);
    }
    if (!dead) {
      open_masks(id);
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
    for (; taken_.size() > frame.taken; taken_.pop_back()) cached_[taken_.back()] = Ymm();
    for (; taken_windows_.size() > frame.windows; taken_windows_.pop_back())
      windows_[taken_windows_.back()].bytes = Ymm();
    for (; taken_varying_.size() > frame.varying; taken_varying_.pop_back())
      varying_[taken_varying_.back()].bytes = Ymm();
    if (frame.after.isValid()) c_.bind(frame.after);
    stack.pop_back();
  }
}

void Avx2Body::emit_block(PlanBlockId id) {
  const PlanBlock& block = plan_.blocks[id];
  const Ymm mask = masks_[id];
  if (keep_marks_ && !block.instructions.empty()) {
    marks_.push_back({c_.newLabel(), block.instructions});
    c_.bind(marks_.back().at);
  }
  for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) guard(plan_.guards[g], mask);
  switch (block.kind) {
    case ExitKind::kVerdict: {
      const Ymm kept = c_.newYmm();
      if (plan_.is_constant(block.lhs)) {
        if (plan_[block.lhs].k == 0) return;
        c_.vpand(kept, mask, constant(plan_[block.lhs].k));
      } else {
        c_.vpand(kept, mask, value(block.lhs, mask));
      }
      c_.vpor(verdicts_, verdicts_, kept);
      return;
    }
    case ExitKind::kJump: return emit_edge(block.if_true, mask);
    case ExitKind::kTest:
    case ExitKind::kSet: return split(block, test(block, mask), mask);
  }
}

void Avx2Body::guard(NodeId id, const Ymm& mask) {
  const Node& node = plan_[id];
  const Ymm holds = c_.newYmm();
  if (const std::uint64_t extent = constant_extent(node); extent != 0) {
    c_.vpcmpgtd(holds, group_.lengths, constant(static_cast<std::uint32_t>(extent - 1)));
    c_.vpand(mask, mask, holds);
    return;
  }
  if (node.op == Op::kLoad && varying_of_[id] != kNothing) return open_varying(varying_of_[id], mask);
  if (node.op == Op::kLoad) {
    // base + k modulo 2^32 is at most length - size; lengths are at least 4.
    const Ymm start = c_.newYmm();
    const Ymm last = c_.newYmm();
    c_.vpaddd(start, value(node.a, mask), constant(node.k));
    c_.vpsubd(last, group_.lengths, constant(node.size));
    c_.vpminud(last, last, start);
    c_.vpcmpeqd(holds, last, start);
    c_.vpand(mask, mask, holds);
    return;
  }
  c_.vpcmpeqd(holds, value(node.b, mask), constant(0));
  c_.vpandn(mask, holds, mask);
}

x86::Ymm Avx2Body::and_mask(const Mask& test, bool wanted, const Ymm& mask) {
  const Ymm out = c_.newYmm();
  if (test.inverted == wanted) {
    c_.vpandn(out, test.lanes, mask);
  } else {
    c_.vpand(out, test.lanes, mask);
  }
  return out;
}

void Avx2Body::split(const PlanBlock& block, const Mask& test, const Ymm& mask) {
  const auto rejects = [&](PlanBlockId id) {
    const PlanBlock& target = plan_.blocks[id];
    return target.kind == ExitKind::kVerdict && plan_.is_constant(target.lhs) && plan_[target.lhs].k == 0;
  };
  if (!rejects(block.if_true.target)) emit_edge(block.if_true, and_mask(test, true, mask));
  if (!rejects(block.if_false.target)) emit_edge(block.if_false, and_mask(test, false, mask));
}

void Avx2Body::emit_edge(const PlanEdge& edge, const Ymm& mask) {
  for (std::uint32_t i = edge.assignments.begin; i < edge.assignments.end; ++i) {
    const Assignment& assignment = plan_.assignments[i];
    const Ymm& phi = phis_[plan_[assignment.phi].k];
    c_.vblendvps(phi, phi, value(assignment.value, mask), mask);
  }
  if (arrivals_[edge.target] > 1) {
    c_.vpor(masks_[edge.target], masks_[edge.target], mask);
  } else {
    masks_[edge.target] = c_.newYmm();
    c_.vmovdqa(masks_[edge.target], mask);
  }
}

void Avx2Body::embed_constants() {
  c_.align(asmjit::AlignMode::kData, 32);
  c_.bind(constants_label_);
  if (!constants_.empty()) c_.embed(constants_.data(), constants_.size() * sizeof(std::uint32_t));
}

}  // namespace weir::engine
