// The layout of sets. Exports make_set_table.
#include "engine/set_table.h"

#include <algorithm>
#include <bit>

namespace weir::engine {
namespace {

using flow::Range;

constexpr std::size_t kFewRanges = 4;
constexpr std::uint32_t kBitmapSpan = 1u << 16;
constexpr std::uint32_t kPerfectWords = 4096;  // 16 KiB: half of a first-level cache
constexpr int kTries = 48;

// splitmix64: a fixed sequence, so that a set always has the same table.
class Multipliers {
 public:
  std::uint32_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::uint32_t>(z >> 32) | 1u;
  }

 private:
  std::uint64_t state_ = 0x77656972;
};

std::uint32_t slot(std::uint32_t key, std::uint32_t multiplier, std::uint32_t shift) {
  return key * multiplier >> shift;
}

// log2 of the size of all ranges, where all are equal and aligned; or -1.
int equal_size_log(const std::vector<Range>& ranges) {
  const std::uint32_t extent = ranges[0].last - ranges[0].first;
  if (extent == 0xffffffff || !std::has_single_bit(extent + 1)) return -1;
  for (const Range& range : ranges)
    if (range.last - range.first != extent || (range.first & extent) != 0) return -1;
  return std::countr_zero(extent + 1);
}

// Ranges of different sizes, cut into single values where that makes few of them; else empty.
std::vector<std::uint32_t> single_values(const std::vector<Range>& ranges) {
  std::uint64_t total = 0;
  for (const Range& range : ranges) total += std::uint64_t{range.last} - range.first + 1;
  std::vector<std::uint32_t> keys;
  if (total > 4 * ranges.size()) return keys;
  for (const Range& range : ranges)
    for (std::uint32_t v = range.first;; ++v) {
      keys.push_back(v);
      if (v == range.last) break;
    }
  return keys;
}

bool make_perfect(SetTable& table, const std::vector<std::uint32_t>& keys) {
  const auto size = static_cast<std::uint32_t>(keys.size());
  if (std::uint64_t{size} * size > 6 * std::uint64_t{kPerfectWords}) return false;
  Multipliers multipliers;
  for (std::uint32_t words = std::bit_ceil(2 * size); words <= kPerfectWords; words *= 2) {
    // The chance that nothing collides is about e^(-n^2 / 2m).
    if (std::uint64_t{size} * size > 6 * std::uint64_t{words}) continue;
    const auto shift = static_cast<std::uint32_t>(32 - std::countr_zero(words));
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const std::uint32_t multiplier = multipliers.next();
      std::vector<bool> taken(words, false);
      bool collides = false;
      for (const std::uint32_t key : keys) {
        const std::uint32_t at = slot(key, multiplier, shift);
        if ((collides = taken[at])) break;
        taken[at] = true;
      }
      if (collides) continue;
      table.kind = SetKind::kPerfect;
      table.multipliers[0] = multiplier;
      table.hash_shift = shift;
      table.words.assign(words, keys[0]);
      for (const std::uint32_t key : keys) table.words[slot(key, multiplier, shift)] = key;
      return true;
    }
  }
  return false;
}

bool place(SetTable& table, std::vector<bool>& taken, std::uint32_t key) {
  std::uint32_t which = 0;
  for (int kicks = 0; kicks < 64; ++kicks) {
    for (std::uint32_t side = 0; side < 2; ++side) {
      const std::uint32_t at = slot(key, table.multipliers[side], table.hash_shift) + side * table.second_table;
      if (taken[at]) continue;
      taken[at] = true;
      table.words[at] = key;
      return true;
    }
    const std::uint32_t at = slot(key, table.multipliers[which], table.hash_shift) + which * table.second_table;
    std::swap(key, table.words[at]);
    which = 1 - which;
  }
  return false;
}

