// Making graphs. Exports Graph's members.
#include <weir/flow/graph.h>

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

}  // namespace weir::flow
