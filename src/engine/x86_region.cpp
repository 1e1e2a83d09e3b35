// Code without branches for the ends of programs. The part of X86Body that turns control into bits.
//
// Where all that follows a block is short and ends in one of two verdicts (0 and one other), it is often cheaper to run
// every test than to guess which are needed: a wrong guess costs as much as a dozen tests. Where a test's outcome is
// likely (plan_likelihood.h) and spares many others, it is guessed all the same: the cheaper is emitted. Each block's
// outcome is then one bit, computed from the last block to the first: test ? bit of if_true : bit of if_false.
//
// A load that a guard inside of the region watches over reads from the stack when it lies outside of the packet; the
// guard's own bit is and-ed into the block's. So nothing outside of the packet is ever read. For loads at varying
// addresses it is cheaper to leave a packet to another engine when one lies outside: even if the test that wants it
// would not have been reached.
//
// Bits live in r8, r9, r10 (homes that are free, or the region is refused); homes of kept nodes use what is left.
#include <algorithm>
#include <array>
#include <bit>
#include <span>

#include "engine/plan_likelihood.h"
#include "engine/x86_body.h"

namespace weir::engine {

using flow::ExitKind;
using flow::Op;
namespace x86 = asmjit::x86;
using x86::CondCode;

namespace {

constexpr std::size_t kMostBlocks = 14;
constexpr std::uint32_t kMostWork = 36;  // in operations, roughly
constexpr float kCyclesOfWork = 0.45F;
constexpr float kCyclesOfMisprediction = 15;
constexpr float kCyclesOfVerdict = 1;
constexpr PlanBlockId kMostEstimated = 300;  // blocks: estimates shall not cost more than they save

// Outcomes that need no register.
constexpr std::uint32_t kFalse = 100;
constexpr std::uint32_t kTrue = 101;

constexpr std::uint32_t kBitRegisters = 3;
constexpr x86::Gp kBits[kBitRegisters] = {x86::r8d, x86::r9d, x86::r10d};
constexpr std::uint32_t kBitHomes = 0b11100;  // the same registers, as homes

std::uint32_t work_of(const SetTable& set) {
  return set.kind == SetKind::kFew ? 3 + 3 * static_cast<std::uint32_t>(set.ranges.size()) : 7;
}

bool can_trap(const Node& node) { return node.op == Op::kDivide || node.op == Op::kModulo; }

}  // namespace

struct X86Body::Region {
  std::array<PlanBlockId, kMostBlocks> tests;  // in ascending order; the first is the head
  std::size_t count = 0;
  std::array<std::uint32_t, kMostBlocks> uses{};     // edges inside of the region to each of them
  std::array<std::uint32_t, kMostBlocks> outcome{};  // kFalse, kTrue or a register, once computed
  std::uint32_t accept = 0;                          // the verdict that is not 0
  std::uint32_t work = 0;                            // in operations, roughly
  std::uint32_t free = (1u << kBitRegisters) - 1;

  std::span<const PlanBlockId> blocks() const { return {tests.data(), count}; }
  PlanBlockId head() const { return tests[0]; }
  std::size_t position(PlanBlockId id) const {
    return static_cast<std::size_t>(std::find(tests.begin(), tests.begin() + count, id) - tests.begin());
  }
};

bool X86Body::plan_region(PlanBlockId head, Region& region) const {
  std::uint32_t& work = region.work;
  std::array<PlanBlockId, 2 * kMostBlocks + 1> pending{head};
  std::size_t left = 1;
  while (left != 0) {
    const PlanBlockId id = pending[--left];
    const PlanBlock& block = plan_.blocks[id];
    if (block.kind == ExitKind::kVerdict) {
      if (!plan_.is_constant(block.lhs) || !block.guards.empty()) return false;
      const std::uint32_t k = plan_[block.lhs].k;
      if (k != 0 && region.accept != 0 && k != region.accept) return false;
      if (k != 0) region.accept = k;
      continue;
    }
    if (block.kind == ExitKind::kJump || !block.if_true.assignments.empty() || !block.if_false.assignments.empty())
      return false;
    if (region.position(id) < region.count) continue;
    if (region.count == kMostBlocks) return false;
    region.tests[region.count++] = id;
    work += block.kind == ExitKind::kSet ? work_of(tables_[block.set]) : 3;
    if (id != head)
      for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) {
        if (plan_[plan_.guards[g]].op != Op::kLoad) return false;
        work += plan_[plan_.guards[g]].a != kNothing && leaves() ? 2 : 5;
      }
    if (work > kMostWork) return false;
    pending[left++] = block.if_true.target;
    pending[left++] = block.if_false.target;
  }
  if (region.accept == 0) return false;
  std::sort(region.tests.begin(), region.tests.begin() + region.count);
  for (const PlanBlockId id : region.blocks())
    for (const PlanBlockId next : {plan_.blocks[id].if_true.target, plan_.blocks[id].if_false.target})
      if (plan_.blocks[next].kind != ExitKind::kVerdict) ++region.uses[region.position(next)];
  return true;
}

