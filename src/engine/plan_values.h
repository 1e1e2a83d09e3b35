// Which nodes are worth keeping while a packet is filtered. Exports PlanValues and largest_values.
//
// A node is computed at its use, as a run of operations on one register whose right operands are constants or kept
// nodes. Kept (given a home, a register or a word of the stack) is therefore: what is used more than once, what is a
// right operand or an address, and every so-manyth node of a deep tree. A constant-offset load that is only compared
// for equality is read again instead: the comparison takes it from memory, in its own byte order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/scratch.h"
#include "engine/plan.h"

namespace weir::engine {

class PlanValues {
 public:
  PlanValues(const Plan& plan, Scratch& scratch);

  bool kept(NodeId id) const { return kept_[id] != 0; }
  std::uint32_t largest(NodeId id) const { return largest_[id]; }  // an upper bound of the node's value

 private:
  void count_uses(const Plan& plan, Scratch& scratch);

  ScratchVector<std::uint8_t> uses_;  // saturating
  ScratchVector<std::uint8_t> kept_;  // 0 or 1
  ScratchVector<std::uint32_t> largest_;
};

// What must be computed for `root`, in order of numbers: operands come before their users. is_there(id): whether a node
// is computed already. constants: whether those on the right are wanted too.
template <typename IsThere>
std::vector<NodeId> missing_for(const Plan& plan, NodeId root, bool constants, const IsThere& is_there) {
  std::vector<NodeId> wanted;
  std::vector<NodeId> pending{root};
  while (!pending.empty()) {
    const NodeId id = pending.back();
    pending.pop_back();
    if (is_there(id) || std::find(wanted.begin(), wanted.end(), id) != wanted.end()) continue;
    wanted.push_back(id);
    const Node& node = plan[id];
    if (node.op == flow::Op::kConstant || node.op == flow::Op::kParameter) continue;
    if (node.a != kNothing) pending.push_back(node.a);
    if (node.b != kNothing && (constants || !plan.is_constant(node.b))) pending.push_back(node.b);
  }
  std::sort(wanted.begin(), wanted.end());
  return wanted;
}

// An upper bound of each node's value.
ScratchVector<std::uint32_t> largest_values(const Plan& plan, Scratch& scratch);

// A test that compares bytes of the packet with constants and needs no byte swap: (load & mask) == value, or
// (load & mask) != 0. Mask and value are in host order, as in the plan.
struct RawTest {
  NodeId load = kNothing;  // kNothing: the test is not of this kind
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
  bool any_bit = false;  // kBitsSet
};
RawTest raw_test(const Plan& plan, const PlanBlock& block);

// The lowest `size` bytes of value, in the other byte order.
constexpr std::uint32_t swap_bytes(std::uint32_t value, std::uint32_t size) {
  return __builtin_bswap32(value) >> (32 - 8 * size);
}

}  // namespace weir::engine
