// Builds a plan block by block. Exports PlanBuilder, and the functions that make plans.
//
// The front ends (classic programs, flow graphs) walk their blocks in topological order and run each symbolically:
// what a slot (A, X, M[], a variable) holds is a node. Where paths with different nodes for a live slot join, the slot
// becomes a phi. Nodes are folded and hash-consed as they are made.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weir/cbpf/program.h>

#include "base/scratch.h"
#include "engine/plan.h"

namespace weir::engine {

inline constexpr std::uint32_t kMaximumPlanSlots = 64;
using SlotMask = std::uint64_t;

class PlanBuilder {
 public:
  // live_in[b]: the slots that block b or one after it reads before it writes them. Block 0 is the entry.
  PlanBuilder(std::span<const SlotMask> live_in, Scratch& scratch);

  // Nodes.
  NodeId constant(std::uint32_t k) { return node({.op = flow::Op::kConstant, .k = k}); }
  NodeId load(NodeId base, std::uint32_t k, std::uint8_t size);
  NodeId unary(flow::Op op, NodeId a);
  NodeId binary(flow::Op op, NodeId a, NodeId b);
  NodeId extension(std::uint32_t number, NodeId a, NodeId b);
  NodeId node(Node value);
  const Node& operator[](NodeId id) const { return plan_.nodes[id]; }

  // Blocks. begin() says whether the block is reached at all; slot() is then what holds at its entry.
  bool begin(PlanBlockId block);
  void made_from(Slice instructions) { plan_.blocks[now_].instructions = instructions; }
  NodeId slot(std::uint32_t index) const { return slots_[index]; }
  void set_slot(std::uint32_t index, NodeId value) { slots_[index] = value; }
  // The program ends here with 0 unless the node (a load, a division) can be computed; a drawn number is drawn here.
  void guard(NodeId id);
  bool ended() const { return ended_; }  // a guard can never hold: the verdict is 0 whatever follows
  void end_with_verdict(NodeId value);
  void end_with_jump(PlanBlockId target);
  void end_with_test(flow::Condition condition, NodeId lhs, NodeId rhs, PlanBlockId if_true, PlanBlockId if_false);
  void end_with_set(NodeId lhs, std::vector<flow::Range> set, PlanBlockId if_true, PlanBlockId if_false);

  Plan finish();

 private:
  struct Arrival {  // an edge that leads to a block: what it brings for each live slot
    PlanBlockId from;
    bool true_edge;
    std::uint32_t values;  // first of arrival_values_
    std::uint32_t next;    // the next arrival at the same block
  };
  void arrive(PlanBlockId target, bool true_edge);
  bool fold_binary(flow::Op op, NodeId& a, NodeId& b, NodeId& out);
  void grow_table();
  void close();

  Plan plan_;
  std::span<const SlotMask> live_in_;
  ScratchVector<std::uint32_t> table_;  // hash-consing: open addressing, node + 1
  ScratchVector<Arrival> arrivals_;
  ScratchVector<std::uint32_t> first_arrival_;
  ScratchVector<NodeId> arrival_values_;
  struct PendingAssignment {
    PlanBlockId from;
    bool true_edge;
    Assignment assignment;
  };
  ScratchVector<PendingAssignment> pending_;
  NodeId slots_[kMaximumPlanSlots];
  PlanBlockId now_ = 0;
  std::uint32_t draws_ = 0;
  bool ended_ = false;
};

Plan plan_of(const cbpf::Program& program);
// Nothing when the graph has more than kMaximumPlanSlots slots, or `outside` edges that do not lead to verdict 0.
std::optional<Plan> plan_of(const flow::Graph& graph);

}  // namespace weir::engine
