// What a branch tells of its operands. Exports assume.
//
// Each condition is one of: equal, not equal, less (by either sign, strict or not), some bit in common. Those that do
// not hold are turned into the one that then does.
#include "verify/range.h"

namespace weir::verify {
namespace {

using ebpf::Condition;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

Condition opposite(Condition condition) {
  switch (condition) {
    case Condition::kEqual: return Condition::kNotEqual;
    case Condition::kNotEqual: return Condition::kEqual;
    case Condition::kGreater: return Condition::kLessOrEqual;
    case Condition::kLessOrEqual: return Condition::kGreater;
    case Condition::kGreaterOrEqual: return Condition::kLess;
    case Condition::kLess: return Condition::kGreaterOrEqual;
    case Condition::kSignedGreater: return Condition::kSignedLessOrEqual;
    case Condition::kSignedLessOrEqual: return Condition::kSignedGreater;
    case Condition::kSignedGreaterOrEqual: return Condition::kSignedLess;
    case Condition::kSignedLess: return Condition::kSignedGreaterOrEqual;
    default: return condition;
  }
}

// a < b, or a <= b; `least` and `most` name the interval's members. False when it cannot be.
template <typename N>
bool order(N& a_min, N& a_max, N& b_min, N& b_max, bool strict) {
  if (strict) {
    if (b_max == std::numeric_limits<N>::min() || a_min == std::numeric_limits<N>::max()) return false;
    a_max = std::min<N>(a_max, static_cast<N>(b_max - 1));
    b_min = std::max<N>(b_min, static_cast<N>(a_min + 1));
  } else {
    a_max = std::min(a_max, b_max);
    b_min = std::max(b_min, a_min);
  }
  return a_min <= a_max && b_min <= b_max;
}

// A constant that is not in the interval any more, where it stands at an end.
template <typename U>
bool exclude(Interval<U>& a, U constant) {
  using S = std::make_signed_t<U>;
  if (a.is_constant()) return a.umin != constant;
  if (a.umin == constant) ++a.umin;
  if (a.umax == constant) --a.umax;
  const S with_sign = static_cast<S>(constant);
  if (a.smin == with_sign && a.smin != a.smax) ++a.smin;
  if (a.smax == with_sign && a.smin != a.smax) --a.smax;
  return true;
}

template <typename U>
bool order_of(Condition condition, Interval<U>& a, Interval<U>& b) {
  switch (condition) {
    case Condition::kLess: return order(a.umin, a.umax, b.umin, b.umax, true);
    case Condition::kLessOrEqual: return order(a.umin, a.umax, b.umin, b.umax, false);
    case Condition::kGreater: return order(b.umin, b.umax, a.umin, a.umax, true);
    case Condition::kGreaterOrEqual: return order(b.umin, b.umax, a.umin, a.umax, false);
    case Condition::kSignedLess: return order(a.smin, a.smax, b.smin, b.smax, true);
    case Condition::kSignedLessOrEqual: return order(a.smin, a.smax, b.smin, b.smax, false);
    case Condition::kSignedGreater: return order(b.smin, b.smax, a.smin, a.smax, true);
    case Condition::kSignedGreaterOrEqual: return order(b.smin, b.smax, a.smin, a.smax, false);
    default: return true;
  }
}

bool equal(bool is_wide, Range& a, Range& b) {
  if (is_wide) {
    if (!a.meet(b)) return false;
    b = a;
    return true;
  }
  const u64 upper = ~u64{UINT32_MAX};
  const Tnum a_low{a.bits.value & UINT32_MAX, a.bits.mask | upper},
      b_low{b.bits.value & UINT32_MAX, b.bits.mask | upper};
  if (!may_meet(a_low, b_low)) return false;
  a.bits = meet(a.bits, b_low);
  b.bits = meet(b.bits, a_low);
  a.low.meet(b.low);
  b.low = a.low;
  return !a.low.is_empty();
}

bool differ(bool is_wide, Range& a, Range& b) {
  if (is_wide) {
    if (b.is_constant() && !exclude(a.wide, b.number())) return false;
    return !a.is_constant() || exclude(b.wide, a.number());
  }
  if (b.low.is_constant() && !exclude(a.low, b.low.umin)) return false;
  return !a.low.is_constant() || exclude(b.low, a.low.umin);
}

// Some bit in common, or none.
bool bits_in_common(bool holds, bool is_wide, Range& a, Range& b) {
  const u64 whole = is_wide ? ~u64{0} : u64{UINT32_MAX};
  if (holds) {
    const u64 possible = a.bits.most() & b.bits.most() & whole;
    if (possible == 0) return false;
    if ((possible & (possible - 1)) == 0) {  // one bit: both have it
      a.bits = {a.bits.value | possible, a.bits.mask & ~possible};
      b.bits = {b.bits.value | possible, b.bits.mask & ~possible};
    }
    return true;
  }
  if ((a.bits.value & b.bits.value & whole) != 0) return false;
  a.bits.mask &= ~(b.bits.value & whole);
  b.bits.mask &= ~(a.bits.value & whole);
  return true;
}

}  // namespace

bool assume(Condition condition, bool holds, bool is_wide, Range& a, Range& b) {
  bool possible = true;
  if (condition == Condition::kSet) {
    possible = bits_in_common(holds, is_wide, a, b);
  } else {
    if (!holds) condition = opposite(condition);
    if (condition == Condition::kEqual) possible = equal(is_wide, a, b);
    else if (condition == Condition::kNotEqual) possible = differ(is_wide, a, b);
    else possible = is_wide ? order_of(condition, a.wide, b.wide) : order_of(condition, a.low, b.low);
  }
  return possible && a.tighten() && b.tighten();
}

}  // namespace weir::verify
