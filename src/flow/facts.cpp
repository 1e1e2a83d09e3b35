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

void Facts::Entry::copy(const Entry& from) {
  used = from.used;
  count = from.count;
  zeros = from.zeros;
  ones = from.ones;
  some = from.some;
  std::copy_n(from.ranges.begin(), from.count, ranges.begin());
}

Facts& Facts::operator=(const Facts& other) {
  if (this == &other) return *this;
  need_ = other.need_;
  trap_count_ = other.trap_count_;
  entry_count_ = other.entry_count_;
  clock_ = other.clock_;
  std::copy_n(other.traps_.begin(), trap_count_, traps_.begin());
  std::copy_n(other.exprs_.begin(), entry_count_, exprs_.begin());
  for (std::uint32_t i = 0; i < entry_count_; ++i) entries_[i].copy(other.entries_[i]);
  return *this;
}

void Facts::clear() {
  need_ = 0;
  trap_count_ = 0;
  entry_count_ = 0;
  clock_ = 0;
}

// The entry of an expression; made, in place of the one used least recently if need be, where there is none.
Facts::Entry& Facts::touch(ExprId expr) {
  std::uint32_t at = 0;
  while (at < entry_count_ && exprs_[at] != expr) ++at;
  if (at == entry_count_) {
    if (entry_count_ < kMostEntries) {
      ++entry_count_;
    } else {
      at = 0;
      for (std::uint32_t i = 1; i < entry_count_; ++i)
        if (entries_[i].used < entries_[at].used) at = i;
    }
    exprs_[at] = expr;
    entries_[at].count = 0;
    entries_[at].zeros = entries_[at].ones = entries_[at].some = 0;
  }
  entries_[at].used = ++clock_;
  return entries_[at];
}

// Where there are too many ranges, the last ones become one: that holds more.
void Facts::restrict(Entry& entry, std::span<const Range> to) {
  if (to.empty()) return;
  if (entry.count == 0) {
    const std::size_t kept = std::min(to.size(), kMostRanges);
    std::copy_n(to.begin(), kept, entry.ranges.begin());
    entry.ranges[kept - 1].last = to.back().last;
    entry.count = static_cast<std::uint32_t>(kept);
    return;
  }
  std::array<Range, kMostRanges> result;
  std::size_t count = 0;
  for (std::size_t i = 0, j = 0; i < entry.count && j < to.size();) {
    const std::uint32_t first = std::max(entry.ranges[i].first, to[j].first);
    const std::uint32_t last = std::min(entry.ranges[i].last, to[j].last);
    if (first <= last) {
      if (count < kMostRanges) result[count] = {first, last};
      else result[kMostRanges - 1].last = last;
      ++count;
    }
    if (entry.ranges[i].last < to[j].last) ++i;
    else ++j;
  }
  // A set cut into more pieces than fit is better left as it was than joined to a wide one.
  if (count == 0 || (count > kMostRanges && entry.count + 2 >= kMostRanges)) return;
  entry.count = static_cast<std::uint32_t>(std::min(count, kMostRanges));
  std::copy_n(result.begin(), entry.count, entry.ranges.begin());
}

// The ranges of either, with the last ones as one where there are too many.
void Facts::join(Entry& entry, const Entry& other) {
  std::array<Range, 2 * kMostRanges> both;
  std::merge(entry.ranges.begin(), entry.ranges.begin() + entry.count, other.ranges.begin(),
             other.ranges.begin() + other.count, both.begin(),
             [](const Range& a, const Range& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (std::size_t i = 1; i < entry.count + other.count; ++i) {
    Range& last = both[kept];
    if (last.last == kLastNumber) break;
    if (both[i].first <= last.last + 1) last.last = std::max(last.last, both[i].last);
    else both[++kept] = both[i];
  }
  entry.count = static_cast<std::uint32_t>(std::min(kept + 1, kMostRanges));
  std::copy_n(both.begin(), entry.count, entry.ranges.begin());
  entry.ranges[entry.count - 1].last = both[kept].last;
  if (is_all(entry.values())) entry.count = 0;
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
  if (e.op == Op::kConstant) return out;
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
  const bool has_values = entry != nullptr && entry->count != 0;
  if (decision.kind == ExitKind::kSet && has_values) {  // what is said of most: by the ranges alone
    const std::span<const Range> set = decisions.set(decision.set);
    const Overlap first = overlap(set, entry->ranges[0]);
    bool same = first != Overlap::kSome;
    for (std::uint32_t i = 1; i < entry->count && same; ++i) same = overlap(set, entry->ranges[i]) == first;
    if (same) {
      touch(decision.lhs);
      return first == Overlap::kAll;
    }
  }
  const Known left = known(expressions, decision.lhs);
  if (left.low > left.high) return std::nullopt;
  if (decision.kind == ExitKind::kTest)
    return decide_test(decision.condition, left, known(expressions, decision.rhs), entry);
  const std::optional<bool> decided = decide_set(decisions.set(decision.set), left, entry);
  if (entry != nullptr) touch(decision.lhs);
  return decided;
}

std::optional<bool> Facts::decide_set(std::span<const Range> set, const Known& value, const Entry* entry) {
  const Range hull{value.low, value.high};
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
          none && range.first == range.last && ((range.first & value.zeros) != 0 || (~range.first & value.ones) != 0);
  }
  if (all == none) return std::nullopt;
  return all;
}

std::optional<bool> Facts::decide_test(Condition condition, const Known& left, const Known& right, const Entry* entry) {
  switch (condition) {
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
      std::array<Range, kMostRanges + 1> rest;
      std::size_t count = 0;
      std::uint32_t next = 0;
      bool to_the_end = true;
      for (const Range& range : set) {
        if (range.first > next) rest[count++] = {next, range.first - 1};
        to_the_end = range.last != kLastNumber;
        next = range.last + 1;
      }
      if (to_the_end) rest[count++] = {next, kLastNumber};
      restrict(entry, {rest.data(), count});
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
  for (std::uint32_t i = 0; i < entry_count_; ++i) {
    const Entry* match = other.find(exprs_[i]);
    if (match == nullptr) continue;
    Entry& entry = entries_[entries];
    if (entries != i) {
      entry.copy(entries_[i]);
      exprs_[entries] = exprs_[i];
    }
    entry.zeros &= match->zeros;
    entry.ones &= match->ones;
    entry.some = entry.some != 0 && match->some != 0 ? entry.some | match->some : 0;
    if (entry.count == 0 || match->count == 0) entry.count = 0;
    else if (entry.count != match->count ||
             !std::equal(entry.ranges.begin(), entry.ranges.begin() + entry.count, match->ranges.begin()))
      join(entry, *match);
    if (entry.count != 0 || entry.zeros != 0 || entry.ones != 0 || entry.some != 0) ++entries;
  }
  entry_count_ = entries;
}

}  // namespace weir::flow
