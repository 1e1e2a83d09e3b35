// Decisions to a graph in the promoted form. Exports to_graph.
//
// Every block computes what it needs: first a load for each demand, then the operands of its exit, each expression
// once. A load that a demand of the block or facts have proven is marked as lying inside.
#include <algorithm>

#include "flow/decisions.h"
#include "flow/placement.h"

namespace weir::flow {
namespace {

class Restoring {
 public:
  explicit Restoring(const Decisions& decisions)
      : decisions_(decisions), value_of_(decisions.expressions.size(), kNone), made_in_(value_of_.size(), kNone) {}

  Graph run() {
    Scratch scratch;
    const ScratchVector<DecisionId> order = topological_order(decisions_, scratch);
    block_of_.assign(decisions_.all.size(), kNone);
    for (const DecisionId id : order) {
      block_of_[id] = graph_.add_block();
      for (const ExprId parameter : decisions_.list(decisions_[id].parameters)) {
        const auto k = static_cast<std::uint32_t>(graph_.blocks.back().parameters.size());
        value_of_[parameter] = graph_.add({.op = Op::kParameter, .k = k});
        graph_.blocks.back().parameters.push_back(value_of_[parameter]);
      }
    }
    for (const DecisionId id : order) restore(id);
    if (!order.empty()) graph_.entry = block_of_[decisions_.entry];
    return std::move(graph_);
  }

 private:
  ValueId operand(ExprId id) const { return id == kNone ? kNone : value_of_[id]; }

  // The value of an expression in the block at hand, with all operands. The stack is explicit: depth is bounded, but
  // large.
  ValueId value(ExprId root, bool inside) {
    pending_.assign(1, root);
    while (!pending_.empty()) {
      const ExprId id = pending_.back();
      const Expr& e = decisions_.expressions[id];
      if (e.op == Op::kParameter || made_in_[id] == block_) {
        pending_.pop_back();
        continue;
      }
      bool ready = true;
      for (const ExprId part : {e.a, e.b})
        if (part != kNone && decisions_.expressions[part].op != Op::kParameter && made_in_[part] != block_) {
          pending_.push_back(part);
          ready = false;
        }
      if (!ready) continue;
      pending_.pop_back();
      const bool proven = e.op == Op::kLoad && (inside || id != root);
      value_of_[id] = graph_.append(
          block_, {.op = e.op, .size = e.size, .inside = proven, .a = operand(e.a), .b = operand(e.b), .k = e.k});
      made_in_[id] = block_;
    }
    return value_of_[root];
  }

  // The load that the test begins with, if it reaches exactly as far as is demanded.
  ExprId reaching_load(const Decision& decision) const {
    if (decision.kind == ExitKind::kJump) return kNone;
    const Expressions& expressions = decisions_.expressions;
    ExprId id = decision.lhs;
    while (expressions[id].b != kNone && expressions.is_constant(expressions[id].b)) id = expressions[id].a;
    const Expr& e = expressions[id];
    return e.op == Op::kLoad && e.a == kNone && e.k + e.size == decision.need ? id : kNone;
  }

  void restore(DecisionId id) {
    const Decision& decision = decisions_[id];
    block_ = block_of_[id];
    if (decision.need != 0) {
      const ExprId load = reaching_load(decision);
      if (load != kNone) value(load, false);
      else graph_.append(block_, {.op = Op::kLoad, .size = 1, .k = decision.need - 1});
    }
    // Loads that a trap is made of are proven by the need above or by facts, or are traps themselves, made first.
    traps_.assign(decisions_.list(decision.traps).begin(), decisions_.list(decision.traps).end());
    std::sort(traps_.begin(), traps_.end());
    for (const ExprId trap : traps_) value(trap, false);
    const ValueId lhs = decision.kind == ExitKind::kJump ? kNone : value(decision.lhs, true);
    const ValueId rhs = decision.kind == ExitKind::kTest ? value(decision.rhs, true) : kNone;
    Edge if_true = edge(decision.if_true);
    Edge if_false = edge(decision.if_false);
    Exit& exit = graph_.blocks[block_].exit;
    exit.kind = decision.kind;
    exit.condition = decision.condition;
    exit.lhs = lhs;
    exit.rhs = rhs;
    if (decision.kind == ExitKind::kSet) {
      const auto set = decisions_.set(decision.set);
      exit.set.assign(set.begin(), set.end());
    }
    exit.if_true = std::move(if_true);
    exit.if_false = std::move(if_false);
  }

  Edge edge(const Way& way) {
    Edge out;
    if (way.to == kNone) return out;
    out.target = block_of_[way.to];
    for (const ExprId argument : decisions_.list(way.arguments)) out.arguments.push_back(value(argument, true));
    return out;
  }

  const Decisions& decisions_;
  Graph graph_;
  BlockId block_ = kNone;
  std::vector<BlockId> block_of_;  // by decision
  std::vector<ValueId> value_of_;  // by expression: the value made last
  std::vector<BlockId> made_in_;   // by expression: where that was
  std::vector<ExprId> pending_, traps_;
};

}  // namespace

Graph to_graph(const Decisions& decisions) {
  const auto hands_over_in_a_branch = [](const Decision& d) {
    return d.is_branch() && (!d.if_true.arguments.empty() || !d.if_false.arguments.empty());
  };
  if (std::none_of(decisions.all.begin(), decisions.all.end(), hands_over_in_a_branch))
    return Restoring(decisions).run();
  Decisions split = decisions;
  split_ways(split);
  return Restoring(split).run();
}

}  // namespace weir::flow
