// Nodes, folded and hash-consed; blocks; phis. Exports PlanBuilder.
#include "engine/plan_builder.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace weir::engine {
namespace {

using flow::Op;

constexpr std::uint64_t kBeyondEveryPacket = 0x7fffffff;
constexpr std::size_t kFirstTable = 128;  // places: a power of two

std::uint32_t hash_of(const Node& node) {
  std::uint64_t h = (std::uint64_t{node.k} << 32 | node.a) * 0x9e3779b97f4a7c15u;
  h ^= (std::uint64_t{node.b} << 16 | static_cast<std::uint64_t>(node.op) << 8 | node.size) * 0xc2b2ae3d27d4eb4fu;
  return static_cast<std::uint32_t>(h >> 32);
}

std::uint32_t compute(Op op, std::uint32_t a, std::uint32_t b) {
  switch (op) {
    case Op::kAdd: return a + b;
    case Op::kSubtract: return a - b;
    case Op::kMultiply: return a * b;
    case Op::kDivide: return a / b;
    case Op::kModulo: return a % b;
    case Op::kAnd: return a & b;
    case Op::kOr: return a | b;
    case Op::kXor: return a ^ b;
    case Op::kShiftLeft: return a << (b & 31);
    case Op::kShiftRight: return a >> (b & 31);
    default: return 0;
  }
}

bool compare(flow::Condition condition, std::uint32_t a, std::uint32_t b) {
  switch (condition) {
    case flow::Condition::kEqual: return a == b;
    case flow::Condition::kGreater: return a > b;
    case flow::Condition::kGreaterOrEqual: return a >= b;
    case flow::Condition::kBitsSet: return (a & b) != 0;
  }
  return false;
}

bool commutes(Op op) {
  return op == Op::kAdd || op == Op::kMultiply || op == Op::kAnd || op == Op::kOr || op == Op::kXor;
}

}  // namespace

PlanBuilder::PlanBuilder(std::span<const SlotMask> live_in, Scratch& scratch)
    : live_in_(live_in),
      table_(kFirstTable, 0, scratch),
      arrivals_(scratch),
      first_arrival_(live_in.size(), kNothing, scratch),
      arrival_values_(scratch),
      pending_(scratch) {
  plan_.blocks.resize(live_in.size());
  plan_.nodes.reserve(kFirstTable / 2);
  plan_.guards.reserve(live_in.size());
  arrivals_.reserve(2 * live_in.size());
  arrival_values_.reserve(2 * live_in.size());
}

void PlanBuilder::grow_table() {
  ScratchVector<std::uint32_t> bigger(table_.size() * 4, 0, table_.get_allocator());
  for (std::uint32_t id = 0; id < plan_.nodes.size(); ++id) {
    std::size_t at = hash_of(plan_.nodes[id]) & (bigger.size() - 1);
    while (bigger[at] != 0) at = (at + 1) & (bigger.size() - 1);
    bigger[at] = id + 1;
  }
  table_ = std::move(bigger);
}

NodeId PlanBuilder::node(Node value) {
  if ((plan_.nodes.size() + 1) * 2 > table_.size()) grow_table();
  std::size_t at = hash_of(value) & (table_.size() - 1);
  while (table_[at] != 0) {
    if (plan_.nodes[table_[at] - 1] == value) return table_[at] - 1;
    at = (at + 1) & (table_.size() - 1);
  }
  plan_.nodes.push_back(value);
  table_[at] = static_cast<std::uint32_t>(plan_.nodes.size());
  return static_cast<NodeId>(plan_.nodes.size() - 1);
}

NodeId PlanBuilder::load(NodeId base, std::uint32_t k, std::uint8_t size) {
  if (base != kNothing) {
    const Node& at = plan_.nodes[base];
    if (at.op == Op::kAdd && plan_.is_constant(at.b)) {
      k += plan_.nodes[at.b].k;
      base = at.a;
    } else if (at.op == Op::kConstant) {
      k += at.k;
      base = kNothing;
    }
  }
  return node({.op = Op::kLoad, .size = size, .a = base, .k = k});
}

NodeId PlanBuilder::unary(Op op, NodeId a) {
  if (plan_.is_constant(a)) return constant(0u - plan_.nodes[a].k);
  return node({.op = op, .a = a});
}

