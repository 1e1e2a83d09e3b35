// Tests and sets in lanes. The part of LaneBody that makes masks.
#include "engine/lane_body.h"

namespace weir::engine {

using flow::Condition;
namespace x86 = asmjit::x86;
namespace Inst = x86::Inst;

Lanes::Test LaneBody::test(const PlanBlock& block, const Mask& mask) {
  const Vec left = value(block.lhs, mask);
  if (block.kind == flow::ExitKind::kSet) return contains(tables_[block.set], left, mask);
  if (!plan_.is_constant(block.rhs)) value(block.rhs, mask);
  return lanes_.compare(block.condition, left, operand(block.rhs));
}

Lanes::Test LaneBody::contains(const SetTable& set, const Vec& value, const Mask& mask) {
  const auto from_first = [&] {
    return set.first == 0 ? value : lanes_.with(Inst::kIdVpsubd, value, lanes_.constant(set.first));
  };
  switch (set.kind) {
    case SetKind::kNever: return {lanes_.all_lanes(group_.offsets), true};
    case SetKind::kAlways: return {lanes_.all_lanes(group_.offsets)};
    case SetKind::kRange: return lanes_.below_or_equal(from_first(), lanes_.constant(set.span));
    case SetKind::kWord: return contains_word(set, from_first());
    case SetKind::kFew: return contains_few(set, value);
    case SetKind::kBitmap: return contains_bitmap(set, from_first(), mask);
    case SetKind::kPerfect:
    case SetKind::kCuckoo: {
      const Vec key = set.key_shift == 0 ? value : lanes_.with(Inst::kIdVpsrld, value, asmjit::Imm(set.key_shift));
      const Test found = probe(set, key, 0, mask);
      if (set.kind == SetKind::kCuckoo) lanes_.join(found.lanes, probe(set, key, 1, mask).lanes);
      return found;
    }
    case SetKind::kSearch: return search(set, value, mask);
  }
  return {lanes_.all_lanes(group_.offsets), true};
}

// A shift by 32 or more gives 0.
Lanes::Test LaneBody::contains_word(const SetTable& set, const Vec& at) {
  const Vec low = lanes_.filled(static_cast<std::uint32_t>(set.bits));
  const Vec high = lanes_.filled(static_cast<std::uint32_t>(set.bits >> 32));
  const Vec at_high = lanes_.with(Inst::kIdVpsubd, at, lanes_.constant(32));
  const Vec low_bits = lanes_.with(Inst::kIdVpsrlvd, low, at);
  const Vec high_bits = lanes_.with(Inst::kIdVpsrlvd, high, at_high);
  return lanes_.bit(lanes_.with(Inst::kIdVpor, low_bits, high_bits), 0);
}

Lanes::Test LaneBody::contains_few(const SetTable& set, const Vec& value) {
  Test any;
  for (const flow::Range& range : set.ranges) {
    Test one;
    if (range.first == range.last) {
      one = lanes_.compare(Condition::kEqual, value, lanes_.constant(range.first));
    } else {
      const Vec at = lanes_.with(Inst::kIdVpsubd, value, lanes_.constant(range.first));
      one = lanes_.below_or_equal(at, lanes_.constant(range.last - range.first));
    }
    if (any.lanes.isValid()) lanes_.join(one.lanes, any.lanes);
    any = one;
  }
  return any;
}

Lanes::Test LaneBody::contains_bitmap(const SetTable& set, const Vec& at, const Mask& mask) {
  const Mask inside = lanes_.both(lanes_.below_or_equal(at, lanes_.constant(set.span)), true, mask);
  const Vec word = lanes_.with(Inst::kIdVpsrld, at, asmjit::Imm(5));
  const Vec bit = lanes_.with(Inst::kIdVpand, at, lanes_.constant(31));
  const x86::Gp table = c_.newUInt64();
  c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data()));
  const Test found = lanes_.bit(lanes_.with(Inst::kIdVpsrlvd, lanes_.look_up(table, word, 0, inside), bit), 0);
  lanes_.keep(found.lanes, {inside});
  return found;
}

Lanes::Test LaneBody::probe(const SetTable& set, const Vec& key, std::uint32_t side, const Mask& mask) {
  const Vec slot = lanes_.with(Inst::kIdVpmulld, key, lanes_.constant(set.multipliers[side]));
  c_.vpsrld(slot, slot, set.hash_shift);
  const x86::Gp table = c_.newUInt64();
  c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data() + side * set.second_table));
  return lanes_.compare(Condition::kEqual, lanes_.look_up(table, slot, 0, mask), key);
}

// Lanes where the number of words that are at most `value` is odd.
Lanes::Test LaneBody::search(const SetTable& set, const Vec& value, const Mask& mask) {
  const x86::Gp table = c_.newUInt64();
  c_.mov(table, reinterpret_cast<std::uint64_t>(set.words.data()));
  const Vec at = lanes_.zero();
  for (auto step = static_cast<std::uint32_t>((set.words.size() + 1) / 2); step != 0; step /= 2) {
    const Vec word = lanes_.look_up(table, at, static_cast<std::int32_t>(4 * (step - 1)), mask);
    lanes_.add_where(at, lanes_.constant(step), lanes_.below_or_equal(word, value));
  }
  Test odd = lanes_.bit(at, 0);
  odd.inverted = set.parity;
  return odd;
}

}  // namespace weir::engine
