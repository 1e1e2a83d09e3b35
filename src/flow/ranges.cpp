// Sets of numbers as ranges. Exports the functions of ranges.h, each linear or a binary search, but for sorting.
#include "flow/ranges.h"

#include <algorithm>

namespace weir::flow {

void normalise(Ranges& ranges) {
  if (ranges.size() < 2) return;
  const auto before = [](const Range& a, const Range& b) { return a.first < b.first; };
  if (!std::is_sorted(ranges.begin(), ranges.end(), before)) std::sort(ranges.begin(), ranges.end(), before);
  std::size_t kept = 0;
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    Range& last = ranges[kept];
    if (last.last == kLastNumber) break;
    if (ranges[i].first <= last.last + 1) last.last = std::max(last.last, ranges[i].last);
    else ranges[++kept] = ranges[i];
  }
  ranges.resize(kept + 1);
}

void complement(std::span<const Range> ranges, Ranges& out) {
  out.clear();
  std::uint32_t next = 0;
  for (const Range& range : ranges) {
    if (range.first > next) out.push_back({next, range.first - 1});
    if (range.last == kLastNumber) return;
    next = range.last + 1;
  }
  out.push_back({next, kLastNumber});
}

void intersect(std::span<const Range> a, std::span<const Range> b, Ranges& out) {
  out.clear();
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const std::uint32_t first = std::max(a[i].first, b[j].first);
    const std::uint32_t last = std::min(a[i].last, b[j].last);
    if (first <= last) out.push_back({first, last});
    if (a[i].last < b[j].last) ++i;
    else ++j;
  }
}

Overlap overlap(std::span<const Range> ranges, const Range& range) {
  const auto at = std::lower_bound(ranges.begin(), ranges.end(), range.first,
                                   [](const Range& one, std::uint32_t number) { return one.last < number; });
  if (at == ranges.end() || at->first > range.last) return Overlap::kApart;
  return at->first <= range.first && at->last >= range.last ? Overlap::kAll : Overlap::kSome;
}

bool contains(std::span<const Range> ranges, std::uint32_t number) {
  return overlap(ranges, {number, number}) == Overlap::kAll;
}

}  // namespace weir::flow
