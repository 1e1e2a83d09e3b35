// Keeping lists, walking decisions, and the text-book forms of tests. Exports what decisions.h declares, but for the
// ways from and to graphs.
//
// Comparisons with a constant become membership of the simplest expression in a set: arithmetic that can be undone is
// moved into the set ((x >> 4) == 3 is x in 0x30-0x3f), a mask that keeps high bits makes ranges (nets), and masks
// compared with 0 become tests of bits.
#include "flow/decisions.h"

#include <algorithm>
#include <bit>

namespace weir::flow {

Slice Decisions::keep(std::span<const ExprId> list) {
  const Slice out{static_cast<std::uint32_t>(lists.size()), static_cast<std::uint32_t>(list.size())};
  lists.insert(lists.end(), list.begin(), list.end());
  return out;
}

Slice Decisions::keep(std::span<const Range> set) {
  const Slice out{static_cast<std::uint32_t>(ranges.size()), static_cast<std::uint32_t>(set.size())};
  ranges.insert(ranges.end(), set.begin(), set.end());
  return out;
}

void Decisions::count_ways_in() {
  ways_in.assign(all.size(), 0);
  if (entry == kNone) return;
  ways_in[entry] = 1;
  for (DecisionId id = entry; id < all.size(); ++id) {
    if (ways_in[id] == 0) continue;
    const Decision& decision = all[id];
    if (decision.if_true.to != kNone) ++ways_in[decision.if_true.to];
    if (decision.if_false.to != kNone) ++ways_in[decision.if_false.to];
  }
}

void order_decisions(Decisions& decisions) {
  Scratch scratch;
  const ScratchVector<DecisionId> order = topological_order(decisions, scratch);
  ScratchVector<DecisionId> name(decisions.all.size(), kNone, scratch);
  ScratchVector<Decision> ordered(scratch);
  ordered.reserve(order.size());
  for (const DecisionId id : order) {
    name[id] = static_cast<DecisionId>(ordered.size());
    ordered.push_back(decisions.all[id]);
  }
  for (Decision& decision : ordered)
    for (Way* way : {&decision.if_true, &decision.if_false})
      if (way->to != kNone) way->to = name[way->to];
  decisions.all.assign(ordered.begin(), ordered.end());
  if (decisions.entry != kNone) decisions.entry = name[decisions.entry];
  decisions.ordered = decisions.tidy = true;
}

ScratchVector<DecisionId> topological_order(const Decisions& decisions, Scratch& scratch) {
  ScratchVector<DecisionId> order(scratch);
  order.reserve(decisions.all.size());
  ScratchVector<std::uint8_t> state(decisions.all.size(), 0, scratch);
  ScratchVector<DecisionId> stack(scratch);
  stack.reserve(decisions.all.size());
  const auto visit = [&](DecisionId id) {
    if (id == kNone || state[id] != 0) return;
    state[id] = 1;
    stack.push_back(id);
  };
  visit(decisions.entry);
  while (!stack.empty()) {
    const DecisionId id = stack.back();
    const Decision& decision = decisions.all[id];
    switch (state[id]++) {
      case 1: visit(decision.if_false.to); break;
      case 2: visit(decision.if_true.to); break;
      default: order.push_back(id); stack.pop_back();
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

namespace {

// Moves a set by a constant, around the end of the numbers.
void shift_set(Ranges& set, std::uint32_t by) {
  const std::size_t count = set.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Range moved{set[i].first + by, set[i].last + by};
    if (moved.first <= moved.last) {
      set[i] = moved;
    } else {
      set[i] = {moved.first, kLastNumber};
      set.push_back({0, moved.last});
    }
  }
  normalise(set);
}

// Numbers whose quotient by `unit` lies in the set, of numbers up to `high`.
void scale_up(Ranges& set, std::uint64_t unit) {
  std::size_t kept = 0;
  for (const Range range : set) {
    const std::uint64_t first = range.first * unit;
    const std::uint64_t last = range.last * unit + (unit - 1);
    if (first > kLastNumber) continue;
    set[kept++] = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(std::min<std::uint64_t>(last, kNone))};
  }
  set.resize(kept);
  normalise(set);
}

// Numbers that `unit` times give one in the set.
void scale_down(Ranges& set, std::uint64_t unit) {
  std::size_t kept = 0;
  for (const Range range : set) {
    const std::uint64_t first = (range.first + unit - 1) / unit;
    const std::uint64_t last = range.last / unit;
    if (first <= last) set[kept++] = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)};
  }
  set.resize(kept);
  normalise(set);
}

// Extends the set over numbers that the expression cannot have, and says whether anything is left to ask.
bool is_decided(const Known& known, Test& out) {
  Ranges& set = out.set;
  std::size_t from = 0;
  while (from < set.size() && set[from].last < known.low) ++from;
  std::size_t to = set.size();
  while (to > from && set[to - 1].first > known.high) --to;
  if (from == to) {
    out.kind = Test::kNever;
    return true;
  }
  set.resize(to);
  set.erase(set.begin(), set.begin() + static_cast<std::ptrdiff_t>(from));
  if (set.front().first <= known.low) set.front().first = 0;
  if (set.back().last >= known.high) set.back().last = kLastNumber;
  if (is_all(set)) out.kind = Test::kAlways;
  return out.kind == Test::kAlways;
}

void bits_set(Expressions& expressions, ExprId lhs, std::uint32_t mask, Test& out) {
  for (;;) {
    mask &= ~expressions.known(lhs).zeros;
    const Expr& e = expressions[lhs];
    if (e.b == kNone || !expressions.is_constant(e.b)) break;
    const std::uint32_t k = expressions[e.b].k;
    if (e.op == Op::kAnd) mask &= k;
    else if (e.op == Op::kShiftRight && (mask << k) >> k == mask) mask <<= k;
    else if (e.op == Op::kShiftLeft) mask >>= k;
    else break;
    lhs = e.a;
  }
  if (mask == 0) {
    out.kind = Test::kNever;
  } else if ((mask & expressions.known(lhs).ones) != 0) {
    out.kind = Test::kAlways;
  } else if ((mask | expressions.known(lhs).zeros) == kNone) {
    out.kind = Test::kMember;
    out.lhs = lhs;
    out.set.assign(1, {1, kLastNumber});
    simplify_member(expressions, out);
  } else {
    out.kind = Test::kGeneral;
    out.condition = Condition::kBitsSet;
    out.lhs = lhs;
    out.rhs = expressions.constant(mask);
  }
}

// One step of moving arithmetic from the expression into the set. False where there is none.
bool undo_step(Expressions& expressions, Test& out) {
  const Expr e = expressions[out.lhs];
  if (e.b == kNone || !expressions.is_constant(e.b)) return false;
  const std::uint32_t k = expressions[e.b].k;
  const Known& inner = expressions.known(e.a);
  switch (e.op) {
    case Op::kAdd: shift_set(out.set, 0u - k); break;
    case Op::kShiftRight: scale_up(out.set, std::uint64_t{1} << k); break;
    case Op::kDivide: scale_up(out.set, k); break;
    case Op::kShiftLeft:
      if ((std::uint64_t{inner.high} << k) >> 32 != 0) return false;
      scale_down(out.set, std::uint64_t{1} << k);
      break;
    case Op::kMultiply:
      if (std::uint64_t{inner.high} * k >> 32 != 0) return false;
      scale_down(out.set, k);
      break;
    case Op::kXor:
      if (out.set.size() != 1 || out.set[0].first != out.set[0].last) return false;
      out.set[0].first = out.set[0].last = out.set[0].first ^ k;
      break;
    case Op::kAnd: {
      const std::uint32_t dropped = ~(k | inner.zeros);
      if (!std::has_single_bit(std::uint64_t{dropped} + 1)) return false;
      const std::uint64_t unit = std::uint64_t{dropped} + 1;
      scale_down(out.set, unit);
      scale_up(out.set, unit);
      break;
    }
    default: return false;
  }
  out.lhs = e.a;
  return true;
}

// x & mask in {0}, in {mask} of one bit, or in everything but 0: a test of bits.
bool as_bits(Expressions& expressions, Test& out) {
  const Expr e = expressions[out.lhs];
  if (e.op != Op::kAnd || !expressions.is_constant(e.b) || out.set.size() != 1) return false;
  const std::uint32_t mask = expressions[e.b].k;
  const Range range = out.set[0];
  const bool not_zero = range.first == 1 && range.last == kLastNumber;
  const bool zero = range.first == 0 && range.last == 0;
  const bool whole_bit = std::has_single_bit(mask) && range.first != 0 && range.first <= mask && range.last >= mask;
  if (!not_zero && !zero && !whole_bit) return false;
  if (zero) out.negated = !out.negated;
  bits_set(expressions, e.a, mask, out);
  return true;
}

}  // namespace