// Each `rand` is a draw of its own: b numbers the draws, so that none is shared.
NodeId PlanBuilder::extension(std::uint32_t number, NodeId a, NodeId b) {
  const bool draw = static_cast<cbpf::Extension>(number) == cbpf::Extension::kRandom;
  const NodeId id = node({.op = Op::kExtension, .a = a, .b = draw ? draws_++ : b, .k = number});
  if (draw) guard(id);
  return id;
}

// Folds with a constant on the right. Says whether `out` is the result; else op applies to a and b, perhaps changed.
bool PlanBuilder::fold_binary(Op op, NodeId& a, NodeId& b, NodeId& out) {
  const std::uint32_t k = plan_.nodes[b].k;
  const Node left = plan_.nodes[a];
  const bool nested = left.op == op && left.b != kNothing && plan_.is_constant(left.b);
  switch (op) {
    case Op::kAdd:
    case Op::kOr:
    case Op::kXor:
      if (k == 0) return out = a, true;
      break;
    case Op::kAnd:
      if (k == 0) return out = b, true;
      if (k == 0xffffffff) return out = a, true;
      if (left.op == Op::kLoad && left.size < 4 && (~k & ((1u << (8 * left.size)) - 1)) == 0) return out = a, true;
      break;
    case Op::kShiftLeft:
    case Op::kShiftRight:
      if ((k & 31) == 0) return out = a, true;
      if (k > 31) b = constant(k & 31);
      return false;
    default: return false;
  }
  if (!nested) return false;
  b = constant(compute(op, plan_.nodes[left.b].k, k));
  return out = binary(op, left.a, b), true;
}

NodeId PlanBuilder::binary(Op op, NodeId a, NodeId b) {
  if (commutes(op) && plan_.is_constant(a)) std::swap(a, b);
  if (plan_.is_constant(b)) {
    const std::uint32_t k = plan_.nodes[b].k;
    const bool divides = op == Op::kDivide || op == Op::kModulo;
    if (plan_.is_constant(a) && !(divides && k == 0)) return constant(compute(op, plan_.nodes[a].k, k));
    if (op == Op::kSubtract) return binary(Op::kAdd, a, constant(0u - k));
    if (std::has_single_bit(k)) {
      const auto log = static_cast<std::uint32_t>(std::countr_zero(k));
      if (op == Op::kMultiply) return binary(Op::kShiftLeft, a, constant(log));
      if (op == Op::kDivide) return binary(Op::kShiftRight, a, constant(log));
      if (op == Op::kModulo) return binary(Op::kAnd, a, constant(k - 1));
    }
    NodeId out = kNothing;
    if (fold_binary(op, a, b, out)) return out;
  }
  return node({.op = op, .a = a, .b = b});
}

void PlanBuilder::guard(NodeId id) {
  if (ended_) return;
  const Node& node = plan_.nodes[id];
  if (node.op == Op::kLoad) {
    if (node.a == kNothing && constant_extent(node) > kBeyondEveryPacket) ended_ = true;
  } else if (node.op == Op::kDivide || node.op == Op::kModulo) {
    if (plan_.is_constant(node.b)) {
      ended_ = plan_.nodes[node.b].k == 0;
      if (!ended_) return;
    }
  } else if (!is_draw(node)) {
    return;  // folded to what cannot fail
  }
  if (ended_) return;
  Slice& guards = plan_.blocks[now_].guards;
  for (std::uint32_t i = guards.begin; i < guards.end; ++i)
    if (plan_.guards[i] == id) return;
  plan_.guards.push_back(id);
  guards.end = static_cast<std::uint32_t>(plan_.guards.size());
}

bool PlanBuilder::begin(PlanBlockId block) {
  now_ = block;
  ended_ = false;
  const auto here = static_cast<std::uint32_t>(plan_.guards.size());
  plan_.blocks[block].guards = {here, here};
  if (block == 0) {
    const NodeId zero = constant(0);
    for (NodeId& slot : slots_) slot = zero;
    return true;
  }
  if (first_arrival_[block] == kNothing) return false;
  std::uint32_t position = 0;
  for (SlotMask live = live_in_[block]; live != 0; live &= live - 1, ++position) {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(live));
    const std::uint32_t first = first_arrival_[block];
    const NodeId value = arrival_values_[arrivals_[first].values + position];
    bool same = true;
    for (std::uint32_t i = arrivals_[first].next; i != kNothing && same; i = arrivals_[i].next)
      same = arrival_values_[arrivals_[i].values + position] == value;
    if (same) {
      slots_[index] = value;
      continue;
    }
    const NodeId phi = node({.op = Op::kParameter, .k = plan_.phi_count++});
    for (std::uint32_t i = first; i != kNothing; i = arrivals_[i].next)
      pending_.push_back(
          {arrivals_[i].from, arrivals_[i].true_edge, {phi, arrival_values_[arrivals_[i].values + position]}});
    slots_[index] = phi;
  }
  return true;
}

