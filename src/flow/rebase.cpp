// Places that are chosen from constants start from the least. Exports rebase.
//
// Where an 802.11 header has 24 bytes or 26, what follows is loaded at [q + k] with q 24 or 26. X starts as 0, so q is
// better 0 or 2, with 24 more in every k: one way then has nothing to do. A parameter is rebased where all that it is
// given are constants, and it serves for nothing but the places of loads, alone or with something added.
#include <algorithm>

#include "base/scratch.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

class Rebasing {
 public:
  explicit Rebasing(Decisions& decisions) : decisions_(decisions) { decisions.count_ways_in(); }

  bool run() {
    find_used();
    find_candidates();
    bool changed = false;
    for (const ExprId parameter : candidates_)
      if (least_[parameter] != 0 && least_[parameter] != kNone && serves_for_places(parameter)) {
        less_[parameter] = least_[parameter];
        changed = true;
      }
    if (changed) rewrite();
    return changed;
  }

 private:
  template <typename Visit>
  void visit_live(Visit visit) {
    for (DecisionId id = decisions_.entry; id < decisions_.all.size(); ++id)
      if (decisions_.ways_in[id] != 0) visit(decisions_.all[id]);
  }

  // Which expressions decisions look at, with all operands; those looked at as they are serve for more than places.
  void find_used() {
    used_.assign(decisions_.expressions.size(), 0);
    const auto whole = [&](ExprId id) {
      if (id != kNone) used_[id] = kWhole;
    };
    visit_live([&](const Decision& d) {
      if (d.kind != ExitKind::kJump) whole(d.lhs);
      if (d.kind == ExitKind::kTest) whole(d.rhs);
      for (const ExprId trap : decisions_.list(d.traps)) whole(trap);
      for (const Way* way : {&d.if_true, &d.if_false})
        for (const ExprId argument : decisions_.list(way->arguments)) whole(argument);
    });
    for (auto id = static_cast<ExprId>(used_.size()); id-- > 0;) {
      if (used_[id] == 0) continue;
      const Expr& e = decisions_.expressions[id];
      // A sum that is a place makes its parts parts of a place.
      const bool sum = e.op == Op::kAdd && used_[id] == kPlace;
      for (const ExprId part : {e.a, e.b}) {
        if (part == kNone) continue;
        const bool place = (e.op == Op::kLoad || sum) && used_[part] != kWhole;
        used_[part] = place ? kPlace : kWhole;
      }
    }
  }

  void find_candidates() {
    least_.assign(decisions_.expressions.size(), kNone);
    less_.assign(decisions_.expressions.size(), 0);
    visit_live([&](const Decision& d) {
      for (const ExprId parameter : decisions_.list(d.parameters)) candidates_.push_back(parameter);
      for (const Way* way : {&d.if_true, &d.if_false}) {
        if (way->to == kNone) continue;
        const auto parameters = decisions_.list(decisions_.all[way->to].parameters);
        const auto arguments = decisions_.list(way->arguments);
        for (std::size_t i = 0; i < arguments.size(); ++i) {
          ExprId& least = least_[parameters[i]];
          const bool constant = decisions_.expressions.is_constant(arguments[i]);
          least = constant ? std::min(least, decisions_.expressions[arguments[i]].k) : 0;
        }
      }
    });
  }

  bool serves_for_places(ExprId parameter) const { return used_[parameter] == kPlace; }

  // Every expression with its parameters as sums, from the operands up.
  void rewrite() {
    Expressions& expressions = decisions_.expressions;
    const auto count = static_cast<ExprId>(expressions.size());
    renamed_.resize(count);
    for (ExprId id = 0; id < count; ++id) {
      const Expr e = expressions[id];
      renamed_[id] = id;
      if (used_[id] == 0) continue;
      const ExprId a = e.a == kNone ? kNone : renamed_[e.a], b = e.b == kNone ? kNone : renamed_[e.b];
      if (e.op == Op::kParameter && less_[id] != 0)
        renamed_[id] = expressions.binary(Op::kAdd, id, expressions.constant(less_[id]));
      else if (a == e.a && b == e.b) continue;
      else if (e.op == Op::kLoad) renamed_[id] = expressions.load(e.size, a, e.k);
      else if (e.op == Op::kNegate) renamed_[id] = expressions.negate(a);
      else if (e.op == Op::kExtension) renamed_[id] = expressions.extension(e.k, a, b);
      else if (e.op == Op::kAdd) renamed_[id] = add(a, b);
      else renamed_[id] = expressions.binary(e.op, a, b);
    }
    for (Decision& d : decisions_.all) rename(d);
  }

  // A constant in the second of them moves outward, where loads take it.
  ExprId add(ExprId a, ExprId b) {
    Expressions& expressions = decisions_.expressions;
    ExprId more = kNone;
    const auto strip = [&](ExprId id) {
      const Expr e = expressions[id];
      if (e.op != Op::kAdd || !expressions.is_constant(e.b)) return id;
      more = more == kNone ? e.b : expressions.binary(Op::kAdd, more, e.b);
      return e.a;
    };
    const ExprId x = strip(a), y = strip(b);
    const ExprId sum = expressions.binary(Op::kAdd, x, y);
    return more == kNone ? sum : expressions.binary(Op::kAdd, sum, more);
  }

  Slice rename(Slice list) {
    if (list.empty()) return list;
    const auto old = decisions_.list(list);
    std::vector<ExprId> made;
    for (const ExprId id : old) made.push_back(renamed_[id]);
    return decisions_.keep(made);
  }

  void rename(Decision& d) {
    if (d.kind != ExitKind::kJump && d.lhs != kNone) d.lhs = renamed_[d.lhs];
    if (d.kind == ExitKind::kTest && d.rhs != kNone) d.rhs = renamed_[d.rhs];
    d.traps = rename(d.traps);
    for (Way* way : {&d.if_true, &d.if_false}) {
      if (way->to == kNone || way->arguments.empty()) continue;
      const auto parameters = decisions_.list(decisions_.all[way->to].parameters);
      std::vector<ExprId> made;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const ExprId argument = decisions_.list(way->arguments)[i];
        const std::uint32_t less = less_[parameters[i]];
        made.push_back(less == 0 ? renamed_[argument]
                                 : decisions_.expressions.constant(decisions_.expressions[argument].k - less));
      }
      way->arguments = decisions_.keep(made);
    }
  }

  enum Use : std::uint8_t { kPlace = 1, kWhole = 2 };

  Decisions& decisions_;
  Scratch scratch_;
  ScratchVector<std::uint8_t> used_{scratch_};    // by expression: 0, or how
  ScratchVector<std::uint32_t> least_{scratch_};  // by expression, of parameters: what is given at least; 0: unknown
  ScratchVector<std::uint32_t> less_{scratch_};   // by expression, of parameters: by how much they are rebased
  std::vector<ExprId> renamed_;                   // by expression
  std::vector<ExprId> candidates_;
};

}  // namespace

bool rebase(Decisions& decisions) {
  const auto has_parameters = [](const Decision& decision) { return !decision.parameters.empty(); };
  if (std::none_of(decisions.all.begin(), decisions.all.end(), has_parameters)) return false;
  return Rebasing(decisions).run();
}

}  // namespace weir::flow