// In the shape of plan_region: from the last block to the first, what a packet costs that comes here.
void X86Body::estimate_costs() {
  if (plan_.blocks.size() > kMostEstimated) return;
  costs_.assign(plan_.blocks.size(), kCyclesOfVerdict);
  for (auto id = static_cast<PlanBlockId>(plan_.blocks.size()); id-- > 0;) {
    if (plan_.blocks[id].kind == ExitKind::kVerdict) continue;
    costs_[id] = cost_of_branches(id);
    Region region;
    if (plan_.blocks[id].kind != ExitKind::kJump && plan_region(id, region))
      costs_[id] = std::min(costs_[id], kCyclesOfWork * static_cast<float>(region.work));
  }
}

float X86Body::cost_of_branches(PlanBlockId id) const {
  const PlanBlock& block = plan_.blocks[id];
  if (block.kind == ExitKind::kJump) return costs_[block.if_true.target];
  const float guards = static_cast<float>(block.guards.end - block.guards.begin);
  const float own = 1 + guards + (block.kind == ExitKind::kSet ? 2.0F : 0.0F);
  const float likely = likelihood(plan_, block);
  return own + kCyclesOfMisprediction * std::min(likely, 1 - likely) + likely * costs_[block.if_true.target] +
         (1 - likely) * costs_[block.if_false.target];
}

// What a region computes must not trap or call: no division by what may be zero, no extension that is a call.
bool X86Body::region_values_are_plain(NodeId root) const {
  constexpr std::size_t kMostLookedAt = 200;
  std::array<NodeId, kMostLookedAt + 2> pending;
  std::size_t left = 0;
  pending[left++] = root;
  for (std::size_t looked = 0; left != 0; ++looked) {
    if (looked == kMostLookedAt) return false;
    const NodeId id = pending[--left];
    const Node& node = plan_[id];
    if (node.op == Op::kConstant || node.op == Op::kParameter) continue;
    if (homes_[id].where != Home::kNone) continue;
    if (can_trap(node) || node.op == Op::kExtension) return false;
    if (node.a != kNothing) pending[left++] = node.a;
    if (node.b != kNothing) pending[left++] = node.b;
  }
  return true;
}

bool X86Body::emit_region(PlanBlockId head) {
  const PlanBlock& first = plan_.blocks[head];
  if (first.kind != ExitKind::kTest && first.kind != ExitKind::kSet) return false;
  if ((free_registers_ & kBitHomes) != kBitHomes) return false;
  Region region;
  if (!plan_region(head, region)) return false;
  if (head < costs_.size() && cost_of_branches(head) < kCyclesOfWork * static_cast<float>(region.work)) return false;
  for (const PlanBlockId id : region.blocks()) {
    const PlanBlock& block = plan_.blocks[id];
    if (!region_values_are_plain(block.lhs)) return false;
    if (block.kind == ExitKind::kTest && !region_values_are_plain(block.rhs)) return false;
    if (id == head) continue;
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g)
      if (plan_[plan_.guards[g]].a != kNothing && !region_values_are_plain(plan_[plan_.guards[g]].a)) return false;
  }
  // At most three outcomes live at once: walk it before anything is emitted.
  std::uint32_t live = 0;
  std::array<std::uint32_t, kMostBlocks> left = region.uses;
  for (std::size_t i = region.count; i-- > 0;) {
    const PlanBlock& block = plan_.blocks[region.tests[i]];
    for (const PlanBlockId next : {block.if_true.target, block.if_false.target})
      if (plan_.blocks[next].kind != ExitKind::kVerdict && --left[region.position(next)] == 0) --live;
    if (++live >= kBitRegisters) return false;
  }
  const Scope before{0, taken_.size(), free_registers_, first_free_word_};
  free_registers_ &= ~kBitHomes;
  region_length_ = known_length_[head];
  in_region_ = true;
  region_guards_.clear();
  for (const PlanBlockId id : region.blocks())
    if (id != head)
      for (std::uint32_t g = plan_.blocks[id].guards.begin; g < plan_.blocks[id].guards.end; ++g) {
        if (plan_[plan_.guards[g]].a == kNothing) continue;
        if (leaves()) {
          emit_guard(plan_.guards[g]);
        } else {
          region_guards_.push_back(plan_.guards[g]);
        }
      }
  for (std::size_t i = region.count; i-- > 0;) region_block(region.tests[i], region);
  in_region_ = false;
  leave_scope(before);
  const Gp bit = kBits[region.outcome[0]];
  if (std::has_single_bit(region.accept)) {
    if (region.accept != 1) a_.shl(bit, std::countr_zero(region.accept));
  } else {
    a_.neg(bit);
    a_.and_(bit, static_cast<std::int32_t>(region.accept));
  }
  a_.mov(x86::dword_ptr(x86::rbp, x86::r12, 2, 4 * packet_), bit);
  if (head == 0) {
    is_straight_ = true;
  } else {
    emit_next();
  }
  return true;
}

