// Arithmetic on tristate numbers. Exports the functions of tnum.h.
#include "verify/tnum.h"

#include <weir/base/bytes.h>

namespace weir::verify {
namespace {

// The bits that stay known of `value`.
constexpr Tnum known(std::uint64_t value, std::uint64_t mask) { return {value & ~mask, mask}; }

}  // namespace

// A carry is known where the sums of the least and of the greatest members have the same.
Tnum add(const Tnum& a, const Tnum& b) {
  const std::uint64_t least = a.value + b.value;
  const std::uint64_t most = least + a.mask + b.mask;
  return known(least, (least ^ most) | a.mask | b.mask);
}

Tnum subtract(const Tnum& a, const Tnum& b) {
  const std::uint64_t difference = a.value - b.value;
  const std::uint64_t most = difference + a.mask;
  const std::uint64_t least = difference - b.mask;
  return known(difference, (least ^ most) | a.mask | b.mask);
}

// Long multiplication: the known part exactly, and what each unknown bit may add.
Tnum multiply(const Tnum& a, const Tnum& b) {
  Tnum unknown_part = Tnum::constant(0);
  Tnum left = a;
  Tnum right = b;
  while (left.value != 0 || left.mask != 0) {
    if ((left.mask & 1) != 0) unknown_part = add(unknown_part, {0, right.value | right.mask});
    else if ((left.value & 1) != 0) unknown_part = add(unknown_part, {0, right.mask});
    left = shift_right(left, 1);
    right = shift_left(right, 1);
  }
  return add(Tnum::constant(a.value * b.value), unknown_part);
}

Tnum bit_and(const Tnum& a, const Tnum& b) {
  const std::uint64_t both = a.value & b.value;
  return {both, (a.value | a.mask) & (b.value | b.mask) & ~both};
}
Tnum bit_or(const Tnum& a, const Tnum& b) {
  const std::uint64_t either = a.value | b.value;
  return {either, (a.mask | b.mask) & ~either};
}
Tnum bit_xor(const Tnum& a, const Tnum& b) { return known(a.value ^ b.value, a.mask | b.mask); }

Tnum shift_left(const Tnum& a, unsigned amount) { return {a.value << amount, a.mask << amount}; }
Tnum shift_right(const Tnum& a, unsigned amount) { return {a.value >> amount, a.mask >> amount}; }

// An unknown sign makes the bits that are shifted in unknown, a known one makes them known.
Tnum shift_arithmetic(const Tnum& a, unsigned amount, unsigned bits) {
  const Tnum whole = sign_extend(a, bits);
  const auto shifted = [amount](std::uint64_t it) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(it) >> amount);
  };
  return Tnum{shifted(whole.value), shifted(whole.mask)}.cut(bits);
}

Tnum sign_extend(const Tnum& a, unsigned bits) {
  const unsigned up = 64 - bits;
  const auto extended = [up](std::uint64_t it) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(it << up) >> up);
  };
  return {extended(a.value), extended(a.mask)};
}

Tnum swap_bytes(const Tnum& a, unsigned bits) {
  const unsigned down = 64 - bits;
  return {byte_swap(a.value) >> down, byte_swap(a.mask) >> down};
}

}  // namespace weir::verify