void simplify_member(Expressions& expressions, Test& out) {
  out.kind = Test::kMember;
  do {
    if (out.set.empty()) {
      out.kind = Test::kNever;
      return;
    }
    if (as_bits(expressions, out)) return;
    if (is_decided(expressions.known(out.lhs), out)) return;
  } while (undo_step(expressions, out));
  if (out.set.front().first == 0) {
    complement(out.set, out.scratch);
    out.set.swap(out.scratch);
    out.negated = !out.negated;
  }
}

namespace {

bool with_constant(Expressions& expressions, Condition condition, ExprId lhs, std::uint32_t k, Test& out) {
  out.lhs = lhs;
  switch (condition) {
    case Condition::kEqual: out.set.assign(1, {k, k}); break;
    case Condition::kGreater:
      if (k == kLastNumber) {
        out.kind = Test::kNever;
        return true;
      }
      out.set.assign(1, {k + 1, kLastNumber});
      break;
    case Condition::kGreaterOrEqual: out.set.assign(1, {k, kLastNumber}); break;
    case Condition::kBitsSet: bits_set(expressions, lhs, k, out); return true;
  }
  simplify_member(expressions, out);
  return true;
}

// What bounds say of a test of two expressions.
bool by_bounds(const Known& a, const Known& b, Condition condition, Test& out) {
  bool always = false, never = false;
  switch (condition) {
    case Condition::kEqual:
      never = a.high < b.low || a.low > b.high || (a.zeros & b.ones) != 0 || (a.ones & b.zeros) != 0;
      break;
    case Condition::kGreater:
      always = a.low > b.high;
      never = a.high <= b.low;
      break;
    case Condition::kGreaterOrEqual:
      always = a.low >= b.high;
      never = a.high < b.low;
      break;
    case Condition::kBitsSet:
      always = (a.ones & b.ones) != 0;
      never = (~a.zeros & ~b.zeros) == 0;
      break;
  }
  if (always || never) out.kind = always ? Test::kAlways : Test::kNever;
  return always || never;
}

}  // namespace

