// Numbers of which some bits are known: "tristate numbers". Exports Tnum and its arithmetic.
//
// A Tnum stands for all numbers that have the bits of `value` where `mask` is 0, and anything where `mask` is 1. Bits
// of value under the mask are 0. Each operation gives a Tnum that holds every result of two members (soundness; the
// tests try all small ones). Source: Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with
// Tristate Numbers", CGO 2022. Value types; no state.
#pragma once

#include <bit>
#include <cstdint>

namespace weir::verify {

struct Tnum {
  std::uint64_t value = 0;
  std::uint64_t mask = ~std::uint64_t{0};

  static constexpr Tnum constant(std::uint64_t number) { return {number, 0}; }
  static constexpr Tnum unknown() { return {}; }
  // The smallest that holds all of [low, high].
  static constexpr Tnum span(std::uint64_t low, std::uint64_t high) {
    const int bits = 64 - std::countl_zero(low ^ high);
    const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    return {low & ~mask, mask};
  }

  constexpr bool is_constant() const { return mask == 0; }
  constexpr bool contains(std::uint64_t number) const { return (number & ~mask) == value; }
  // Whether every member of `other` is one of this.
  constexpr bool covers(const Tnum& other) const { return (other.mask & ~mask) == 0 && (other.value & ~mask) == value; }
  constexpr std::uint64_t least() const { return value; }
  constexpr std::uint64_t most() const { return value | mask; }
  // The lower bits only; those above are 0.
  constexpr Tnum cut(unsigned bits) const {
    const std::uint64_t keep = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    return {value & keep, mask & keep};
  }
  friend constexpr bool operator==(const Tnum&, const Tnum&) = default;
};

// Whether the two agree on all bits that both know, so that some number may be in both.
constexpr bool may_meet(const Tnum& a, const Tnum& b) { return ((a.value ^ b.value) & ~a.mask & ~b.mask) == 0; }
// What is in both, where they meet.
constexpr Tnum meet(const Tnum& a, const Tnum& b) {
  const std::uint64_t mask = a.mask & b.mask;
  return {(a.value | b.value) & ~mask, mask};
}

Tnum add(const Tnum& a, const Tnum& b);
Tnum subtract(const Tnum& a, const Tnum& b);
Tnum multiply(const Tnum& a, const Tnum& b);
Tnum bit_and(const Tnum& a, const Tnum& b);
Tnum bit_or(const Tnum& a, const Tnum& b);
Tnum bit_xor(const Tnum& a, const Tnum& b);
// By a known amount below 64.
Tnum shift_left(const Tnum& a, unsigned amount);
Tnum shift_right(const Tnum& a, unsigned amount);
// Of a number of `bits` bits (32 or 64); the result has no bits above.
Tnum shift_arithmetic(const Tnum& a, unsigned amount, unsigned bits);
// The lower `bits` with their sign in all bits above.
Tnum sign_extend(const Tnum& a, unsigned bits);
// The lower `bits` (16, 32, 64) in the other byte order; bits above are 0.
Tnum swap_bytes(const Tnum& a, unsigned bits);

}  // namespace weir::verify
