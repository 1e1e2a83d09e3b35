// The plan of a program: the form from which machine code is made. Exports Plan.
//
// A plan is a directed graph of blocks without cycles over hash-consed values: the same computation is one node,
// whichever block asks for it. Since packets do not change while they are filtered, each node but a phi is a pure
// function of the packet; a code generator may compute it where and as often as it likes. What may end the program is
// listed apart: a block's guards are the loads that may lie outside of the packet and the divisors that may be zero;
// when one fails the verdict is 0. Drawn numbers (`rand`) stand among the guards too: they cannot fail, but each is
// drawn once, where it stands, and is no function of the packet.
//
// Blocks are numbered so that every edge leads to a higher number; block 0 is the entry. Nodes are numbered so that
// operands come before their users. A phi has the value that the edge taken last assigned to it.
//
// Made from classic programs (plan_from_program.cpp) and flow graphs (plan_from_graph.cpp); rewritten by plan_passes.h.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/cbpf/instruction.h>
#include <weir/flow/graph.h>

namespace weir::engine {

using NodeId = std::uint32_t;
using PlanBlockId = std::uint32_t;
inline constexpr std::uint32_t kNothing = 0xffffffff;

// flow::Op without slots; kParameter is a phi, k its number. Operands are nodes.
using Node = flow::Value;

struct Assignment {
  NodeId phi = kNothing;
  NodeId value = kNothing;
};

// A slice of one of the plan's pools.
struct Slice {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool empty() const { return begin == end; }
};

struct PlanEdge {
  PlanBlockId target = kNothing;
  Slice assignments{};  // of Plan::assignments
};

struct PlanBlock {
  Slice guards{};  // of Plan::guards
  flow::ExitKind kind = flow::ExitKind::kVerdict;
  flow::Condition condition = flow::Condition::kEqual;
  NodeId lhs = kNothing;         // compared; or the verdict
  NodeId rhs = kNothing;         // kTest
  std::uint32_t set = kNothing;  // kSet: index of Plan::sets
  PlanEdge if_true{};
  PlanEdge if_false{};
  Slice instructions{};  // of the classic program: what the block was made from
};

struct Plan {
  std::vector<Node> nodes;
  std::vector<PlanBlock> blocks;
  std::vector<NodeId> guards;  // kLoad, kDivide, kModulo, drawn numbers
  std::vector<Assignment> assignments;
  std::vector<std::vector<flow::Range>> sets;  // sorted, disjoint, not adjacent
  std::uint32_t phi_count = 0;
  // Of joined plans (plan_passes.h) only: where each starts, and what several of them compute for every packet. Else
  // block 0 is the one entry.
  std::vector<PlanBlockId> entries;
  std::vector<NodeId> shared;

  const Node& operator[](NodeId id) const { return nodes[id]; }
  bool is_constant(NodeId id) const { return nodes[id].op == flow::Op::kConstant; }
};

// Bytes that a packet must have for a load at a constant offset; 0 for what is no such load.
inline std::uint64_t constant_extent(const Node& node) {
  return node.op == flow::Op::kLoad && node.a == kNothing ? std::uint64_t{node.k} + node.size : 0;
}

// Whether a block gives verdict 0 and does nothing else.
inline bool rejects(const Plan& plan, const PlanBlock& block) {
  return block.kind == flow::ExitKind::kVerdict && block.guards.empty() && plan.is_constant(block.lhs) &&
         plan[block.lhs].k == 0;
}

inline bool is_draw(const Node& node) {
  return node.op == flow::Op::kExtension && static_cast<cbpf::Extension>(node.k) == cbpf::Extension::kRandom;
}

// What a node is computed from: operands that are nodes.
inline NodeId first_operand(const Node& node) { return node.a; }
inline NodeId second_operand(const Node& node) { return is_draw(node) ? kNothing : node.b; }

// Drops blocks that cannot be reached, empty jumps and tests whose edges are the same, and numbers the rest anew.
void tidy(Plan& plan);

}  // namespace weir::engine
