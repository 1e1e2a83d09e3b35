// What is known of a number in a register: its bits, and intervals of all 64 and of its lower 32. Exports Range.
//
// A Range stands for the numbers that are in all of its parts. tighten() lets each part learn from the others.
// arithmetic() is what an instruction makes of two ranges; assume() what a branch tells of its operands. Both are
// sound: every concrete result of members is a member of what they give. Value types; no state.
#pragma once

#include <optional>
#include <string>

#include <weir/ebpf/instruction.h>

#include "verify/interval.h"
#include "verify/tnum.h"

namespace weir::verify {

struct Range {
  Tnum bits{};
  Interval<std::uint64_t> wide{};
  Interval<std::uint32_t> low{};

  static Range constant(std::uint64_t number);
  static Range unknown() { return {}; }
  // Any number of this many bytes, without or with sign.
  static Range of_bytes(unsigned bytes, bool is_signed = false);
  static Range between(std::uint64_t least, std::uint64_t most);

  bool is_constant() const { return bits.mask == 0; }
  std::uint64_t number() const { return bits.value; }  // where is_constant()
  bool contains(std::uint64_t number) const {
    return bits.contains(number) && wide.contains(number) && low.contains(static_cast<std::uint32_t>(number));
  }
  bool covers(const Range& other) const {
    return bits.covers(other.bits) && wide.covers(other.wide) && low.covers(other.low);
  }
  friend bool operator==(const Range&, const Range&) = default;

  // False when nothing is in all parts; the range means nothing then.
  bool tighten();
  // What is in both; false when nothing is.
  bool meet(const Range& other);

  // "5", "0..255", "0..0xfffc, bits ...00", "any number"
  std::string text() const;
};

// dst = dst op src, of 64 bits, or of 32 with the upper half 0. Not kNeg, kMov and kEnd.
Range arithmetic(ebpf::AluOperation operation, bool is_signed, bool is_wide, const Range& a, const Range& b);
// The lower `bits` alone; with the sign; with the sign in 32 bits and zeros above.
Range zero_extended(const Range& a, unsigned bits);
Range sign_extended(const Range& a, unsigned bits, bool is_wide);
// The lower 16, 32 or 64 bits in the other byte order.
Range swapped(const Range& a, unsigned bits);

// Lets both ranges learn that the condition holds (or does not). False when it cannot be.
bool assume(ebpf::Condition condition, bool holds, bool is_wide, Range& a, Range& b);

// What the machine computes: the meaning that arithmetic() over-approximates.
std::uint64_t compute(ebpf::AluOperation operation, bool is_signed, bool is_wide, std::uint64_t a, std::uint64_t b);

}  // namespace weir::verify
