// Facts along paths. Exports Facts.
//
// An entry holds the possible values of one expression as a few ranges, and bits of it. A test on the expression cuts
// the ranges down; a test of bits adds bits; equality of a masked expression adds bits to what is masked. Questions
// about other expressions are answered from their operands. An indirect load proves those at the same base within its
// bytes, and where the base is bounded, that the packet reaches at least as far as the lowest address.
#include "flow/facts.h"

#include <algorithm>
#include <bit>

namespace weir::flow {

Facts& Facts::operator=(const Facts& other) {
  if (this == &other) return *this;
  need_ = other.need_;
  trap_count_ = other.trap_count_;
  entry_count_ = other.entry_count_;
  std::copy_n(other.traps_.begin(), trap_count_, traps_.begin());
  for (std::uint32_t i = 0; i < entry_count_; ++i) {
    const Entry& from = other.entries_[i];
    Entry& to = entries_[i];
    to.expr = from.expr;
    to.count = from.count;
    to.zeros = from.zeros;
    to.ones = from.ones;
    to.some = from.some;
    std::copy_n(from.ranges.begin(), from.count, to.ranges.begin());
  }
  return *this;
}

void Facts::clear() {
  need_ = 0;
  trap_count_ = 0;
  entry_count_ = 0;
}

const Facts::Entry* Facts::find(ExprId expr) const {
  for (std::uint32_t i = entry_count_; i-- > 0;)
    if (entries_[i].expr == expr) return &entries_[i];
  return nullptr;
}

// The entry of an expression, moved to the end; made, in place of the oldest if need be, where there is none.
Facts::Entry& Facts::touch(ExprId expr) {
  std::uint32_t at = 0;
  while (at < entry_count_ && entries_[at].expr != expr) ++at;
  const bool found = at < entry_count_;
  if (!found) {
    if (entry_count_ < kMostEntries) at = entry_count_++;
    else at = 0;
    entries_[at].expr = expr;
    entries_[at].count = 0;
    entries_[at].zeros = entries_[at].ones = entries_[at].some = 0;
  }
  if (at + 1 < entry_count_)
    std::rotate(entries_.begin() + at, entries_.begin() + at + 1, entries_.begin() + entry_count_);
  return entries_[entry_count_ - 1];
}

// Keeps the ranges, or fewer that hold more where there are too many: the last ones as one.
void Facts::assign(Entry& entry, const Ranges& ranges) {
  const std::size_t kept = std::min(ranges.size(), kMostRanges);
  std::copy_n(ranges.begin(), kept, entry.ranges.begin());
  if (kept < ranges.size()) entry.ranges[kept - 1].last = ranges.back().last;
  entry.count = static_cast<std::uint32_t>(kept);
}

void Facts::restrict(Entry& entry, std::span<const Range> to) {
  static thread_local Ranges result;
  if (entry.count == 0) {
    result.assign(to.begin(), to.end());
  } else {
    intersect(entry.values(), to, result);
    // A set cut into more pieces than fit is better left as it was than joined to a wide one.
    if (result.size() > kMostRanges && entry.count + 2 >= kMostRanges) return;
  }
  if (!result.empty()) assign(entry, result);
}

bool Facts::covers_trap(const Decisions& decisions, ExprId trap) const {
  const Expr& wanted = decisions.expressions[trap];
  for (std::uint32_t i = 0; i < trap_count_; ++i) {
    if (traps_[i] == trap) return true;
    const Expr& proven = decisions.expressions[traps_[i]];
    if (wanted.op != Op::kLoad || proven.op != Op::kLoad || wanted.a == kNone || wanted.a != proven.a) continue;
    const std::uint32_t from = wanted.k - proven.k;  // as addresses, modulo 2^32
    if (from + wanted.size <= proven.size && from < proven.size) return true;
    // With a bounded base the higher address implies the lower one.
    const std::uint64_t top = std::uint64_t{decisions.expressions.known(wanted.a).high} + proven.k + proven.size;
    if (top < kFarthestNeed && wanted.k + wanted.size <= proven.k + proven.size && wanted.k < kFarthestNeed)
      return true;
  }
  if (wanted.op == Op::kLoad) {
    if (wanted.a == kNone) return false;
    const std::uint64_t end = std::uint64_t{known(decisions.expressions, wanted.a).high} + wanted.k + wanted.size;
    return end <= need_;
  }
  const Known divisor = known(decisions.expressions, wanted.b);
  return divisor.low != 0 || divisor.ones != 0;
}

bool Facts::covers_demands(const Decisions& decisions, const Decision& decision) const {
  if (decision.need > need_) return false;
  for (const ExprId trap : decisions.list(decision.traps))
    if (!covers_trap(decisions, trap)) return false;
  return true;
}

void Facts::learn_demands(const Decisions& decisions, const Decision& decision) {
  need_ = std::max(need_, decision.need);
  for (const ExprId trap : decisions.list(decision.traps)) {
    if (covers_trap(decisions, trap)) continue;
    const Expr& e = decisions.expressions[trap];
    if (e.op == Op::kLoad && e.a != kNone) {
      const Known base = known(decisions.expressions, e.a);
      const std::uint64_t top = std::uint64_t{base.high} + e.k + e.size;
      if (top < kFarthestNeed) need_ = std::max(need_, base.low + e.k + e.size);
    }
    if (trap_count_ == kMostTraps) {
      std::copy(traps_.begin() + 1, traps_.end(), traps_.begin());
      --trap_count_;
    }
    traps_[trap_count_++] = trap;
  }
}

Known Facts::known(const Expressions& expressions, ExprId id, int depth) const {
  Known out = expressions.known(id);
  const Expr& e = expressions[id];
  if (e.b != kNone && e.op >= Op::kAdd && depth < 4 && entry_count_ != 0) {
    const Known derived = known_of(e.op, known(expressions, e.a, depth + 1), known(expressions, e.b, depth + 1));
    out.zeros |= derived.zeros;
    out.ones |= derived.ones;
    out.low = std::max(out.low, derived.low);
    out.high = std::min(out.high, derived.high);
  }
  if (const Entry* entry = find(id)) {
    out.zeros |= entry->zeros;
    out.ones |= entry->ones;
    if (entry->count != 0) {
      out.low = std::max(out.low, entry->ranges[0].first);
      out.high = std::min(out.high, entry->ranges[entry->count - 1].last);
    }
  }
  tighten(out);
  return out;
}

std::optional<bool> Facts::decide(const Decisions& decisions, const Decision& decision) {
  const Expressions& expressions = decisions.expressions;
  if (!decision.is_branch() || entry_count_ == 0) return std::nullopt;
  const Entry* entry = find(decision.lhs);
  // What is known of it always was used when the test was simplified.
  if (entry == nullptr && expressions[decision.lhs].a == kNone &&
      (decision.kind == ExitKind::kSet || expressions.is_constant(decision.rhs)))
    return std::nullopt;
  const Known left = known(expressions, decision.lhs);
  if (left.low > left.high) return std::nullopt;
  if (decision.kind == ExitKind::kSet) {
    const std::span<const Range> set = decisions.set(decision.set);
    const Range hull{left.low, left.high};
    bool all = true, none = true;
    if (entry == nullptr || entry->count == 0) {
      const Overlap how = overlap(set, hull);
      all = how == Overlap::kAll;
      none = how == Overlap::kApart;
    } else {
      for (Range range : entry->values()) {
        range.first = std::max(range.first, hull.first);
        range.last = std::min(range.last, hull.last);
        if (range.first > range.last) continue;
        const Overlap how = overlap(set, range);
        all = all && how == Overlap::kAll;
        none = none && how == Overlap::kApart;
        if (!all && !none) break;
      }
    }
    if (!all && !none && set.size() <= 4) {
      none = true;  // unless some range holds a number with the known bits
      for (const Range& range : set)
        none =
            none && range.first == range.last && ((range.first & left.zeros) != 0 || (~range.first & left.ones) != 0);
    }
    if (entry != nullptr) touch(decision.lhs);
    if (all && none) return std::nullopt;
    return all ? std::optional<bool>(true) : none ? std::optional<bool>(false) : std::nullopt;
  }
  const Known right = known(expressions, decision.rhs);
  switch (decision.condition) {
    case Condition::kBitsSet:
      if ((left.ones & right.ones) != 0) return true;
      if ((~left.zeros & ~right.zeros) == 0) return false;
      if (entry != nullptr && entry->some != 0)
        if ((entry->some & ~entry->zeros & ~right.ones) == 0) return true;
      break;
    case Condition::kEqual:
      if (left.low > right.high || left.high < right.low) return false;
      if ((left.zeros & right.ones) != 0 || (left.ones & right.zeros) != 0) return false;
      break;
    case Condition::kGreater:
      if (left.low > right.high) return true;
      if (left.high <= right.low) return false;
      break;
    case Condition::kGreaterOrEqual:
      if (left.low >= right.high) return true;
      if (left.high < right.low) return false;
      break;
  }
  return std::nullopt;
}

void Facts::learn_bits(const Expressions& expressions, ExprId expr, std::uint32_t zeros, std::uint32_t ones,
                       int depth) {
  if (expressions.is_constant(expr) || (zeros | ones) == 0) return;
  Entry& entry = touch(expr);
  entry.zeros |= zeros;
  entry.ones |= ones;
  const Expr& e = expressions[expr];
  if (depth == 4 || e.b == kNone || !expressions.is_constant(e.b)) return;
  const std::uint32_t k = expressions[e.b].k;
  if (e.op == Op::kAnd) learn_bits(expressions, e.a, zeros & k, ones & k, depth + 1);
  if (e.op == Op::kShiftRight) learn_bits(expressions, e.a, zeros << k, ones << k, depth + 1);
  if (e.op == Op::kShiftLeft) learn_bits(expressions, e.a, zeros >> k, ones >> k, depth + 1);
}

void Facts::learn_outcome(const Decisions& decisions, const Decision& decision, bool outcome) {
  const Expressions& expressions = decisions.expressions;
  if (decision.kind == ExitKind::kSet) {
    const std::span<const Range> set = decisions.set(decision.set);
    Entry& entry = touch(decision.lhs);
    if (outcome) {
      restrict(entry, set);
    } else if (set.size() <= kMostRanges) {
      static thread_local Ranges rest;
      complement(set, rest);
      restrict(entry, rest);
    }
    if (entry.count == 1 && entry.ranges[0].first == entry.ranges[0].last) {
      const std::uint32_t value = entry.ranges[0].first;
      learn_bits(expressions, decision.lhs, ~value, value);
    }
  } else if (decision.kind == ExitKind::kTest && decision.condition == Condition::kBitsSet &&
             expressions.is_constant(decision.rhs)) {
    const std::uint32_t mask = expressions[decision.rhs].k;
    if (!outcome) learn_bits(expressions, decision.lhs, mask, 0);
    else if (std::has_single_bit(mask)) learn_bits(expressions, decision.lhs, 0, mask);
    else if (Entry& entry = touch(decision.lhs); entry.some == 0 || (mask & ~entry.some) == 0) entry.some = mask;
  }
}

void Facts::meet(const Facts& other) {
  need_ = std::min(need_, other.need_);
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < trap_count_; ++i) {
    const auto end = other.traps_.begin() + other.trap_count_;
    if (std::find(other.traps_.begin(), end, traps_[i]) != end) traps_[kept++] = traps_[i];
  }
  trap_count_ = kept;
  std::uint32_t entries = 0;
  static thread_local Ranges both;
  for (std::uint32_t i = 0; i < entry_count_; ++i) {
    const Entry* match = other.find(entries_[i].expr);
    if (match == nullptr) continue;
    Entry& entry = entries_[entries];
    if (entries != i) entry = entries_[i];
    ++entries;
    entry.zeros &= match->zeros;
    entry.ones &= match->ones;
    entry.some = entry.some != 0 && match->some != 0 ? entry.some | match->some : 0;
    if (entry.count == 0 || match->count == 0) {
      entry.count = 0;
    } else if (entry.count != match->count ||
               !std::equal(entry.ranges.begin(), entry.ranges.begin() + entry.count, match->ranges.begin())) {
      both.assign(entry.ranges.begin(), entry.ranges.begin() + entry.count);
      both.insert(both.end(), match->ranges.begin(), match->ranges.begin() + match->count);
      normalise(both);
      assign(entry, both);
      if (is_all(both)) entry.count = 0;
    }
    if (entry.count == 0 && entry.zeros == 0 && entry.ones == 0 && entry.some == 0) --entries;
  }
  entry_count_ = entries;
}

}  // namespace weir::flow
