// A set of 32-bit values, laid out so that machine code can ask for membership without branches. Exports SetTable.
//
// The layout is chosen by cost, from the cheapest:
//   kRange     one range: subtract and compare
//   kWord      all within 64 values: one shift of a constant
//   kFew       up to four ranges: as many comparisons, or-ed
//   kBitmap    all within 2^16 values: a bit in memory
//   kPerfect   equal aligned ranges, at most some hundred: one probe of a hash table without collisions
//   kCuckoo    equal aligned ranges, any number: two probes (Pagh and Rodler, "Cuckoo hashing", 2004)
//   kSearch    anything else: a binary search over the ranges' ends, unrolled and free of branches
// A table's free slots hold members, which are never found there by another value: no value needs to mean "empty".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <weir/flow/graph.h>

namespace weir::engine {

enum class SetKind : std::uint8_t { kNever, kAlways, kRange, kWord, kFew, kBitmap, kPerfect, kCuckoo, kSearch };

struct SetTable {
  SetKind kind = SetKind::kNever;
  std::uint32_t first = 0;                // kRange, kWord, kBitmap: the smallest value
  std::uint32_t span = 0;                 // the largest less the smallest
  std::uint64_t bits = 0;                 // kWord: bit v - first
  std::vector<flow::Range> ranges{};      // kFew
  std::uint32_t key_shift = 0;            // hashes: the key is v >> key_shift
  std::uint32_t multipliers[2] = {0, 0};  // hashes: the slot is (key * multiplier) mod 2^32 >> hash_shift
  std::uint32_t hash_shift = 0;
  std::uint32_t second_table = 0;  // kCuckoo: index of the second table's first word
  bool parity = false;             // kSearch: v is inside when the number of ends <= v is odd, if not `parity`
  std::vector<std::uint32_t> words{};

  bool contains(std::uint32_t value) const;
};

// ranges: sorted, disjoint, not adjacent.
SetTable make_set_table(const std::vector<flow::Range>& ranges);

}  // namespace weir::engine
