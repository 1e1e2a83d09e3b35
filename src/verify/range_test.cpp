// Ranges are sound: every result of members is a member of the result. All small ones, and random ones of 64 bits.
#include <random>

#include <gtest/gtest.h>

#include "verify/range.h"

namespace weir::verify {
namespace {

using ebpf::AluOperation;
using ebpf::Condition;
using u64 = std::uint64_t;

constexpr AluOperation kOperations[] = {AluOperation::kAdd, AluOperation::kSub, AluOperation::kMul, AluOperation::kDiv,
                                        AluOperation::kMod, AluOperation::kOr,  AluOperation::kAnd, AluOperation::kXor,
                                        AluOperation::kLsh, AluOperation::kRsh, AluOperation::kArsh};
constexpr Condition kConditions[] = {
    Condition::kEqual,       Condition::kGreater,       Condition::kGreaterOrEqual,       Condition::kSet,
    Condition::kNotEqual,    Condition::kSignedGreater, Condition::kSignedGreaterOrEqual, Condition::kLess,
    Condition::kLessOrEqual, Condition::kSignedLess,    Condition::kSignedLessOrEqual};
// Where small ranges are put: around the places where numbers wrap or change their sign.
constexpr u64 kBases[] = {0,          u64(0) - 4,  0x7ffffffffffffffc, 0x7ffffffc,
                          0xfffffffc, 0x80000000u, 0xffffffff80000000, 0x8000000000000000};

bool has_sign(AluOperation operation) { return operation == AluOperation::kDiv || operation == AluOperation::kMod; }

template <typename U>
bool holds_in(Condition condition, U a, U b) {
  using S = std::make_signed_t<U>;
  const S sa = static_cast<S>(a), sb = static_cast<S>(b);
  switch (condition) {
    case Condition::kEqual: return a == b;
    case Condition::kNotEqual: return a != b;
    case Condition::kGreater: return a > b;
    case Condition::kGreaterOrEqual: return a >= b;
    case Condition::kLess: return a < b;
    case Condition::kLessOrEqual: return a <= b;
    case Condition::kSignedGreater: return sa > sb;
    case Condition::kSignedGreaterOrEqual: return sa >= sb;
    case Condition::kSignedLess: return sa < sb;
    case Condition::kSignedLessOrEqual: return sa <= sb;
    default: return (a & b) != 0;
  }
}
bool holds(Condition condition, bool is_wide, u64 a, u64 b) {
  return is_wide ? holds_in<u64>(condition, a, b)
                 : holds_in<std::uint32_t>(condition, static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b));
}

std::string text(const Range& a) {
  return a.text() + " bits " + std::to_string(a.bits.value) + "/" + std::to_string(a.bits.mask);
}

struct Set {
  Range range;
  std::vector<u64> members;
};

// Intervals and bit patterns of three bits above a base, with what is in them.
std::vector<Set> small_sets(u64 base) {
  std::vector<Set> sets;
  for (u64 low = 0; low < 8; ++low)
    for (u64 high = low; high < 8; ++high) {
      Set set;
      for (u64 i = low; i <= high; ++i) set.members.push_back(base + i);
      set.range.wide.set_signed(static_cast<std::int64_t>(base + low), static_cast<std::int64_t>(base + high));
      if (static_cast<std::int64_t>(base + low) > static_cast<std::int64_t>(base + high)) set.range = Range{};
      if (base + low <= base + high) set.range.wide.set_unsigned(base + low, base + high);
      EXPECT_TRUE(set.range.tighten());
      sets.push_back(set);
    }
  for (u64 mask = 1; mask < 8; ++mask)
    for (u64 value = 0; value < 8; ++value) {
      if ((value & mask) != 0 || (base & 7 & (mask | value)) != 0) continue;
      Set set;
      set.range.bits = {base | value, mask};
      for (u64 i = 0; i < 8; ++i)
        if ((i & ~mask) == 0) set.members.push_back(base | value | i);
      EXPECT_TRUE(set.range.tighten());
      sets.push_back(set);
    }
  for (const Set& set : sets)
    for (const u64 member : set.members) EXPECT_TRUE(set.range.contains(member)) << text(set.range) << " " << member;
  return sets;
}

void check_operation(AluOperation operation, bool is_signed, bool is_wide, const Set& a, const Set& b) {
  const Range result = arithmetic(operation, is_signed, is_wide, a.range, b.range);
  for (const u64 x : a.members)
    for (const u64 y : b.members) {
      const u64 concrete = compute(operation, is_signed, is_wide, x, y);
      ASSERT_TRUE(result.contains(concrete))
          << "operation " << int(operation) << (is_signed ? " signed" : "") << (is_wide ? " 64" : " 32") << ": "
          << text(a.range) << " and " << text(b.range) << " gave " << text(result) << ", but " << x << " and " << y
          << " give " << concrete;
    }
}

void check_condition(Condition condition, bool is_wide, const Set& a, const Set& b) {
  for (const bool side : {true, false}) {
    Range left = a.range, right = b.range;
    const bool possible = assume(condition, side, is_wide, left, right);
    for (const u64 x : a.members)
      for (const u64 y : b.members) {
        if (holds(condition, is_wide, x, y) != side) continue;
        ASSERT_TRUE(possible && left.contains(x) && right.contains(y))
            << "condition " << int(condition) << (side ? "" : " not") << (is_wide ? " 64" : " 32") << ": "
            << text(a.range) << " and " << text(b.range) << " became " << text(left) << " and " << text(right)
            << (possible ? "" : " (impossible)") << ", but " << x << " and " << y << " are possible";
      }
  }
}

TEST(Tnum, SpansHoldTheirEndsAndNoMoreBitsThanNeeded) {
  for (u64 low = 0; low < 40; ++low)
    for (u64 high = low; high < 40; ++high) {
      const Tnum span = Tnum::span(low, high);
      for (u64 i = low; i <= high; ++i) ASSERT_TRUE(span.contains(i));
      ASSERT_LE(span.mask, 63u);
    }
  EXPECT_EQ(Tnum::span(0, ~u64{0}), Tnum::unknown());
  EXPECT_EQ(Tnum::span(8, 11), (Tnum{8, 3}));
}

TEST(Tnum, OperationsHoldAllResultsOfFourBits) {
  std::vector<Tnum> all;
  for (u64 mask = 0; mask < 16; ++mask)
    for (u64 value = 0; value < 16; ++value)
      if ((value & mask) == 0) all.push_back({value, mask});
  for (const Tnum& a : all)
    for (const Tnum& b : all) {
      const Tnum sum = add(a, b), difference = subtract(a, b), product = multiply(a, b);
      const Tnum both = bit_and(a, b), either = bit_or(a, b), one = bit_xor(a, b);
      for (u64 x = 0; x < 16; ++x)
        for (u64 y = 0; y < 16; ++y) {
          if (!a.contains(x) || !b.contains(y)) continue;
          ASSERT_TRUE(sum.contains(x + y) && difference.contains(x - y) && product.contains(x * y));
          ASSERT_TRUE(both.contains(x & y) && either.contains(x | y) && one.contains(x ^ y));
        }
      EXPECT_EQ(a.covers(b), [&] {
        for (u64 y = 0; y < 16; ++y)
          if (b.contains(y) && !a.contains(y)) return false;
        return true;
      }());
      bool meets = false;
      for (u64 x = 0; x < 16; ++x) {
        meets |= a.contains(x) && b.contains(x);
        if (may_meet(a, b)) {
          EXPECT_EQ(meet(a, b).contains(x), a.contains(x) && b.contains(x));
        }
      }
      EXPECT_EQ(may_meet(a, b), meets);
    }
}

TEST(Range, EveryOperationOnAllSmallOnes) {
  for (const u64 left_base : kBases) {
    const std::vector<Set> left = small_sets(left_base);
    for (const u64 right_base : {kBases[0], kBases[1], kBases[4], left_base}) {
      const std::vector<Set> right = small_sets(right_base);
      for (std::size_t i = 0; i < left.size(); i += 3)
        for (std::size_t j = i % 2; j < right.size(); j += 2)
          for (const AluOperation operation : kOperations)
            for (const bool is_wide : {true, false})
              for (const bool is_signed : {false, true})
                if (!is_signed || has_sign(operation))
                  check_operation(operation, is_signed, is_wide, left[i], right[j]);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Range, EveryConditionOnAllSmallOnes) {
  for (const u64 left_base : kBases) {
    const std::vector<Set> left = small_sets(left_base);
    for (const u64 right_base : {kBases[0], kBases[1], kBases[4], left_base}) {
      const std::vector<Set> right = small_sets(right_base);
      for (std::size_t i = 0; i < left.size(); i += 2)
        for (std::size_t j = i % 3; j < right.size(); j += 3)
          for (const Condition condition : kConditions)
            for (const bool is_wide : {true, false}) check_condition(condition, is_wide, left[i], right[j]);
      if (HasFatalFailure()) return;
    }
  }
}

// A random range around a number, with members.
Set random_set(std::mt19937_64& random) {
  Set set;
  const auto number = [&random] {
    u64 it = random();
    it >>= random() % 64;
    return random() % 3 == 0 ? ~it : it;
  };
  const u64 seed = number();
  set.members.push_back(seed);
  Range& range = set.range;
  if (random() % 2 == 0) {
    const u64 mask = number() & random();
    range.bits = {seed & ~mask, mask};
  }
  if (random() % 2 == 0) range.wide.umax = std::max(seed, number());
  if (random() % 2 == 0) range.wide.umin = std::min(seed, number());
  const auto with_sign = static_cast<std::int64_t>(seed);
  if (random() % 2 == 0) range.wide.smax = std::max(with_sign, static_cast<std::int64_t>(number()));
  if (random() % 2 == 0) range.wide.smin = std::min(with_sign, static_cast<std::int64_t>(number()));
  const auto low = static_cast<std::uint32_t>(seed);
  if (random() % 2 == 0) range.low.umax = std::max(low, static_cast<std::uint32_t>(number()));
  if (random() % 2 == 0) range.low.umin = std::min(low, static_cast<std::uint32_t>(number()));
  if (random() % 4 == 0) range.low.smax = std::max(static_cast<std::int32_t>(low), static_cast<std::int32_t>(number()));
  if (random() % 4 == 0) range.low.smin = std::min(static_cast<std::int32_t>(low), static_cast<std::int32_t>(number()));
  const Range before = range;
  EXPECT_TRUE(range.tighten());
  for (int i = 0; i < 20; ++i) {
    const u64 candidates[] = {range.wide.umin,
                              range.wide.umax,
                              static_cast<u64>(range.wide.smin),
                              static_cast<u64>(range.wide.smax),
                              seed ^ (random() & range.bits.mask),
                              seed + random() % 16,
                              seed - random() % 16,
                              (seed & ~u64{UINT32_MAX}) | range.low.umin,
                              (seed & ~u64{UINT32_MAX}) | range.low.umax};
    const u64 it = candidates[random() % std::size(candidates)];
    EXPECT_EQ(before.contains(it), range.contains(it)) << text(before) << " tightened to " << text(range) << ": " << it;
    if (range.contains(it)) set.members.push_back(it);
  }
  EXPECT_TRUE(range.contains(seed)) << text(before) << " tightened to " << text(range) << ": " << seed;
  return set;
}

TEST(Range, RandomOnesOf64Bits) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20000; ++round) {
    const Set a = random_set(random), b = random_set(random);
    const AluOperation operation = kOperations[random() % std::size(kOperations)];
    for (const bool is_wide : {true, false})
      for (const bool is_signed : {false, true})
        if (!is_signed || has_sign(operation)) check_operation(operation, is_signed, is_wide, a, b);
    for (const bool is_wide : {true, false})
      check_condition(kConditions[random() % std::size(kConditions)], is_wide, a, b);
    Range both = a.range;
    const bool meets = both.meet(b.range);
    for (const u64 x : a.members)
      if (b.range.contains(x)) {
        ASSERT_TRUE(meets && both.contains(x));
      }
    for (const u64 x : a.members) {
      for (const unsigned bits : {8u, 16u, 32u}) {
        const u64 cut = x & ((u64{1} << bits) - 1);
        const auto extended = static_cast<u64>(static_cast<std::int64_t>(cut << (64 - bits)) >> (64 - bits));
        ASSERT_TRUE(zero_extended(a.range, bits).contains(cut));
        ASSERT_TRUE(sign_extended(a.range, bits, true).contains(extended));
        ASSERT_TRUE(sign_extended(a.range, bits, false).contains(extended & UINT32_MAX));
      }
      ASSERT_TRUE(swapped(a.range, 16).contains(__builtin_bswap16(static_cast<std::uint16_t>(x))));
      ASSERT_TRUE(swapped(a.range, 32).contains(__builtin_bswap32(static_cast<std::uint32_t>(x))));
      ASSERT_TRUE(swapped(a.range, 64).contains(__builtin_bswap64(x)));
    }
    if (HasFatalFailure()) return;
  }
}

TEST(Range, IsPreciseWhereItMatters) {
  const Range byte = Range::of_bytes(1);
  EXPECT_EQ(byte.wide.umax, 255u);
  const Range masked = arithmetic(AluOperation::kAnd, false, true, Range::unknown(), Range::constant(0x3c));
  EXPECT_EQ(masked.wide.umax, 0x3cu);
  EXPECT_EQ(masked.bits, (Tnum{0, 0x3c}));
  const Range words = arithmetic(AluOperation::kLsh, false, true, byte, Range::constant(2));
  EXPECT_EQ(words.wide.umax, 1020u);
  EXPECT_EQ(words.text(), "0..1020, a multiple of 4");
  Range index = Range::unknown(), limit = Range::constant(16);
  ASSERT_TRUE(assume(Condition::kLess, true, true, index, limit));
  EXPECT_EQ(index.text(), "0..15");
  Range low = Range::unknown();
  ASSERT_TRUE(assume(Condition::kLess, true, false, low, limit));
  EXPECT_EQ(zero_extended(low, 32).text(), "0..15");
  EXPECT_EQ(Range::constant(~u64{0}).text(), "-1");
  Range one = Range::constant(1), two = Range::constant(2);
  EXPECT_FALSE(assume(Condition::kEqual, true, true, one, two));
  const Range counted =
      arithmetic(AluOperation::kAdd, false, false, Range::between(1, 10), Range::constant(0xffffffff));
  EXPECT_EQ(counted.text(), "0..9");
}

}  // namespace
}  // namespace weir::verify
