// Liveness of parameters. Exports LiveParameters.
//
// One walk against the topological order. An expression's operands have lower numbers than itself, so one walk over all
// expressions finds the parameters in each.
#include "flow/live_parameters.h"

#include <algorithm>

namespace weir::flow {

void LiveParameters::find(const Decisions& decisions) {
  live_.clear();
  const bool any = std::any_of(decisions.all.begin(), decisions.all.end(),
                               [](const Decision& decision) { return !decision.parameters.empty(); });
  if (!any) return;
  const Expressions& expressions = decisions.expressions;
  in_.assign(expressions.size(), 0);
  std::uint32_t count = 0;
  for (ExprId id = 0; id < expressions.size(); ++id) {
    const Expr& e = expressions[id];
    if (e.op == Op::kParameter) {
      if (count == 64) return;
      in_[id] = std::uint64_t{1} << count++;
    }
    if (e.a != kNone) in_[id] |= in_[e.a];
    if (e.b != kNone) in_[id] |= in_[e.b];
  }
  live_.assign(decisions.all.size(), 0);
  for (auto id = static_cast<DecisionId>(decisions.all.size()); id-- > 0;) {
    if (decisions.ways_in[id] == 0) continue;
    const Decision& decision = decisions.all[id];
    std::uint64_t live = used_by(decisions, decision);
    for (const Way* way : {&decision.if_true, &decision.if_false}) {
      if (way->to == kNone) continue;
      live |= live_[way->to] & ~mask(decisions.list(decisions.all[way->to].parameters));
      live |= mask(decisions.list(way->arguments));
    }
    live_[id] = live;
  }
}

std::uint64_t LiveParameters::mask(std::span<const ExprId> parameters) const {
  std::uint64_t out = 0;
  for (const ExprId id : parameters) out |= in_[id];
  return out;
}

std::uint64_t LiveParameters::used_by(const Decisions& decisions, const Decision& decision) const {
  std::uint64_t out = mask(decisions.list(decision.traps));
  if (decision.kind != ExitKind::kJump) out |= in_[decision.lhs];
  if (decision.kind == ExitKind::kTest) out |= in_[decision.rhs];
  return out;
}

}  // namespace weir::flow
