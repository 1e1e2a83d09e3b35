// Homes of parameters and expressions. Exports Placement and split_ways.
//
// A parameter is needed from the first jump that hands it over, in the order of the code, to its last use; two that are
// needed at the same time have different homes, and nothing else is put into a home in between. That is coarse, since
// the order of the code is taken for time, but code that branches much has few parameters.
#include "flow/placement.h"

#include <algorithm>

namespace weir::flow {
namespace {

constexpr ExprId kSeveral = kNone - 1;

bool has_parameters(const Decisions& decisions) {
  return std::any_of(decisions.all.begin(), decisions.all.end(),
                     [](const Decision& decision) { return !decision.parameters.empty(); });
}

}  // namespace

void split_ways(Decisions& decisions) {
  const std::size_t count = decisions.all.size();
  std::vector<DecisionId> jumps;  // made here or found: jumps that demand nothing and hand something over
  const auto find = [&](const Way& way) {
    for (const DecisionId id : jumps) {
      const Way& known = decisions.all[id].if_true;
      const auto a = decisions.list(known.arguments), b = decisions.list(way.arguments);
      if (known.to == way.to && std::equal(a.begin(), a.end(), b.begin(), b.end())) return id;
    }
    return kNone;
  };
  for (std::size_t i = 0; i < count; ++i) {
    if (!decisions.all[i].is_branch()) continue;
    for (const bool side : {true, false}) {
      const Way way = side ? decisions.all[i].if_true : decisions.all[i].if_false;
      if (way.arguments.empty()) continue;
      DecisionId id = jumps.size() > 64 ? kNone : find(way);
      if (id == kNone) {
        Decision jump;
        jump.kind = ExitKind::kJump;
        jump.if_true = way;
        id = static_cast<DecisionId>(decisions.all.size());
        decisions.ordered = decisions.tidy = false;
        decisions.all.push_back(jump);
        jumps.push_back(id);
      }
      Decision& branch = decisions.all[i];
      (side ? branch.if_true : branch.if_false) = {id, {}};
    }
  }
}

// Every expression that the decision looks at, demands or hands over, with all operands, each once.
template <typename Visit>
void Placement::visit_expressions(const Decision& decision, Visit visit) {
  const Expressions& expressions = decisions_.expressions;
  ++round_;
  const auto add = [&](ExprId id) {
    if (id == kNone || seen_[id] == round_) return;
    seen_[id] = round_;
    pending_.push_back(id);
  };
  if (decision.kind != ExitKind::kJump) add(decision.lhs);
  if (decision.kind == ExitKind::kTest) add(decision.rhs);
  for (const ExprId trap : decisions_.list(decision.traps)) add(trap);
  for (const ExprId argument : decisions_.list(decision.if_true.arguments)) add(argument);
  while (!pending_.empty()) {
    const ExprId id = pending_.back();
    pending_.pop_back();
    visit(id);
    add(expressions[id].a);
    add(expressions[id].b);
  }
}

void Placement::place_parameters(bool hopeful) {
  home.assign(decisions_.expressions.size(), kNoHome);
  free_words = 0xffff;
  x_taken_.clear();
  if (!has_parameters(decisions_)) {
    needs_x.assign(decisions_.all.size(), true);
    ways_in.assign(decisions_.all.size(), 2);
    return;
  }
  seen_.assign(decisions_.expressions.size(), 0);
  find_needs();
  find_intervals();
  parameters_.clear();
  for (DecisionId id = 0; id < decisions_.all.size(); ++id)
    for (const ExprId parameter : decisions_.list(decisions_.all[id].parameters))
      parameters_.push_back({parameter, id});
  for (const auto& [p, owner] : parameters_) {
    if (fits_a(owner, p)) home[p] = kInA;
    else if (fits_x(p, hopeful)) home[p] = kInX;
    if (home[p] != kInX) continue;
    if (x_taken_.empty()) x_taken_.assign(decisions_.all.size(), false);
    std::fill(x_taken_.begin() + interval_[p].from, x_taken_.begin() + interval_[p].to + 1, true);
  }
  for (const auto& [p, owner] : parameters_) {
    if (home[p] != kNoHome || interval_[p].to == 0) continue;
    std::uint32_t taken = 0;
    for (const auto& [q, owner_of_q] : parameters_)
      if (home[q] < cbpf::kScratchWords && interval_[q].from <= interval_[p].to && interval_[p].from <= interval_[q].to)
        taken |= 1u << home[q];
    std::uint32_t word = 0;
    while (word < cbpf::kScratchWords && (taken >> word & 1) != 0) ++word;
    if (word == cbpf::kScratchWords) return;
    home[p] = static_cast<std::uint8_t>(word);
    free_words &= ~(1u << word);
  }
}

// What X is used for in each decision, and whether its content matters from there on.
void Placement::find_needs() {
  const Expressions& expressions = decisions_.expressions;
  const auto count = static_cast<DecisionId>(decisions_.all.size());
  ways_in.assign(count, 0);
  needs_x.assign(count, false);
  uses_x_for_.assign(count, kNone);
  for (DecisionId id = count; id-- > 0;) {
    const Decision& decision = decisions_.all[id];
    ExprId& uses = uses_x_for_[id];
    const auto use = [&](ExprId e) { uses = uses == kNone || uses == e ? e : kSeveral; };
    visit_expressions(decision, [&](ExprId each) {
      const Expr& e = expressions[each];
      if (e.op == Op::kLoad && e.a != kNone) use(e.a);
      if ((e.op >= Op::kAdd || e.op == Op::kExtension) && e.b != kNone && !expressions.is_constant(e.b)) use(kSeveral);
    });
    if (decision.kind == ExitKind::kTest && !expressions.is_constant(decision.rhs)) use(kSeveral);
    bool below = false;
    for (const Way* way : {&decision.if_true, &decision.if_false})
      if (way->to != kNone) {
        ++ways_in[way->to];
        below = below || needs_x[way->to];
      }
    // A jump that hands over one value made without X has no use for what X held, if that is all that X is needed for.
    const bool sets_anew = decision.kind == ExitKind::kJump && decision.if_true.arguments.count == 1 && uses == kNone;
    needs_x[id] = uses != kNone || (below && !sets_anew);
  }
}

void Placement::find_intervals() {
  interval_.assign(decisions_.expressions.size(), {});
  for (DecisionId id = 0; id < decisions_.all.size(); ++id) {
    visit_expressions(decisions_.all[id], [&](ExprId e) {
      if (decisions_.expressions[e].op == Op::kParameter) interval_[e].to = std::max(interval_[e].to, id);
    });
    const Way& way = decisions_.all[id].if_true;
    if (way.arguments.empty()) continue;
    for (const ExprId parameter : decisions_.list(decisions_.all[way.to].parameters))
      interval_[parameter].from = std::min(interval_[parameter].from, id);
  }
}

bool Placement::fits_x(ExprId parameter, bool hopeful) const {
  const Interval& mine = interval_[parameter];
  if (mine.to == 0 || mine.from > mine.to) return false;
  for (std::uint32_t at = mine.from; at < mine.to + (hopeful ? 0 : 1); ++at)
    if (uses_x_for_[at] != kNone && uses_x_for_[at] != parameter) return false;
  for (const auto& [other, owner] : parameters_)
    if (home[other] == kInX && interval_[other].from <= mine.to && mine.from <= interval_[other].to) return false;
  return true;
}

// The parameter is what the decision's own test compares, and nothing looks at it later.
bool Placement::fits_a(DecisionId id, ExprId parameter) const {
  const Decision& decision = decisions_.all[id];
  if (decision.lhs != parameter || !decision.is_branch() || decision.demands()) return false;
  if (decision.kind == ExitKind::kTest && !decisions_.expressions.is_constant(decision.rhs)) return false;
  if (interval_[parameter].to != id) return false;
  return std::none_of(decisions_.list(decision.parameters).begin(), decisions_.list(decision.parameters).end(),
                      [&](ExprId other) { return home[other] == kInA; });
}

void Placement::find_last_uses() {
  last_use_.assign(decisions_.expressions.size(), 0);
  seen_.assign(decisions_.expressions.size(), 0);
  round_ = 0;
  for (DecisionId id = 0; id < decisions_.all.size(); ++id)
    visit_expressions(decisions_.all[id], [&](ExprId e) { last_use_[e] = id; });
}

bool Placement::give_word(ExprId e) {
  std::uint32_t word = 0;
  while (word < cbpf::kScratchWords && (free_words >> word & 1) == 0) ++word;
  if (word + 1 >= cbpf::kScratchWords) return false;  // one is left for temporaries
  home[e] = static_cast<std::uint8_t>(word);
  free_words &= ~(1u << word);
  with_words_.push_back(e);
  return true;
}

void Placement::take_back(ExprId e) {
  free_words |= 1u << home[e];
  home[e] = kNoHome;
  with_words_.pop_back();
}

void Placement::mark_kept(DecisionId id, ScratchVector<bool>& keep) const {
  for (const ExprId e : with_words_) keep[e] = last_use_[e] > id;
}

}  // namespace weir::flow
