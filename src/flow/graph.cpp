// Making graphs and walking them. Exports Graph's members and topological_order.
#include <weir/flow/graph.h>

#include <algorithm>

namespace weir::flow {

ValueId Graph::add(Value value) {
  values.push_back(value);
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::append(BlockId block, Value value) {
  const ValueId id = add(value);
  blocks[block].values.push_back(id);
  return id;
}

BlockId Graph::add_block() {
  blocks.emplace_back();
  return static_cast<BlockId>(blocks.size() - 1);
}

// Reverse post-order of a depth-first walk that takes the false edge first, so that a block's true successor follows it
// directly wherever both orders are possible. The stack is explicit: graphs are as deep as expressions are long.
std::vector<BlockId> topological_order(const Graph& graph) {
  if (graph.entry == kNone) return {};
  struct Visit {
    BlockId block;
    std::uint8_t next;  // successor to look at: outside, false, true, then done
  };
  std::vector<bool> seen(graph.blocks.size(), false);
  std::vector<BlockId> order;
  order.reserve(graph.blocks.size());
  std::vector<Visit> stack;
  stack.reserve(32);
  stack.push_back({graph.entry, 0});
  seen[graph.entry] = true;
  while (!stack.empty()) {
    const BlockId id = stack.back().block;
    const std::uint8_t next = stack.back().next++;
    if (next == 3) {
      order.push_back(id);
      stack.pop_back();
      continue;
    }
    const Block& block = graph.blocks[id];
    const BlockId successor = next == 0   ? block.outside
                              : next == 1 ? block.exit.if_false.target
                                          : block.exit.if_true.target;
    if (successor == kNone || seen[successor]) continue;
    seen[successor] = true;
    stack.push_back({successor, 0});
  }
  std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace weir::flow