void PlanBuilder::arrive(PlanBlockId target, bool true_edge) {
  const auto values = static_cast<std::uint32_t>(arrival_values_.size());
  for (SlotMask live = live_in_[target]; live != 0; live &= live - 1)
    arrival_values_.push_back(slots_[std::countr_zero(live)]);
  arrivals_.push_back({now_, true_edge, values, first_arrival_[target]});
  first_arrival_[target] = static_cast<std::uint32_t>(arrivals_.size() - 1);
}

// A guard that can never hold: the block is verdict 0, whatever it was going to do.
void PlanBuilder::close() {
  PlanBlock& block = plan_.blocks[now_];
  block.kind = flow::ExitKind::kVerdict;
  block.guards.end = block.guards.begin;
  plan_.guards.resize(block.guards.begin);
  const NodeId zero = constant(0);
  plan_.blocks[now_].lhs = zero;
}

void PlanBuilder::end_with_verdict(NodeId value) {
  if (ended_) return close();
  plan_.blocks[now_].kind = flow::ExitKind::kVerdict;
  plan_.blocks[now_].lhs = value;
}

void PlanBuilder::end_with_jump(PlanBlockId target) {
  if (ended_) return close();
  plan_.blocks[now_].kind = flow::ExitKind::kJump;
  plan_.blocks[now_].if_true.target = target;
  arrive(target, true);
}

void PlanBuilder::end_with_test(flow::Condition condition, NodeId lhs, NodeId rhs, PlanBlockId if_true,
                                PlanBlockId if_false) {
  if (ended_) return close();
  if (if_true == if_false) return end_with_jump(if_true);
  if (plan_.is_constant(lhs) && plan_.is_constant(rhs))
    return end_with_jump(compare(condition, plan_.nodes[lhs].k, plan_.nodes[rhs].k) ? if_true : if_false);
  PlanBlock& block = plan_.blocks[now_];
  block.kind = flow::ExitKind::kTest;
  block.condition = condition;
  block.lhs = lhs;
  block.rhs = rhs;
  block.if_true.target = if_true;
  block.if_false.target = if_false;
  arrive(if_true, true);
  arrive(if_false, false);
}

void PlanBuilder::end_with_set(NodeId lhs, std::vector<flow::Range> set, PlanBlockId if_true, PlanBlockId if_false) {
  if (ended_) return close();
  if (if_true == if_false) return end_with_jump(if_true);
  PlanBlock& block = plan_.blocks[now_];
  block.kind = flow::ExitKind::kSet;
  block.lhs = lhs;
  block.set = static_cast<std::uint32_t>(plan_.sets.size());
  plan_.sets.push_back(std::move(set));
  block.if_true.target = if_true;
  block.if_false.target = if_false;
  arrive(if_true, true);
  arrive(if_false, false);
}

Plan PlanBuilder::finish() {
  if (!pending_.empty()) plan_.assignments.reserve(pending_.size());
  std::stable_sort(pending_.begin(), pending_.end(), [](const PendingAssignment& a, const PendingAssignment& b) {
    return a.from != b.from ? a.from < b.from : a.true_edge < b.true_edge;
  });
  for (const PendingAssignment& pending : pending_) {
    PlanBlock& from = plan_.blocks[pending.from];
    Slice& slice = (pending.true_edge ? from.if_true : from.if_false).assignments;
    const auto at = static_cast<std::uint32_t>(plan_.assignments.size());
    if (slice.empty()) slice.begin = at;
    slice.end = at + 1;
    plan_.assignments.push_back(pending.assignment);
  }
  tidy(plan_);
  return std::move(plan_);
}

}  // namespace weir::engine
