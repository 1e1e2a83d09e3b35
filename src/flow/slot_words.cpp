// Slots to scratch words. Exports assign_words.
//
// Two slots may share a word unless one is set while the other is live, that is, may still be read. One walk against
// the topological order finds what is live where; more than sixteen at once cannot be emitted, so the sets stay small
// and the walk is linear. Words are then given greedily, in the order in which slots are met. A slot that may be read
// before it is set is live from the entry and thereby keeps its word to itself until it was read.
#include "flow/slot_words.h"

#include <algorithm>

#include <weir/cbpf/instruction.h>

namespace weir::flow {

Error too_many_words() {
  return Error{.code = ErrorCode::kLimit,
               .message = "the program needs more than the 16 scratch words of the classic machine at once",
               .hint = "split the expression, or nest its arithmetic less deeply"};
}

namespace {

using SlotSet = std::vector<SlotId>;  // sorted

void insert(SlotSet& set, SlotId slot) {
  const auto at = std::lower_bound(set.begin(), set.end(), slot);
  if (at == set.end() || *at != slot) set.insert(at, slot);
}

bool erase(SlotSet& set, SlotId slot) {
  const auto at = std::lower_bound(set.begin(), set.end(), slot);
  if (at == set.end() || *at != slot) return false;
  set.erase(at);
  return true;
}

class Assignment {
 public:
  Assignment(const Graph& graph, const std::vector<BlockId>& order)
      : graph_(graph), order_(order), live_in_(graph.blocks.size()), together_(graph.slot_count) {
    out_.word.assign(graph.slot_count, kNone);
    out_.useless.assign(graph.values.size(), false);
    out_.taken.assign(graph.blocks.size(), 0);
  }

  Result<SlotWords> run() {
    if (graph_.slot_count == 0) return std::move(out_);
    for (auto block = order_.rbegin(); block != order_.rend(); ++block) WEIR_CHECK(walk(*block));
    for (const BlockId block : order_)
      for (const ValueId id : graph_.blocks[block].values)
        if (graph_[id].op == Op::kGetSlot || (graph_[id].op == Op::kSetSlot && !out_.useless[id]))
          WEIR_CHECK(give_word(graph_[id].k));
    for (const BlockId block : order_) find_taken(block);
    return std::move(out_);
  }

 private:
  Status walk(BlockId id) {
    const Block& block = graph_.blocks[id];
    SlotSet live;
    for (const BlockId next : {block.outside, block.exit.if_true.target, block.exit.if_false.target})
      if (next != kNone)
        for (const SlotId slot : live_in_[next]) insert(live, slot);
    for (std::size_t i = block.values.size(); i-- > 0;) {
      const Value& value = graph_[block.values[i]];
      if (value.op == Op::kGetSlot) insert(live, value.k);
      if (live.size() > cbpf::kScratchWords) return fail(too_many_words());
      if (value.op != Op::kSetSlot) continue;
      out_.useless[block.values[i]] = !erase(live, value.k);
      if (out_.useless[block.values[i]]) continue;
      // Over the outside edge the old value may still be read.
      if (block.outside != kNone && contains(live_in_[block.outside], value.k)) insert(live, value.k);
      for (const SlotId other : live) {
        if (other == value.k) continue;
        insert(together_[value.k], other);
        insert(together_[other], value.k);
      }
    }
    live_in_[id] = std::move(live);
    return {};
  }

  static bool contains(const SlotSet& set, SlotId slot) { return std::binary_search(set.begin(), set.end(), slot); }

  Status give_word(SlotId slot) {
    if (out_.word[slot] != kNone) return {};
    std::uint32_t forbidden = 0;
    for (const SlotId other : together_[slot])
      if (out_.word[other] != kNone) forbidden |= 1u << out_.word[other];
    std::uint32_t word = 0;
    while (word < cbpf::kScratchWords && (forbidden & (1u << word)) != 0) ++word;
    if (word == cbpf::kScratchWords) return fail(too_many_words());
    out_.word[slot] = word;
    return {};
  }

  void find_taken(BlockId id) {
    std::uint32_t taken = 0;
    for (const SlotId slot : live_in_[id]) taken |= 1u << out_.word[slot];
    for (const ValueId value : graph_.blocks[id].values)
      if (graph_[value].op == Op::kSetSlot && !out_.useless[value]) taken |= 1u << out_.word[graph_[value].k];
    out_.taken[id] = static_cast<std::uint16_t>(taken);
  }

  const Graph& graph_;
  const std::vector<BlockId>& order_;
  std::vector<SlotSet> live_in_;   // by BlockId
  std::vector<SlotSet> together_;  // by SlotId: slots that must not share its word
  SlotWords out_;
};

}  // namespace

Result<SlotWords> assign_words(const Graph& graph, const std::vector<BlockId>& order) {
  return Assignment(graph, order).run();
}

}  // namespace weir::flow