bool make_cuckoo(SetTable& table, const std::vector<std::uint32_t>& keys) {
  Multipliers multipliers;
  std::uint32_t half = std::bit_ceil(static_cast<std::uint32_t>(keys.size() + keys.size() / 4));
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (attempt != 0 && attempt % 8 == 0) half *= 2;
    table.kind = SetKind::kCuckoo;
    table.multipliers[0] = multipliers.next();
    table.multipliers[1] = multipliers.next();
    table.hash_shift = static_cast<std::uint32_t>(32 - std::countr_zero(half));
    table.second_table = half;
    table.words.assign(std::size_t{2} * half, keys[0]);
    std::vector<bool> taken(std::size_t{2} * half, false);
    if (std::all_of(keys.begin(), keys.end(), [&](std::uint32_t key) { return place(table, taken, key); })) return true;
  }
  return false;
}

void make_search(SetTable& table, const std::vector<Range>& ranges) {
  std::vector<std::uint32_t> ends;
  for (const Range& range : ranges) {
    ends.push_back(range.first);
    if (range.last != 0xffffffff) ends.push_back(range.last + 1);
  }
  // 2^n - 1 words; zeroes in front are all <= v, and so only turn the parity.
  const std::size_t words = std::bit_ceil(ends.size() + 1) - 1;
  const std::size_t zeroes = words - ends.size();
  table.kind = SetKind::kSearch;
  table.parity = zeroes % 2 != 0;
  table.words.assign(zeroes, 0);
  table.words.insert(table.words.end(), ends.begin(), ends.end());
}

void make_bitmap(SetTable& table, const std::vector<Range>& ranges) {
  table.kind = SetKind::kBitmap;
  table.words.assign(table.span / 32 + 1, 0);
  for (const Range& range : ranges)
    for (std::uint32_t at = range.first - table.first; at <= range.last - table.first; ++at)
      table.words[at / 32] |= 1u << (at % 32);
}

}  // namespace

SetTable make_set_table(const std::vector<Range>& ranges) {
  SetTable table;
  if (ranges.empty()) return table;
  table.first = ranges.front().first;
  table.span = ranges.back().last - table.first;
  if (ranges.size() == 1) {
    table.kind = table.span == 0xffffffff ? SetKind::kAlways : SetKind::kRange;
    return table;
  }
  if (table.span < 64) {
    table.kind = SetKind::kWord;
    for (const Range& range : ranges)
      for (std::uint32_t at = range.first - table.first; at <= range.last - table.first; ++at)
        table.bits |= std::uint64_t{1} << at;
    return table;
  }
  if (ranges.size() <= kFewRanges) {
    table.kind = SetKind::kFew;
    table.ranges = ranges;
    return table;
  }
  if (table.span < kBitmapSpan) {
    make_bitmap(table, ranges);
    return table;
  }
  std::vector<std::uint32_t> keys;
  if (const int log = equal_size_log(ranges); log >= 0) {
    table.key_shift = static_cast<std::uint32_t>(log);
    for (const Range& range : ranges) keys.push_back(range.first >> log);
  } else {
    keys = single_values(ranges);
  }
  if (!keys.empty() && (make_perfect(table, keys) || make_cuckoo(table, keys))) return table;
  table.key_shift = 0;
  make_search(table, ranges);
  return table;
}

bool SetTable::contains(std::uint32_t value) const {
  switch (kind) {
    case SetKind::kNever: return false;
    case SetKind::kAlways: return true;
    case SetKind::kRange: return value - first <= span;
    case SetKind::kWord: return value - first <= span && (bits >> (value - first) & 1) != 0;
    case SetKind::kFew:
      return std::any_of(ranges.begin(), ranges.end(),
                         [&](const Range& range) { return value - range.first <= range.last - range.first; });
    case SetKind::kBitmap:
      return value - first <= span && (words[(value - first) / 32] >> ((value - first) % 32) & 1) != 0;
    case SetKind::kPerfect: {
      const std::uint32_t key = value >> key_shift;
      return words[slot(key, multipliers[0], hash_shift)] == key;
    }
    case SetKind::kCuckoo: {
      const std::uint32_t key = value >> key_shift;
      return words[slot(key, multipliers[0], hash_shift)] == key ||
             words[slot(key, multipliers[1], hash_shift) + second_table] == key;
    }
    case SetKind::kSearch: {
      std::size_t at = 0;
      for (std::size_t step = (words.size() + 1) / 2; step != 0; step /= 2)
        if (words[at + step - 1] <= value) at += step;
      return (at % 2 != 0) != parity;
    }
  }
  return false;
}

}  // namespace weir::engine
