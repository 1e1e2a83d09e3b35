// The rules of a graph, checked. Exports validate.
//
// Whether a definition dominates its use is decided on a graph with two nodes a block: its start, which its parameters
// are defined at and which its outside edge leaves from, and its end, which its values are defined at. A graph without
// cycles needs one walk to find each node's immediate dominator (Cooper, Harvey and Kennedy, "A simple, fast dominance
// algorithm", 2001); intervals of the tree they make answer each question at once. All of it is linear but for the
// search of common dominators.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>
#include <weir/flow/graph.h>

namespace weir::flow {
namespace {

class Validator {
 public:
  explicit Validator(const Graph& graph) : graph_(graph), place_(graph.values.size()) {}

  Status run() {
    if (graph_.entry >= graph_.blocks.size()) return fail("the graph has no entry");
    if (!graph_.blocks[graph_.entry].parameters.empty()) return fail("the entry has parameters");
    for (BlockId id = 0; id < graph_.blocks.size(); ++id) {
      WEIR_CHECK(edges_in_range(id));
      WEIR_CHECK(values_in_range(id));
    }
    order_ = topological_order(graph_);
    WEIR_CHECK(no_cycle());
    find_dominators();
    for (const BlockId id : order_) WEIR_CHECK(define(id));
    for (const BlockId id : order_) WEIR_CHECK(block(id));
    return {};
  }

 private:
  // Where a value is defined: in which block, and how many values of the block stand before.
  struct Place {
    BlockId block = kNone;
    std::uint32_t index = 0;  // of a parameter: kBeforeAll
  };
  static constexpr std::uint32_t kBeforeAll = std::numeric_limits<std::uint32_t>::max();
  using Node = std::uint32_t;
  static Node start_of(BlockId block) { return 2 * block; }
  static Node end_of(BlockId block) { return 2 * block + 1; }

  Status edges_in_range(BlockId id) const {
    const Block& block = graph_.blocks[id];
    const Exit& exit = block.exit;
    const bool one = exit.kind != ExitKind::kVerdict;
    const bool two = exit.kind == ExitKind::kTest || exit.kind == ExitKind::kSet;
    for (const BlockId next : {block.outside, exit.if_true.target, exit.if_false.target})
      if (next != kNone && next >= graph_.blocks.size()) return fail(fmt::format("block {} leads to no block", id));
    if ((exit.if_true.target != kNone) != one || (exit.if_false.target != kNone) != two)
      return fail(fmt::format("block {} has edges that its exit does not take, or lacks some", id));
    if (block.outside != kNone && !graph_.blocks[block.outside].parameters.empty())
      return fail(fmt::format("block {} leads outside to block {}, which has parameters", id, block.outside));
    return {};
  }

  // Also where nothing uses a value, and where nothing leads.
  Status values_in_range(BlockId id) const {
    const Block& block = graph_.blocks[id];
    const auto is_none = [&](ValueId value) { return value != kNone && value >= graph_.values.size(); };
    bool wrong = is_none(block.exit.lhs) || is_none(block.exit.rhs);
    for (const std::vector<ValueId>* list :
         {&block.parameters, &block.values, &block.exit.if_true.arguments, &block.exit.if_false.arguments})
      wrong = wrong || std::any_of(list->begin(), list->end(), [&](ValueId v) { return v >= graph_.values.size(); });
    for (std::size_t i = 0; i < block.values.size() && !wrong; ++i)
      wrong = is_none(graph_[block.values[i]].a) || is_none(graph_[block.values[i]].b);
    return wrong ? fail(fmt::format("block {} names a value that the graph does not have", id)) : Status{};
  }

  Status no_cycle() const {
    std::vector<std::size_t> position(graph_.blocks.size(), order_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) position[order_[i]] = i;
    for (const BlockId id : order_) {
      const Block& block = graph_.blocks[id];
      for (const BlockId next : {block.outside, block.exit.if_true.target, block.exit.if_false.target})
        if (next != kNone && position[next] <= position[id])
          return fail(fmt::format("block {} leads back to block {}", id, next));
    }
    return {};
  }

  void find_dominators() {
    dominator_.assign(2 * graph_.blocks.size(), kNone);
    depth_.assign(dominator_.size(), 0);
    std::vector<Node> nodes;  // each after its dominator
    const auto reach = [&](Node from, BlockId to) {
      if (to == kNone) return;
      Node& known = dominator_[start_of(to)];
      known = known == kNone ? from : common(known, from);
    };
    for (const BlockId id : order_) {
      const Node start = start_of(id);
      if (dominator_[start] != kNone) depth_[start] = depth_[dominator_[start]] + 1;
      dominator_[end_of(id)] = start;
      depth_[end_of(id)] = depth_[start] + 1;
      nodes.push_back(start);
      nodes.push_back(end_of(id));
      const Block& block = graph_.blocks[id];
      reach(start, block.outside);
      reach(end_of(id), block.exit.if_true.target);
      reach(end_of(id), block.exit.if_false.target);
    }
    number_intervals(nodes);
  }

  Node common(Node a, Node b) const {
    while (a != b) {
      if (depth_[a] < depth_[b]) std::swap(a, b);
      a = dominator_[a];
    }
    return a;
  }

