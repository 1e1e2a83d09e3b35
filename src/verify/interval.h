// Intervals of numbers, without and with sign at once. Exports Interval<U> for 32 and 64 bits, and its arithmetic.
//
// An Interval stands for all numbers x of U with umin <= x <= umax and, read with sign, smin <= x <= smax. It is empty
// when a lower bound passes its upper one. Operations give an interval that holds every result (wrapping, division by
// zero 0, remainder by zero the dividend, shifts masked: RFC 9669); where a bound cannot be told it is the widest.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace weir::verify {

template <typename U>
struct Interval {
  using S = std::make_signed_t<U>;
  static constexpr unsigned kBits = sizeof(U) * 8;
  static constexpr S kLeast = std::numeric_limits<S>::min();
  static constexpr S kMost = std::numeric_limits<S>::max();

  U umin = 0;
  U umax = std::numeric_limits<U>::max();
  S smin = kLeast;
  S smax = kMost;

  static constexpr Interval constant(U it) { return {it, it, static_cast<S>(it), static_cast<S>(it)}; }
  constexpr bool is_empty() const { return umin > umax || smin > smax; }
  constexpr bool is_constant() const { return umin == umax; }
  constexpr bool contains(U it) const {
    return it >= umin && it <= umax && static_cast<S>(it) >= smin && static_cast<S>(it) <= smax;
  }
  constexpr bool covers(const Interval& other) const {
    return umin <= other.umin && umax >= other.umax && smin <= other.smin && smax >= other.smax;
  }
  friend constexpr bool operator==(const Interval&, const Interval&) = default;

  void set_unsigned(U low, U high) { umin = low, umax = high; }
  void set_signed(S low, S high) { smin = low, smax = high; }
  void meet(const Interval& other) {
    umin = std::max(umin, other.umin), umax = std::min(umax, other.umax);
    smin = std::max(smin, other.smin), smax = std::min(smax, other.smax);
  }
  // Each half tells something of the other where the sign is known, and an unsigned one that does not cross the middle
  // tells the sign.
  void share_sign() {
    if (static_cast<S>(umin) <= static_cast<S>(umax)) {
      smin = std::max(smin, static_cast<S>(umin));
      smax = std::min(smax, static_cast<S>(umax));
    }
    if (static_cast<U>(smin) <= static_cast<U>(smax)) {
      umin = std::max(umin, static_cast<U>(smin));
      umax = std::min(umax, static_cast<U>(smax));
    }
  }
};

// Wrapping is no harm where both ends wrap alike.
template <typename U>
Interval<U> add(const Interval<U>& a, const Interval<U>& b) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  U low, high;
  const bool wrapped_low = __builtin_add_overflow(a.umin, b.umin, &low);
  if (__builtin_add_overflow(a.umax, b.umax, &high) == wrapped_low) out.set_unsigned(low, high);
  S least, most;
  const bool wrapped_least = __builtin_add_overflow(a.smin, b.smin, &least);
  const bool wrapped_most = __builtin_add_overflow(a.smax, b.smax, &most);
  if (wrapped_least == wrapped_most && (!wrapped_least || (a.smin < 0) == (a.smax < 0))) out.set_signed(least, most);
  return out;
}

template <typename U>
Interval<U> subtract(const Interval<U>& a, const Interval<U>& b) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  U low, high;
  const bool wrapped_low = __builtin_sub_overflow(a.umin, b.umax, &low);
  if (__builtin_sub_overflow(a.umax, b.umin, &high) == wrapped_low) out.set_unsigned(low, high);
  S least, most;
  const bool wrapped_least = __builtin_sub_overflow(a.smin, b.smax, &least);
  const bool wrapped_most = __builtin_sub_overflow(a.smax, b.smin, &most);
  if (wrapped_least == wrapped_most && (!wrapped_least || (a.smin < 0) == (a.smax < 0))) out.set_signed(least, most);
  return out;
}

template <typename U>
Interval<U> multiply(const Interval<U>& a, const Interval<U>& b) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  U low, high;
  if (!__builtin_mul_overflow(a.umax, b.umax, &high)) {
    low = a.umin * b.umin;
    out.set_unsigned(low, high);
  }
  S ends[4];
  if (!__builtin_mul_overflow(a.smin, b.smin, &ends[0]) && !__builtin_mul_overflow(a.smin, b.smax, &ends[1]) &&
      !__builtin_mul_overflow(a.smax, b.smin, &ends[2]) && !__builtin_mul_overflow(a.smax, b.smax, &ends[3]))
    out.set_signed(*std::min_element(ends, ends + 4), *std::max_element(ends, ends + 4));
  return out;
}

