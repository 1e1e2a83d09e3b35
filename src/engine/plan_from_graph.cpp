// Flow graph to plan. Exports plan_of(graph).
//
// Both forms are taken. Slots of the plain form are slots here; a parameter of the promoted form is a slot of its own
// that each edge to its block sets, so that joins become phis in the same way. Edges taken by failed loads must lead to
// verdict 0, as all that weir makes do.
#include <bit>

#include "engine/plan_builder.h"

namespace weir::engine {
namespace {

using flow::BlockId;
using flow::ExitKind;
using flow::Op;
using flow::ValueId;

class FromGraph {
 public:
  explicit FromGraph(const flow::Graph& graph)
      : graph_(graph), order_(flow::topological_order(graph)), number_(graph.blocks.size(), kNothing) {}

  std::optional<Plan> run() {
    for (PlanBlockId i = 0; i < order_.size(); ++i) number_[order_[i]] = i;
    if (!number_slots() || !outside_is_verdict_0()) return std::nullopt;
    const std::vector<SlotMask> live = live_in();
    Scratch scratch;
    PlanBuilder builder(live, scratch);
    nodes_.assign(graph_.values.size(), kNothing);
    for (PlanBlockId i = 0; i < order_.size(); ++i)
      if (builder.begin(i)) run_block(builder, graph_.blocks[order_[i]]);
    return builder.finish();
  }

 private:
  bool number_slots() {
    std::size_t slots = graph_.slot_count;
    first_parameter_.assign(graph_.blocks.size(), 0);
    for (const BlockId id : order_) {
      const flow::Block& block = graph_.blocks[id];
      first_parameter_[id] = static_cast<std::uint32_t>(slots);
      slots += block.parameters.size();
      // Both edges into one block with parameters: they would bring different values at once.
      const flow::Exit& exit = block.exit;
      if (exit.if_true.target == exit.if_false.target && exit.if_true.arguments != exit.if_false.arguments)
        return false;
    }
    return slots <= kMaximumPlanSlots;
  }

  bool outside_is_verdict_0() const {
    for (const BlockId id : order_) {
      const BlockId outside = graph_.blocks[id].outside;
      if (outside == flow::kNone) continue;
      const flow::Block& target = graph_.blocks[outside];
      if (target.exit.kind != ExitKind::kVerdict || graph_[target.exit.lhs].op != Op::kConstant ||
          graph_[target.exit.lhs].k != 0)
        return false;
    }
    return true;
  }

  std::vector<SlotMask> live_in() const {
    std::vector<SlotMask> live(order_.size(), 0);
    for (auto i = static_cast<PlanBlockId>(order_.size()); i-- > 0;) {
      const flow::Block& block = graph_.blocks[order_[i]];
      SlotMask now = 0;
      for (const BlockId next : {block.exit.if_true.target, block.exit.if_false.target})
        if (next != flow::kNone) now |= live[number_[next]] & ~parameters_of(next);
      for (std::size_t v = block.values.size(); v-- > 0;) {
        const flow::Value& value = graph_[block.values[v]];
        if (value.op == Op::kSetSlot) now &= ~(SlotMask{1} << value.k);
        if (value.op == Op::kGetSlot) now |= SlotMask{1} << value.k;
      }
      live[i] = now | parameters_of(order_[i]);
    }
    return live;
  }

  SlotMask parameters_of(BlockId id) const {
    SlotMask mask = 0;
    for (std::size_t i = 0; i < graph_.blocks[id].parameters.size(); ++i)
      mask |= SlotMask{1} << (first_parameter_[id] + i);
    return mask;
  }

  void run_block(PlanBuilder& b, const flow::Block& block) {
    const BlockId id = static_cast<BlockId>(&block - graph_.blocks.data());
    for (std::size_t i = 0; i < block.parameters.size(); ++i)
      nodes_[block.parameters[i]] = b.slot(static_cast<std::uint32_t>(first_parameter_[id] + i));
    for (const ValueId value : block.values)
      if (graph_[value].op != Op::kParameter) nodes_[value] = compute(b, graph_[value]);
    const flow::Exit& exit = block.exit;
    for (const flow::Edge* edge : {&exit.if_true, &exit.if_false})
      for (std::size_t i = 0; i < edge->arguments.size(); ++i)
        b.set_slot(static_cast<std::uint32_t>(first_parameter_[edge->target] + i), nodes_[edge->arguments[i]]);
    switch (exit.kind) {
      case ExitKind::kVerdict: return b.end_with_verdict(nodes_[exit.lhs]);
      case ExitKind::kJump: return b.end_with_jump(number_[exit.if_true.target]);
      case ExitKind::kTest:
        return b.end_with_test(exit.condition, nodes_[exit.lhs], nodes_[exit.rhs], number_[exit.if_true.target],
                               number_[exit.if_false.target]);
      case ExitKind::kSet:
        return b.end_with_set(nodes_[exit.lhs], exit.set, number_[exit.if_true.target], number_[exit.if_false.target]);
    }
  }

  NodeId operand(ValueId value) const { return value == flow::kNone ? kNothing : nodes_[value]; }

  NodeId compute(PlanBuilder& b, const flow::Value& value) const {
    switch (value.op) {
      case Op::kConstant: return b.constant(value.k);
      case Op::kLoad: {
        const NodeId load = b.load(operand(value.a), value.k, value.size);
        b.guard(load);
        return load;
      }
      case Op::kLength: return b.node({.op = Op::kLength});
      case Op::kExtension: return b.extension(value.k, operand(value.a), operand(value.b));
      case Op::kGetSlot: return b.slot(value.k);
      case Op::kSetSlot: b.set_slot(value.k, operand(value.a)); return kNothing;
      case Op::kParameter: return kNothing;
      case Op::kNegate: return b.unary(value.op, operand(value.a));
      default: break;
    }
    const NodeId node = b.binary(value.op, operand(value.a), operand(value.b));
    if (value.op == Op::kDivide || value.op == Op::kModulo) b.guard(node);
    return node;
  }

  const flow::Graph& graph_;
  const std::vector<BlockId> order_;
  std::vector<PlanBlockId> number_;
  std::vector<std::uint32_t> first_parameter_;  // slot of each block's first parameter
  std::vector<NodeId> nodes_;                   // of each value
};

}  // namespace

std::optional<Plan> plan_of(const flow::Graph& graph) { return FromGraph(graph).run(); }

}  // namespace weir::engine
