// Sets of 32-bit numbers as sorted, disjoint, not adjacent ranges: union, complement, and the like. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <weir/flow/graph.h>

namespace weir::flow {

using Ranges = std::vector<Range>;
inline constexpr std::uint32_t kLastNumber = 0xffffffff;

// Sorts, and joins what overlaps or touches.
void normalise(Ranges& ranges);
void complement(std::span<const Range> ranges, Ranges& out);
void intersect(std::span<const Range> a, std::span<const Range> b, Ranges& out);
bool contains(std::span<const Range> ranges, std::uint32_t number);
// How [first, last] lies to a normalised set: wholly inside, wholly outside, or neither.
enum class Overlap : std::uint8_t { kApart, kSome, kAll };
Overlap overlap(std::span<const Range> ranges, const Range& range);

inline bool is_all(std::span<const Range> ranges) {
  return ranges.size() == 1 && ranges[0].first == 0 && ranges[0].last == kLastNumber;
}

}  // namespace weir::flow
