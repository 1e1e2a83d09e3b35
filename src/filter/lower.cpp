// Formula to flow graph, or straight to the optimised program. Exports lower and lower_to_program.
//
// Continuation style: a node is lowered knowing where to go when it is true and when it is false, so `and`, `or` and
// `not` cost nothing but edges. The children of a connective are lowered from the last to the first, since each one's
// continuation is the next. Each test becomes a block that computes its terms; loads stay in their test, as written.
// The walk has its own stack: formulas are as wide and as deep as expressions are long.
//
// What the blocks are made in is a parameter: a graph, or the optimiser's builder, which takes formulas without
// variables and spares the graph.
#include <weir/filter/lower.h>

#include <algorithm>

#include <weir/flow/builder.h>

namespace weir::filter {
namespace {

using flow::BlockId;
using flow::ValueId;

flow::Op op_of(TermOp op) {
  switch (op) {
    case TermOp::kConstant: return flow::Op::kConstant;
    case TermOp::kLoad: return flow::Op::kLoad;
    case TermOp::kLength: return flow::Op::kLength;
    case TermOp::kExtension: return flow::Op::kExtension;
    case TermOp::kVariable: return flow::Op::kGetSlot;
    case TermOp::kNegate: return flow::Op::kNegate;
    case TermOp::kAdd: return flow::Op::kAdd;
    case TermOp::kSubtract: return flow::Op::kSubtract;
    case TermOp::kMultiply: return flow::Op::kMultiply;
    case TermOp::kDivide: return flow::Op::kDivide;
    case TermOp::kModulo: return flow::Op::kModulo;
    case TermOp::kAnd: return flow::Op::kAnd;
    case TermOp::kOr: return flow::Op::kOr;
    case TermOp::kXor: return flow::Op::kXor;
    case TermOp::kShiftLeft: return flow::Op::kShiftLeft;
    case TermOp::kShiftRight: return flow::Op::kShiftRight;
  }
  return flow::Op::kConstant;
}

// Makes the blocks in a graph.
class GraphBlocks {
 public:
  explicit GraphBlocks(const Bound& bound) : bound_(bound) {
    graph_.slot_count = bound.variable_count;
    graph_.blocks.reserve(bound.nodes.size() + 2);
    graph_.values.reserve(bound.terms.size() + 2);
  }

  BlockId verdict(std::uint32_t value) {
    const BlockId block = graph_.add_block();
    const ValueId constant = graph_.append_constant(block, value);
    graph_.blocks[block].exit.lhs = constant;
    return block;
  }

  BlockId test(const FormulaNode& node, BlockId if_true, BlockId if_false, BlockId) {
    const BlockId block = graph_.add_block();
    graph_.blocks[block].values.reserve(4);
    const ValueId lhs = append_term(block, node.lhs);
    const ValueId rhs = append_term(block, node.rhs);
    flow::Exit& exit = graph_.blocks[block].exit;
    exit.kind = flow::ExitKind::kTest;
    exit.condition = node.condition;
    exit.lhs = lhs;
    exit.rhs = rhs;
    exit.if_true.target = if_true;
    exit.if_false.target = if_false;
    return block;
  }

  BlockId assign(const FormulaNode& node, BlockId next) {
    const BlockId block = graph_.add_block();
    const ValueId value = append_term(block, node.lhs);
    graph_.append(block, {.op = flow::Op::kSetSlot, .a = value, .k = node.variable});
    graph_.blocks[block].exit.kind = flow::ExitKind::kJump;
    graph_.blocks[block].exit.if_true.target = next;
    return block;
  }

  flow::Graph finish(BlockId entry) {
    graph_.entry = entry;
    return std::move(graph_);
  }

 private:
  // Most terms are a load, perhaps with a mask: those are appended directly, others by their order of computation.
  bool is_small(TermId id, int depth) const {
    const Term& term = bound_.terms[id];
    if (term.a == kNoTerm && term.b == kNoTerm) return true;
    return depth > 0 && term.a != term.b && (term.a == kNoTerm || is_small(term.a, depth - 1)) &&
           (term.b == kNoTerm || is_small(term.b, depth - 1));
  }
  ValueId append_small(BlockId block, TermId id) {
    const Term& term = bound_.terms[id];
    const ValueId a = term.a == kNoTerm ? flow::kNone : append_small(block, term.a);
    const ValueId b = term.b == kNoTerm ? flow::kNone : append_small(block, term.b);
    return graph_.append(block, {.op = op_of(term.op), .size = term.size, .a = a, .b = b, .k = term.k});
  }

  // Appends a term, and the terms it is made of, to a block; terms are made before those that use them, so the order of
  // their ids is an order of computation.
  ValueId append_term(BlockId block, TermId root) {
    if (is_small(root, 3)) return append_small(block, root);
    needed_.assign(1, root);
    for (std::size_t i = 0; i < needed_.size(); ++i)
      for (const TermId operand : {bound_.terms[needed_[i]].a, bound_.terms[needed_[i]].b})
        if (operand != kNoTerm) needed_.push_back(operand);
    std::sort(needed_.begin(), needed_.end());
    needed_.erase(std::unique(needed_.begin(), needed_.end()), needed_.end());
    made_.resize(needed_.size());
    const auto value_of = [&](TermId term) {
      if (term == kNoTerm) return flow::kNone;
      const auto at = std::lower_bound(needed_.begin(), needed_.end(), term) - needed_.begin();
      return made_[static_cast<std::size_t>(at)];
    };
    for (std::size_t i = 0; i < needed_.size(); ++i) {
      const Term& term = bound_.terms[needed_[i]];
      made_[i] = graph_.append(
          block, {.op = op_of(term.op), .size = term.size, .a = value_of(term.a), .b = value_of(term.b), .k = term.k});
    }
    return made_.back();
  }

