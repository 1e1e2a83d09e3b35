// Tests and sets in lanes. The part of Avx2Body that makes masks.
#include "engine/avx2_body.h"

namespace weir::engine {

using flow::Condition;
namespace x86 = asmjit::x86;

// Unsigned a <= b.
x86::Ymm Avx2Body::below_or_equal(const Ymm& a, const Mem& b) {
  const Ymm out = c_.newYmm();
  c_.vpminud(out, a, b);
  c_.vpcmpeqd(out, out, a);
  return out;
}

Avx2Body::Mask Avx2Body::test(const PlanBlock& block, const Ymm& mask) {
  const Ymm left = value(block.lhs, mask);
  if (block.kind == flow::ExitKind::kSet) return contains(tables_[block.set], left, mask);
  const bool is_constant = plan_.is_constant(block.rhs);
  const Ymm right = is_constant ? Ymm() : value(block.rhs, mask);
  const Ymm out = c_.newYmm();
  const auto with_right = [&](x86::Inst::Id op) {
    if (is_constant) {
      c_.emit(op, out, left, constant(plan_[block.rhs].k));
    } else {
      c_.emit(op, out, left, right);
    }
  };
  switch (block.condition) {
    case Condition::kEqual: with_right(x86::Inst::kIdVpcmpeqd); return {out};
    case Condition::kGreater:  // not left <= right
      with_right(x86::Inst::kIdVpminud);
      c_.vpcmpeqd(out, out, left);
      return {out, true};
    case Condition::kGreaterOrEqual:
      with_right(x86::Inst::kIdVpmaxud);
      c_.vpcmpeqd(out, out, left);
      return {out};
    case Condition::kBitsSet:
      with_right(x86::Inst::kIdVpand);
      c_.vpcmpeqd(out, out, constant(0));
      return {out, true};
  }
  return {out};
}

// All bits of a lane set where its lowest bit is.
x86::Ymm Avx2Body::lowest_bit(const Ymm& a) {
  const Ymm out = c_.newYmm();
  c_.vpslld(out, a, 31);
  c_.vpsrad(out, out, 31);
  return out;
}

Avx2Body::Mask Avx2Body::contains(const SetTable& set, const Ymm& value, const Ymm& mask) {
  const auto from_first = [&] {
    if (set.first == 0) return value;
    const Ymm out = c_.newYmm();
    c_.vpsubd(out, value, constant(set.first));
    return out;
  };
  switch (set.kind) {
    case SetKind::kNever: return {all_lanes(), true};
    case SetKind::kAlways: return {all_lanes()};
    case SetKind::kRange: return {below_or_equal(from_first(), constant(set.span))};
    case SetKind::kWord: {  // a shift by 32 or more gives 0
      const Ymm at = from_first();
      const Ymm low = c_.newYmm();
      const Ymm high = c_.newYmm();
      const Ymm at_high = c_.newYmm();
      c_.vmovdqa(low, constant(static_cast<std::uint32_t>(set.bits)));
      c_.vmovdqa(high, constant(static_cast<std::uint32_t>(set.bits >> 32)));
      c_.vpsubd(at_high, at, constant(32));
      c_.vpsrlvd(low, low, at);
      c_.vpsrlvd(high, high, at_high);
      c_.vpor(low, low, high);
      return {lowest_bit(low)};
    }
    case SetKind::kFew: {
      Ymm any;
      for (const flow::Range& range : set.ranges) {
        Ymm one = c_.newYmm();
        if (range.first == range.last) {
          c_.vpcmpeqd(one, value, constant(range.first));
        } else {
          c_.vpsubd(one, value, constant(range.first));
          one = below_or_equal(one, constant(range.last - range.first));
        }
        if (any.isValid()) c_.vpor(one, one, any);
        any = one;
      }
      return {any};
    }
    case SetKind::kBitmap: {
      const Ymm at = from_first();
      const Ymm inside = below_or_equal(at, constant(set.span));
      const Ymm word = c_.newYmm();
      const Ymm bit = c_.newYmm();
      c_.vpand(inside, inside, mask);
      c_.vpsrld(word, at, 5);
      c_.vpand(bit, at, constant(31));
      const x86::Gp table = c_.newUInt64();
      c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data()));
      const Ymm words = gather(table, word, 2, 0, inside);
      c_.vpsrlvd(words, words, bit);
      return {lowest_bit(words)};
    }
    case SetKind::kPerfect:
    case SetKind::kCuckoo: {
      Ymm key = value;
      if (set.key_shift != 0) {
        key = c_.newYmm();
        c_.vpsrld(key, value, set.key_shift);
      }
      const Ymm found = probe(set, key, 0, mask);
      if (set.kind == SetKind::kPerfect) return {found};
      c_.vpor(found, found, probe(set, key, 1, mask));
      return {found};
    }
    case SetKind::kSearch: return {search(set, value, mask), set.parity};
  }
  return {all_lanes(), true};
}

x86::Ymm Avx2Body::probe(const SetTable& set, const Ymm& key, std::uint32_t side, const Ymm& mask) {
  const Ymm slot = c_.newYmm();
  c_.vpmulld(slot, key, constant(set.multipliers[side]));
  c_.vpsrld(slot, slot, set.hash_shift);
  const x86::Gp table = c_.newUInt64();
  c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data() + side * set.second_table));
  const Ymm found = gather(table, slot, 2, 0, mask);
  c_.vpcmpeqd(found, found, key);
  return found;
}

// Lanes where the number of words that are at most `value` is odd.
x86::Ymm Avx2Body::search(const SetTable& set, const Ymm& value, const Ymm& mask) {
  const x86::Gp table = c_.newUInt64();
  c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data()));
  const Ymm at = c_.newYmm();
  c_.vpxor(at, at, at);
  for (auto step = static_cast<std::uint32_t>((set.words.size() + 1) / 2); step != 0; step /= 2) {
    const Ymm word = gather(table, at, 2, static_cast<std::int32_t>(4 * (step - 1)), mask);
    const Ymm below = c_.newYmm();
    c_.vpminud(below, word, value);
    c_.vpcmpeqd(below, below, word);
    c_.vpand(below, below, constant(step));
    c_.vpaddd(at, at, below);
  }
  return lowest_bit(at);
}

}  // namespace weir::engine