void simplify_test(Expressions& expressions, Condition condition, ExprId lhs, ExprId rhs, Test& out) {
  out.kind = Test::kGeneral;
  out.negated = false;
  out.set.clear();
  if (expressions.is_constant(rhs)) {
    with_constant(expressions, condition, lhs, expressions[rhs].k, out);
    return;
  }
  const bool symmetric = condition == Condition::kEqual || condition == Condition::kBitsSet;
  if (expressions.is_constant(lhs)) {
    const std::uint32_t k = expressions[lhs].k;
    if (symmetric) {
      with_constant(expressions, condition, rhs, k, out);
    } else {  // k > x is not x >= k
      const Condition turned = condition == Condition::kGreater ? Condition::kGreaterOrEqual : Condition::kGreater;
      out.negated = true;
      with_constant(expressions, turned, rhs, k, out);
    }
    return;
  }
  if (lhs == rhs && condition != Condition::kBitsSet) {
    out.kind = condition == Condition::kGreater ? Test::kNever : Test::kAlways;
    return;
  }
  if (by_bounds(expressions.known(lhs), expressions.known(rhs), condition, out)) return;
  if (symmetric && lhs > rhs) std::swap(lhs, rhs);
  out.condition = condition;
  out.lhs = lhs;
  out.rhs = rhs;
}

void set_exit(Decisions& decisions, Decision& decision, const Test& test) {
  if (test.negated) std::swap(decision.if_true, decision.if_false);
  switch (test.kind) {
    case Test::kAlways:
    case Test::kNever:
      decision.kind = ExitKind::kJump;
      if (test.kind == Test::kNever) decision.if_true = decision.if_false;
      decision.if_false = {};
      break;
    case Test::kMember:
      decision.kind = ExitKind::kSet;
      decision.lhs = test.lhs;
      decision.rhs = kNone;
      decision.set = decisions.keep(test.set);
      break;
    case Test::kGeneral:
      decision.kind = ExitKind::kTest;
      decision.condition = test.condition;
      decision.lhs = test.lhs;
      decision.rhs = test.rhs;
      break;
  }
}

}  // namespace weir::flow