  const Bound& bound_;
  flow::Graph graph_;
  std::vector<TermId> needed_;
  std::vector<ValueId> made_;
};

// Makes them in the optimiser's builder, where a term's value has the term's number.
class BuilderBlocks {
 public:
  explicit BuilderBlocks(const Bound& bound) : builder_({bound.terms.size(), bound.nodes.size() + 2}) {
    for (const Term& term : bound.terms) make(term);
  }

  BlockId verdict(std::uint32_t value) { return builder_.verdict(value); }
  BlockId test(const FormulaNode& node, BlockId if_true, BlockId if_false, BlockId sole) {
    return builder_.test({.condition = node.condition,
                          .lhs = node.lhs,
                          .rhs = node.rhs,
                          .if_true = if_true,
                          .if_false = if_false,
                          .sole = sole});
  }
  BlockId assign(const FormulaNode&, BlockId next) { return next; }  // a formula without variables has none
  std::optional<cbpf::Program> finish(BlockId entry, const flow::OptimiseOptions& passes) {
    return builder_.optimise_and_emit(entry, passes);
  }

 private:
  void make(const Term& term) {
    switch (term.op) {
      case TermOp::kConstant: builder_.constant(term.k); break;
      case TermOp::kLoad: builder_.load(term.size, term.a, term.k); break;
      case TermOp::kLength: builder_.length(); break;
      case TermOp::kExtension: builder_.extension(term.k); break;
      case TermOp::kVariable: builder_.constant(0); break;  // never assigned
      case TermOp::kNegate: builder_.negate(term.a); break;
      default: builder_.binary(op_of(term.op), term.a, term.b); break;
    }
  }
  static_assert(kNoTerm == flow::kNone);

  flow::Builder builder_;
};

template <typename Blocks>
class Lowering {
 public:
  explicit Lowering(const Bound& bound) : bound_(bound), blocks_(bound) {}

  template <typename... Options>
  auto run(std::uint32_t accept, const Options&... options) {
    const BlockId yes = blocks_.verdict(accept);
    const BlockId no = blocks_.verdict(0);
    return blocks_.finish(lower_node(bound_.root, yes, no), options...);
  }

 private:
  // A connective whose children are being lowered, last to first; `next` is where the child already lowered starts.
  struct Frame {
    FormulaId node;
    BlockId if_true;
    BlockId if_false;
    std::size_t remaining;
    BlockId next;
  };

  // Lowers a node that is no connective, or opens a frame for one that is.
  // Returns the block where it starts, or kNone when a frame was opened.
  BlockId enter(FormulaId id, BlockId if_true, BlockId if_false) {
    for (;;) {
      const FormulaNode& node = bound_.nodes[id];
      switch (node.kind) {
        case FormulaKind::kTrue: return if_true;
        case FormulaKind::kFalse: return if_false;
        case FormulaKind::kTest: return blocks_.test(node, if_true, if_false, sole_);
        case FormulaKind::kAssign: return blocks_.assign(node, if_true);
        case FormulaKind::kNot:
          id = node.children.front();
          std::swap(if_true, if_false);
          continue;
        case FormulaKind::kAnd:
        case FormulaKind::kOr:
          stack_.push_back(
              {id, if_true, if_false, node.children.size(), node.kind == FormulaKind::kAnd ? if_true : if_false});
          return flow::kNone;
      }
    }
  }

  BlockId lower_node(FormulaId root, BlockId yes, BlockId no) {
    BlockId start = enter(root, yes, no);
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      if (start != flow::kNone) frame.next = start;
      if (frame.remaining == 0) {
        start = frame.next;
        stack_.pop_back();
        continue;
      }
      const FormulaNode& node = bound_.nodes[frame.node];
      const FormulaId child = node.children[--frame.remaining];
      const bool is_and = node.kind == FormulaKind::kAnd;
      // Of two tests beside each other, the first alone leads to the second.
      const bool tests = frame.remaining + 1 < node.children.size() && bound_.nodes[child].kind == FormulaKind::kTest &&
                         bound_.nodes[node.children[frame.remaining + 1]].kind == FormulaKind::kTest;
      sole_ = tests ? frame.next : flow::kNone;
      start = enter(child, is_and ? frame.next : frame.if_true, is_and ? frame.if_false : frame.next);
    }
    return start;
  }

  const Bound& bound_;
  Blocks blocks_;
  std::vector<Frame> stack_;
  BlockId sole_ = flow::kNone;  // where only the test made next leads
};

}  // namespace

flow::Graph lower(const Bound& bound, const LowerOptions& options) {
  return Lowering<GraphBlocks>(bound).run(options.accept);
}

std::optional<cbpf::Program> lower_to_program(const Bound& bound, const LowerOptions& options,
                                              const flow::OptimiseOptions& passes) {
  if (bound.variable_count != 0) return std::nullopt;
  return Lowering<BuilderBlocks>(bound).run(options.accept, passes);
}

}  // namespace weir::filter