template <typename U>
Interval<U> divide(const Interval<U>& a, const Interval<U>& b) {
  Interval<U> out;
  const U greatest_divisor = b.umax, least_divisor = std::max<U>(b.umin, 1);
  if (greatest_divisor == 0) return Interval<U>::constant(0);
  out.set_unsigned(b.umin == 0 ? 0 : a.umin / greatest_divisor, a.umax / least_divisor);
  return out;
}

template <typename U>
Interval<U> remainder(const Interval<U>& a, const Interval<U>& b) {
  Interval<U> out;
  if (a.umax < b.umin) return a;  // never divided
  out.set_unsigned(0, b.umin == 0 ? a.umax : std::min<U>(a.umax, b.umax - 1));
  return out;
}

// The quotient is never farther from 0 than the dividend, but for the least number divided by -1, which stays itself.
template <typename U>
Interval<U> divide_signed(const Interval<U>& a, const Interval<U>& b) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  if (b.is_constant() && b.umin == 0) return Interval<U>::constant(0);
  if (a.smin == Interval<U>::kLeast && b.contains(~U{0})) return out;
  if (b.is_constant()) {
    const S by = static_cast<S>(b.umin);
    out.set_signed(std::min<S>(a.smin / by, a.smax / by), std::max<S>(a.smin / by, a.smax / by));
    return out;
  }
  if (a.smin == Interval<U>::kLeast) return out;
  const S far = std::max<S>(a.smin < 0 ? -a.smin : a.smin, a.smax < 0 ? -a.smax : a.smax);
  out.set_signed(a.smin >= 0 && b.smin >= 0 ? 0 : -far, far);
  return out;
}

// The remainder has the sign of the dividend, and is never farther from 0 than it.
template <typename U>
Interval<U> remainder_signed(const Interval<U>& a, const Interval<U>& b) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  out.set_signed(std::min<S>(a.smin, 0), std::max<S>(a.smax, 0));
  if (b.is_constant() && b.umin != 0 && b.smin != Interval<U>::kLeast) {
    const S most = static_cast<S>((b.smin < 0 ? -b.smin : b.smin) - 1);
    out.set_signed(std::max<S>(out.smin, static_cast<S>(-most)), std::min<S>(out.smax, most));
  }
  return out;
}

template <typename U>
Interval<U> shift_left(const Interval<U>& a, const Interval<U>& by) {
  using S = std::make_signed_t<U>;
  Interval<U> out;
  if (by.umax >= Interval<U>::kBits) return out;
  const auto least = static_cast<unsigned>(by.umin), most = static_cast<unsigned>(by.umax);
  if (static_cast<U>(a.umax << most) >> most == a.umax)
    out.set_unsigned(static_cast<U>(a.umin << least), static_cast<U>(a.umax << most));
  const auto fits = [most](S it) { return static_cast<S>(static_cast<U>(it) << most) >> most == it; };
  const auto up = [](S it, unsigned amount) { return static_cast<S>(static_cast<U>(it) << amount); };
  if (fits(a.smin) && fits(a.smax))
    out.set_signed(up(a.smin, a.smin < 0 ? most : least), up(a.smax, a.smax < 0 ? least : most));
  return out;
}

template <typename U>
Interval<U> shift_right(const Interval<U>& a, const Interval<U>& by) {
  Interval<U> out;
  const bool known = by.umax < Interval<U>::kBits;
  out.set_unsigned(known ? a.umin >> by.umax : 0, known ? a.umax >> by.umin : a.umax);
  return out;
}

template <typename U>
Interval<U> shift_arithmetic(const Interval<U>& a, const Interval<U>& by) {
  Interval<U> out;
  const bool known = by.umax < Interval<U>::kBits;
  const U least = known ? by.umin : 0, most = known ? by.umax : Interval<U>::kBits - 1;
  out.set_signed(a.smin >> (a.smin < 0 ? least : most), a.smax >> (a.smax < 0 ? most : least));
  return out;
}

}  // namespace weir::verify
