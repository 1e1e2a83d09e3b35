// Every layout of a set holds exactly its members.
#include "engine/set_table.h"

#include <algorithm>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace weir::engine {
namespace {

using flow::Range;

// Sorts, and joins what overlaps or touches.
std::vector<Range> tidy_ranges(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> out;
  for (const Range& range : ranges) {
    if (!out.empty() && range.first <= std::uint64_t{out.back().last} + 1) {
      out.back().last = std::max(out.back().last, range.last);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

void expect_exact(const std::vector<Range>& ranges, std::mt19937& random) {
  const SetTable table = make_set_table(ranges);
  const auto inside = [&](std::uint32_t v) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const Range& r) { return v >= r.first && v <= r.last; });
  };
  std::vector<std::uint32_t> values{0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
  for (const Range& range : ranges)
    for (const std::uint32_t near : {range.first - 1, range.first, range.last, range.last + 1}) values.push_back(near);
  for (int i = 0; i < 200; ++i) values.push_back(static_cast<std::uint32_t>(random()));
  for (const std::uint32_t value : values)
    ASSERT_EQ(table.contains(value), inside(value)) << "kind " << static_cast<int>(table.kind) << ", value " << value;
}

TEST(SetTable, EveryLayoutIsExact) {
  std::mt19937 random(1);
  std::set<SetKind> seen;
  for (int round = 0; round < 600; ++round) {
    static constexpr std::uint32_t kSpreads[] = {50, 3000, 60000, 1u << 20, 0xffffffff};
    const std::uint32_t spread = kSpreads[random() % 5];
    const std::uint32_t start = static_cast<std::uint32_t>(random());
    const std::uint32_t count = 1 + random() % (round % 10 == 0 ? 1500 : 40);
    const std::uint32_t block = random() % 3 == 0 ? 256 : 1;  // equal aligned blocks, single values, or anything
    const bool mixed = random() % 3 == 0;
    std::vector<Range> ranges;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t first = (start + static_cast<std::uint32_t>(random()) % spread) / block * block;
      const std::uint32_t size = mixed ? static_cast<std::uint32_t>(random()) % 500 : block - 1;
      ranges.push_back({first, std::max(first, first + size)});
    }
    ranges = tidy_ranges(std::move(ranges));
    seen.insert(make_set_table(ranges).kind);
    ASSERT_NO_FATAL_FAILURE(expect_exact(ranges, random));
  }
  for (const SetKind kind : {SetKind::kRange, SetKind::kWord, SetKind::kFew, SetKind::kBitmap, SetKind::kPerfect,
                             SetKind::kCuckoo, SetKind::kSearch})
    EXPECT_TRUE(seen.count(kind)) << static_cast<int>(kind);
}

TEST(SetTable, EmptyAndFull) {
  EXPECT_EQ(make_set_table({}).kind, SetKind::kNever);
  EXPECT_EQ(make_set_table({{0, 0xffffffff}}).kind, SetKind::kAlways);
}

// A thousand addresses in a table of the size of a first-level cache at most.
TEST(SetTable, AThousandAddressesFitTheFirstCache) {
  std::mt19937 random(2);
  std::vector<Range> ranges;
  for (int i = 0; i < 1000; ++i) {
    const auto value = static_cast<std::uint32_t>(random());
    ranges.push_back({value, value});
  }
  ranges = tidy_ranges(std::move(ranges));
  const SetTable table = make_set_table(ranges);
  EXPECT_EQ(table.kind, SetKind::kCuckoo);
  EXPECT_LE(table.words.size() * sizeof(std::uint32_t), 32768u);
}

}  // namespace
}  // namespace weir::engine
