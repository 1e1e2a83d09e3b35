// Which scratch word each slot has.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/base/error.h>
#include <weir/flow/graph.h>

namespace weir::flow {

struct SlotWords {
  std::vector<std::uint32_t> word;   // by SlotId; kNone for a slot that is never read
  std::vector<bool> useless;         // by ValueId: a kSetSlot that nothing reads
  std::vector<std::uint16_t> taken;  // by BlockId: bit i says that M[i] holds a slot somewhere in the block
};

// Fails with kLimit when more than sixteen slots hold a value at once. `order` is topological_order(graph).
Result<SlotWords> assign_words(const Graph& graph, const std::vector<BlockId>& order);

Error too_many_words();

}  // namespace weir::flow