  // Nodes of a subtree get the numbers [first, first + size): sizes from the leaves up, numbers from the root down.
  void number_intervals(const std::vector<Node>& nodes) {
    size_.assign(dominator_.size(), 1);
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node)
      if (dominator_[*node] != kNone) size_[dominator_[*node]] += size_[*node];
    first_.assign(dominator_.size(), 0);
    std::vector<std::uint32_t> next(dominator_.size(), 0);
    for (const Node node : nodes) {
      if (dominator_[node] != kNone) {
        first_[node] = next[dominator_[node]];
        next[dominator_[node]] += size_[node];
      }
      next[node] = first_[node] + 1;
    }
  }

  bool dominates(Node a, Node b) const { return first_[b] >= first_[a] && first_[b] < first_[a] + size_[a]; }

  Status define(BlockId id) {
    const Block& block = graph_.blocks[id];
    for (const ValueId parameter : block.parameters) {
      if (parameter >= graph_.values.size() || graph_[parameter].op != Op::kParameter ||
          place_[parameter].block != kNone)
        return fail(fmt::format("block {} has a parameter that is none", id));
      place_[parameter] = {id, kBeforeAll};
    }
    for (std::uint32_t i = 0; i < block.values.size(); ++i) {
      const ValueId value = block.values[i];
      if (value >= graph_.values.size() || graph_[value].op == Op::kParameter || place_[value].block != kNone)
        return fail(fmt::format("block {} holds no value {}, or another block does too", id, value));
      place_[value] = {id, i};
    }
    return {};
  }

  // Whether `value` may be used in the block by the value with this index, or by its exit.
  Status operand(BlockId id, ValueId value, std::size_t index) const {
    const auto refuse = [&] { return fail(fmt::format("block {} uses a value that is not defined before", id)); };
    if (value >= graph_.values.size() || graph_[value].op == Op::kSetSlot) return refuse();
    const Place& place = place_[value];
    if (place.block == kNone) return refuse();
    if (place.block == id) return place.index == kBeforeAll || place.index < index ? Status{} : refuse();
    const Node defined_at = place.index == kBeforeAll ? start_of(place.block) : end_of(place.block);
    return dominates(defined_at, start_of(id)) ? Status{} : refuse();
  }

  Status block(BlockId id) const {
    const Block& block = graph_.blocks[id];
    for (std::size_t i = 0; i < block.values.size(); ++i) {
      const Value& value = graph_[block.values[i]];
      const bool binary = value.op >= Op::kAdd;
      const bool unary = value.op == Op::kNegate || value.op == Op::kSetSlot;
      if (binary || unary || value.a != kNone) WEIR_CHECK(operand(id, value.a, i));
      if (binary || value.b != kNone) WEIR_CHECK(operand(id, value.b, i));
      if (value.op == Op::kLoad && value.size != 1 && value.size != 2 && value.size != 4)
        return fail(fmt::format("block {} loads {} bytes", id, value.size));
      if ((value.op == Op::kGetSlot || value.op == Op::kSetSlot) && value.k >= graph_.slot_count)
        return fail(fmt::format("block {} uses slot {} of {}", id, value.k, graph_.slot_count));
      if (value.op == Op::kExtension &&
          (value.k >= 0u - cbpf::kExtensionBase || cbpf::find_extension(cbpf::kExtensionBase + value.k) == nullptr))
        return fail(fmt::format("block {} loads extension {}, which is none", id, value.k));
    }
    return exit(id, block.exit);
  }

  Status exit(BlockId id, const Exit& exit) const {
    constexpr std::size_t kAfterAll = std::numeric_limits<std::size_t>::max();
    if (exit.kind != ExitKind::kJump) WEIR_CHECK(operand(id, exit.lhs, kAfterAll));
    if (exit.kind == ExitKind::kTest) WEIR_CHECK(operand(id, exit.rhs, kAfterAll));
    for (std::size_t i = 0; i < exit.set.size(); ++i) {
      const bool sorted =
          i == 0 || (exit.set[i - 1].last < exit.set[i].first && exit.set[i].first - exit.set[i - 1].last > 1);
      if (exit.set[i].first > exit.set[i].last || !sorted)
        return fail(fmt::format("the set of block {} is not sorted, or has ranges that touch", id));
    }
    for (const Edge* edge : {&exit.if_true, &exit.if_false}) {
      if (edge->target == kNone) continue;
      if (edge->arguments.size() != graph_.blocks[edge->target].parameters.size())
        return fail(fmt::format("block {} gives block {} {} arguments", id, edge->target, edge->arguments.size()));
      for (const ValueId argument : edge->arguments) WEIR_CHECK(operand(id, argument, kAfterAll));
    }
    return {};
  }

  const Graph& graph_;
  std::vector<BlockId> order_;
  std::vector<Place> place_;                 // by ValueId
  std::vector<Node> dominator_;              // by Node: the immediate one
  std::vector<std::uint32_t> depth_;         // by Node, in the tree of dominators
  std::vector<std::uint32_t> first_, size_;  // by Node: its interval
};

}  // namespace

Status validate(const Graph& graph) { return Validator(graph).run(); }

}  // namespace weir::flow