bool X86Body::may_lie_outside(NodeId load) const {
  if (!in_region_) return false;
  const Node& node = plan_[load];
  if (node.a == kNothing) return constant_extent(node) > region_length_;
  return std::find(region_guards_.begin(), region_guards_.end(), load) != region_guards_.end();
}

// rcx: the load's address, or that of the frame when it lies outside.
void X86Body::safe_address(const Node& load) {
  if (load.a == kNothing) {
    a_.lea(x86::rcx, x86::ptr(x86::rbx, static_cast<std::int32_t>(load.k)));
    a_.cmp(x86::r15d, static_cast<std::uint32_t>(constant_extent(load)));
    a_.cmovb(x86::rcx, x86::rsp);
    return;
  }
  operand_to(load.a, x86::ecx);
  if (load.k != 0) a_.add(x86::ecx, load.k);
  a_.lea(x86::rdx, x86::ptr(x86::rcx, load.size));
  a_.add(x86::rcx, x86::rbx);
  a_.cmp(x86::rdx, x86::r15);
  a_.cmova(x86::rcx, x86::rsp);
}

void X86Body::region_guard(const Node& load, Gp bit) {
  CondCode inside = CondCode::kAE;
  if (load.a == kNothing) {
    a_.cmp(x86::r15d, static_cast<std::uint32_t>(constant_extent(load)));
  } else {
    prepare(load.a);
    operand_to(load.a, x86::ecx);
    if (load.k != 0) a_.add(x86::ecx, load.k);
    a_.add(x86::rcx, load.size);
    a_.cmp(x86::rcx, x86::r15);
    inside = CondCode::kBE;
  }
  a_.set(inside, x86::al);
  a_.and_(bit.r8(), x86::al);
}

void X86Body::region_block(PlanBlockId id, Region& region) {
  const PlanBlock& block = plan_.blocks[id];
  if (id != region.head()) mark(block);
  const auto outcome = [&](PlanBlockId next) {
    const PlanBlock& after = plan_.blocks[next];
    if (after.kind == ExitKind::kVerdict) return plan_[after.lhs].k == 0 ? kFalse : kTrue;
    return region.outcome[region.position(next)];
  };
  // The last user of an outcome may overwrite it.
  const auto release = [&](PlanBlockId next) {
    if (plan_.blocks[next].kind == ExitKind::kVerdict) return false;
    const std::size_t at = region.position(next);
    if (--region.uses[at] != 0) return false;
    region.free |= 1u << region.outcome[at];
    return true;
  };
  const bool has_constants = plan_.blocks[block.if_true.target].kind == ExitKind::kVerdict &&
                             plan_.blocks[block.if_false.target].kind == ExitKind::kVerdict;
  const auto fresh = static_cast<std::uint32_t>(std::countr_zero(region.free));
  if (has_constants) a_.xor_(kBits[fresh], kBits[fresh]);  // before the flags are set
  CondCode condition = test(block);
  std::uint32_t if_true = outcome(block.if_true.target);
  std::uint32_t if_false = outcome(block.if_false.target);
  bool own_true = release(block.if_true.target);
  bool own_false = release(block.if_false.target);
  const auto take = [&] {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(region.free));
    return index;
  };
  std::uint32_t to = 0;
  if (if_true >= kFalse && if_false >= kFalse) {
    if (if_true == if_false) {  // tidy() leaves none, but for guards
      to = take();
      a_.mov(kBits[to], if_true == kTrue ? 1 : 0);
    } else {
      if (if_true == kFalse) condition = x86::negateCond(condition);
      to = take();
      a_.set(condition, kBits[to].r8());
    }
  } else if (if_true < kFalse && if_false < kFalse) {
    // Both are bits: choose. What may not be overwritten is copied; mov keeps the flags.
    to = own_false ? if_false : take();
    if (!own_false && own_true && to == if_true) {
      a_.cmov(x86::negateCond(condition), kBits[to], kBits[if_false]);
    } else {
      if (to != if_false) a_.mov(kBits[to], kBits[if_false]);
      a_.cmov(condition, kBits[to], kBits[if_true]);
    }
  } else {
    // One is a bit, the other constant: and, or or.
    const bool bit_on_true = if_true < kFalse;
    const std::uint32_t bit = bit_on_true ? if_true : if_false;
    const std::uint32_t constant = bit_on_true ? if_false : if_true;
    const bool own = bit_on_true ? own_true : own_false;
    // Constant false on the other side: bit and "we go to the bit". Constant true: bit or "we do not".
    if (bit_on_true == (constant == kTrue)) condition = x86::negateCond(condition);
    a_.set(condition, x86::al);
    to = own ? bit : take();
    if (to != bit) a_.mov(kBits[to], kBits[bit]);
    if (constant == kTrue) {
      a_.or_(kBits[to].r8(), x86::al);
    } else {
      a_.and_(kBits[to].r8(), x86::al);
    }
  }
  region.free &= ~(1u << to);
  if (id != region.head())
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g)
      if (plan_[plan_.guards[g]].a == kNothing || !leaves()) region_guard(plan_[plan_.guards[g]], kBits[to]);
  region.outcome[region.position(id)] = to;
}

}  // namespace weir::engine
