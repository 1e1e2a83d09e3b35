// The rules of a graph, checked. Exports validate.
//
// Linear but for dominance: in the promoted form an operand must be defined in its block or in an earlier one of the
// topological order, which is necessary though not sufficient.
#include <fmt/format.h>

#include <weir/flow/graph.h>

namespace weir::flow {
namespace {

class Validator {
 public:
  explicit Validator(const Graph& graph) : graph_(graph), defined_(graph.values.size(), false) {}

  Status run() {
    if (graph_.entry >= graph_.blocks.size()) return fail("the graph has no entry");
    for (BlockId id = 0; id < graph_.blocks.size(); ++id) WEIR_CHECK(edges_in_range(id));
    const std::vector<BlockId> order = topological_order(graph_);
    std::vector<std::size_t> position(graph_.blocks.size(), order.size());
    for (std::size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
    for (const BlockId id : order) {
      for (const BlockId next : successors(id))
        if (next != kNone && position[next] <= position[id])
          return fail(fmt::format("block {} leads back to block {}", id, next));
      WEIR_CHECK(block(id));
    }
    return {};
  }

 private:
  std::vector<BlockId> successors(BlockId id) const {
    const Block& block = graph_.blocks[id];
    return {block.outside, block.exit.if_true.target, block.exit.if_false.target};
  }

  Status edges_in_range(BlockId id) const {
    const Exit& exit = graph_.blocks[id].exit;
    const bool one = exit.kind != ExitKind::kVerdict;
    const bool two = exit.kind == ExitKind::kTest || exit.kind == ExitKind::kSet;
    for (const BlockId next : successors(id))
      if (next != kNone && next >= graph_.blocks.size()) return fail(fmt::format("block {} leads to no block", id));
    if ((exit.if_true.target != kNone) != one || (exit.if_false.target != kNone) != two)
      return fail(fmt::format("block {} has edges that its exit does not take, or lacks some", id));
    return {};
  }

  Status operand(BlockId block, ValueId value) const {
    if (value == kNone || value >= graph_.values.size() || !defined_[value])
      return fail(fmt::format("block {} uses a value that is not defined before", block));
    return {};
  }

  Status block(BlockId id) {
    const Block& block = graph_.blocks[id];
    for (const ValueId parameter : block.parameters) defined_[parameter] = true;
    for (const ValueId value_id : block.values) {
      if (value_id >= graph_.values.size()) return fail(fmt::format("block {} holds no value {}", id, value_id));
      const Value& value = graph_[value_id];
      const bool binary = value.op >= Op::kAdd;
      const bool unary = value.op == Op::kNegate || value.op == Op::kSetSlot;
      if (binary || unary || value.a != kNone) WEIR_CHECK(operand(id, value.a));
      if (binary || value.b != kNone) WEIR_CHECK(operand(id, value.b));
      if (value.op == Op::kLoad && value.size != 1 && value.size != 2 && value.size != 4)
        return fail(fmt::format("block {} loads {} bytes", id, value.size));
      if ((value.op == Op::kGetSlot || value.op == Op::kSetSlot) && value.k >= graph_.slot_count)
        return fail(fmt::format("block {} uses slot {} of {}", id, value.k, graph_.slot_count));
      defined_[value_id] = value.op != Op::kSetSlot;
    }
    return exit(id, block.exit);
  }

  Status exit(BlockId id, const Exit& exit) const {
    if (exit.kind != ExitKind::kJump) WEIR_CHECK(operand(id, exit.lhs));
    if (exit.kind == ExitKind::kTest) WEIR_CHECK(operand(id, exit.rhs));
    for (std::size_t i = 0; i < exit.set.size(); ++i)
      if (exit.set[i].first > exit.set[i].last || (i > 0 && exit.set[i].first <= exit.set[i - 1].last))
        return fail(fmt::format("the set of block {} is not sorted", id));
    for (const Edge* edge : {&exit.if_true, &exit.if_false}) {
      if (edge->target == kNone) continue;
      if (edge->arguments.size() != graph_.blocks[edge->target].parameters.size())
        return fail(fmt::format("block {} gives block {} {} arguments", id, edge->target, edge->arguments.size()));
      for (const ValueId argument : edge->arguments) WEIR_CHECK(operand(id, argument));
    }
    return {};
  }

  const Graph& graph_;
  std::vector<bool> defined_;
};

}  // namespace

Status validate(const Graph& graph) { return Validator(graph).run(); }

}  // namespace weir::flow
