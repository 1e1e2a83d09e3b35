// Ranges: their parts kept in step, and arithmetic on them. Exports Range, arithmetic and the extensions.
//
// 64-bit operations work on the bits and the wide interval, and for those whose lower half depends on lower halves
// alone on the low interval too; 32-bit ones on the lower parts only.
#include "verify/range.h"

#include <fmt/format.h>

#include <weir/base/bytes.h>

namespace weir::verify {
namespace {

using ebpf::AluOperation;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

template <typename U>
U compute_in(AluOperation operation, bool is_signed, U a, U b) {
  using S = std::make_signed_t<U>;
  constexpr U kShift = sizeof(U) * 8 - 1;
  const S sa = static_cast<S>(a), sb = static_cast<S>(b);
  switch (operation) {
    case AluOperation::kAdd: return a + b;
    case AluOperation::kSub: return a - b;
    case AluOperation::kMul: return a * b;
    case AluOperation::kDiv:
      if (!is_signed) return b != 0 ? a / b : 0;
      return b == 0 ? 0 : sb == -1 ? U{0} - a : static_cast<U>(sa / sb);
    case AluOperation::kMod:
      if (!is_signed) return b != 0 ? a % b : a;
      return b == 0 ? a : sb == -1 ? 0 : static_cast<U>(sa % sb);
    case AluOperation::kOr: return a | b;
    case AluOperation::kAnd: return a & b;
    case AluOperation::kXor: return a ^ b;
    case AluOperation::kLsh: return a << (b & kShift);
    case AluOperation::kRsh: return a >> (b & kShift);
    case AluOperation::kArsh: return static_cast<U>(sa >> (b & kShift));
    case AluOperation::kNeg:
    case AluOperation::kMov:
    case AluOperation::kEnd: break;
  }
  return b;
}

template <typename U>
Interval<U> interval_of(AluOperation operation, bool is_signed, const Interval<U>& a, const Interval<U>& b) {
  Interval<U> out;
  switch (operation) {
    case AluOperation::kAdd: return add(a, b);
    case AluOperation::kSub: return subtract(a, b);
    case AluOperation::kMul: return multiply(a, b);
    case AluOperation::kDiv: return is_signed ? divide_signed(a, b) : divide(a, b);
    case AluOperation::kMod: return is_signed ? remainder_signed(a, b) : remainder(a, b);
    case AluOperation::kAnd: out.umax = std::min(a.umax, b.umax); return out;
    case AluOperation::kOr: out.umin = std::max(a.umin, b.umin); return out;
    case AluOperation::kLsh: return shift_left(a, b);
    case AluOperation::kRsh: return shift_right(a, b);
    case AluOperation::kArsh: return shift_arithmetic(a, b);
    case AluOperation::kXor:
    case AluOperation::kNeg:
    case AluOperation::kMov:
    case AluOperation::kEnd: break;
  }
  return out;
}

// `width` is 32 or 64; the operands have no bits above.
Tnum bits_of(AluOperation operation, unsigned width, const Tnum& a, const Tnum& b, bool by_known, unsigned amount) {
  switch (operation) {
    case AluOperation::kAdd: return add(a, b).cut(width);
    case AluOperation::kSub: return subtract(a, b).cut(width);
    case AluOperation::kMul: return multiply(a, b).cut(width);
    case AluOperation::kOr: return bit_or(a, b);
    case AluOperation::kAnd: return bit_and(a, b);
    case AluOperation::kXor: return bit_xor(a, b);
    case AluOperation::kLsh:
      if (by_known) return shift_left(a, amount).cut(width);
      break;
    case AluOperation::kRsh:
      if (by_known) return shift_right(a, amount);
      break;
    case AluOperation::kArsh:
      if (by_known) return shift_arithmetic(a, amount, width);
      break;
    default: break;
  }
  return Tnum::unknown().cut(width);
}

bool halves_are_apart(AluOperation operation) {  // the lower half of the result needs lower halves only
  return operation == AluOperation::kAdd || operation == AluOperation::kSub || operation == AluOperation::kMul ||
         operation == AluOperation::kAnd || operation == AluOperation::kOr || operation == AluOperation::kXor;
}

// A range of 32 bits with zeros above.
Range from_low(const Tnum& bits, const Interval<u32>& low) {
  Range out;
  out.bits = bits.cut(32);
  out.low = low;
  out.wide.set_unsigned(low.umin, low.umax);
  out.wide.set_signed(low.umin, low.umax);
  out.tighten();
  return out;
}

template <typename U>
void learn_from_bits(Interval<U>& it, const Tnum& bits) {
  constexpr U kSign = U{1} << (Interval<U>::kBits - 1);
  const U value = static_cast<U>(bits.value), mask = static_cast<U>(bits.mask);
  it.umin = std::max<U>(it.umin, value);
  it.umax = std::min<U>(it.umax, value | mask);
  using S = std::make_signed_t<U>;
  it.smin = std::max<S>(it.smin, static_cast<S>(value | (mask & kSign)));
  it.smax = std::min<S>(it.smax, static_cast<S>((value | mask) & ~(mask & kSign)));
}

// The lower half tells of the whole where the upper half is known, and moves its ends to the next fitting number.
void learn_from_low(Interval<u64>& wide, const Interval<u32>& low) {
  if (wide.umin > wide.umax) return;
  if (static_cast<u32>(wide.umin) < low.umin) wide.umin = (wide.umin & ~u64{UINT32_MAX}) | low.umin;
  if (static_cast<u32>(wide.umax) > low.umax) wide.umax = (wide.umax & ~u64{UINT32_MAX}) | low.umax;
}
void learn_from_wide(Interval<u32>& low, const Interval<u64>& wide) {
  if (wide.umin >> 32 == wide.umax >> 32) {
    low.umin = std::max(low.umin, static_cast<u32>(wide.umin));
    low.umax = std::min(low.umax, static_cast<u32>(wide.umax));
  }
  if (wide.smin >= INT32_MIN && wide.smax <= INT32_MAX) {
    low.smin = std::max(low.smin, static_cast<std::int32_t>(wide.smin));
    low.smax = std::min(low.smax, static_cast<std::int32_t>(wide.smax));
  }
}

std::string end_text(std::int64_t number) {
  const u64 size = number < 0 ? u64{0} - static_cast<u64>(number) : static_cast<u64>(number);
  return size < 65536 ? fmt::format("{}", number) : fmt::format("{}0x{:x}", number < 0 ? "-" : "", size);
}

}  // namespace

Range Range::constant(u64 number) {
  return {Tnum::constant(number), Interval<u64>::constant(number), Interval<u32>::constant(static_cast<u32>(number))};
}

Range Range::between(u64 least, u64 most) {
  Range out;
  out.wide.set_unsigned(least, most);
  out.tighten();
  return out;
}

Range Range::of_bytes(unsigned bytes, bool is_signed) {
  if (bytes >= 8) return {};
  if (is_signed) return sign_extended({}, bytes * 8, true);
  return between(0, (u64{1} << (bytes * 8)) - 1);
}

bool Range::tighten() {
  for (int round = 0; round < 3; ++round) {
    const Range before = *this;
    learn_from_bits(wide, bits);
    learn_from_bits(low, bits.cut(32));
    wide.share_sign();
    low.share_sign();
    learn_from_wide(low, wide);
    learn_from_low(wide, low);
    if (wide.is_empty() || low.is_empty()) return false;
    const Tnum spans = Tnum::span(wide.umin, wide.umax);
    Tnum lower = Tnum::span(low.umin, low.umax);
    lower = {lower.value, lower.mask | ~u64{UINT32_MAX}};
    if (!may_meet(bits, spans)) return false;
    bits = verify::meet(bits, spans);
    if (!may_meet(bits, lower)) return false;
    bits = verify::meet(bits, lower);
    if (*this == before) break;
  }
  return true;
}

bool Range::meet(const Range& other) {
  if (!may_meet(bits, other.bits)) return false;
  bits = verify::meet(bits, other.bits);
  wide.meet(other.wide);
  low.meet(other.low);
  return !wide.is_empty() && !low.is_empty() && tighten();
}

u64 compute(AluOperation operation, bool is_signed, bool is_wide, u64 a, u64 b) {
  if (is_wide) return compute_in<u64>(operation, is_signed, a, b);
  return compute_in<u32>(operation, is_signed, static_cast<u32>(a), static_cast<u32>(b));
}

Range arithmetic(AluOperation operation, bool is_signed, bool is_wide, const Range& a, const Range& b) {
  if (a.is_constant() && b.is_constant())
    return Range::constant(compute(operation, is_signed, is_wide, a.number(), b.number()));
  const unsigned width = is_wide ? 64 : 32;
  const auto amount = static_cast<unsigned>(b.bits.value) & (width - 1);
  // A shift by a known amount of more than the width is masked: the intervals must see the same amount.
  Range by = b;
  const bool shifts =
      operation == AluOperation::kLsh || operation == AluOperation::kRsh || operation == AluOperation::kArsh;
  const bool by_known = shifts && b.bits.cut(is_wide ? 6 : 5).is_constant();
  if (by_known) by = Range::constant(amount);
  const Tnum bits = bits_of(operation, width, a.bits.cut(width), by.bits.cut(width), by_known, amount);
  if (!is_wide) return from_low(bits, interval_of(operation, is_signed, a.low, by.low));
  Range out;
  out.bits = bits;
  out.wide = interval_of(operation, is_signed, a.wide, by.wide);
  if (halves_are_apart(operation)) out.low = interval_of(operation, is_signed, a.low, by.low);
  out.tighten();
  return out;
}

Range zero_extended(const Range& a, unsigned bits) {
  if (bits >= 64) return a;
  if (bits == 32) return from_low(a.bits, a.low);
  const u64 most = (u64{1} << bits) - 1;
  Range out = Range::between(0, most);
  if (a.wide.umax <= most) return a;
  out.bits = a.bits.cut(bits);
  out.tighten();
  return out;
}

Range sign_extended(const Range& a, unsigned bits, bool is_wide) {
  Range out;
  const std::int64_t most = (std::int64_t{1} << (bits - 1)) - 1;
  out.bits = sign_extend(a.bits, bits);
  out.wide.set_signed(-most - 1, most);
  if (bits == 32) {  // the lower half is what it was
    out.low = a.low;
    out.wide.set_signed(a.low.smin, a.low.smax);
  } else if (a.low.smin >= -most - 1 && a.low.smax <= most) {
    out.wide.set_signed(a.low.smin, a.low.smax);
  }
  out.tighten();
  return is_wide ? out : zero_extended(out, 32);
}

Range swapped(const Range& a, unsigned bits) {
  Range out;
  out.bits = swap_bytes(a.bits.cut(bits), bits);
  out.tighten();
  return out;
}

std::string Range::text() const {
  if (is_constant()) return end_text(static_cast<std::int64_t>(number()));
  const bool above = wide.umin == 0 && wide.umax == UINT64_MAX;
  const bool below = wide.smin == INT64_MIN && wide.smax == INT64_MAX;
  std::string out;
  if (above && below) {
    out = "any number";
  } else if (wide.smin >= 0 || below || (wide.smin == INT64_MIN && wide.umax < UINT64_MAX)) {
    out = wide.umax == UINT64_MAX ? fmt::format("{} or more", end_text(static_cast<std::int64_t>(wide.umin)))
                                  : fmt::format("{}..{}", end_text(static_cast<std::int64_t>(wide.umin)),
                                                wide.umax > INT64_MAX ? fmt::format("0x{:x}", wide.umax)
                                                                      : end_text(static_cast<std::int64_t>(wide.umax)));
  } else {
    out = fmt::format("{}..{}", wide.smin == INT64_MIN ? "lowest" : end_text(wide.smin),
                      wide.smax == INT64_MAX ? "highest" : end_text(wide.smax));
  }
  const Interval<u32> any;
  if (above && below && (low.umin != 0 || low.umax != any.umax))
    out = fmt::format("any number with a lower half of {}..{}", end_text(low.umin), end_text(low.umax));
  const unsigned zeros = static_cast<unsigned>(std::countr_zero(bits.value | bits.mask));
  if (zeros > 0 && zeros < 32) out += fmt::format(", a multiple of {}", u64{1} << zeros);
  return out;
}

}  // namespace weir::verify
