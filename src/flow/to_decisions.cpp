// Graph to decisions: every value gets the number of its expression, and slots vanish. Exports to_decisions.
//
// Blocks are taken in topological order, so that operands and the slots of all predecessors are known. A slot that may
// still be read and that predecessors leave with different expressions becomes a parameter (static single assignment,
// which needs no iteration where there are no cycles). Loads and divisions leave a demand behind; tests take their
// simplest form.
#include <algorithm>
#include <unordered_map>

#include <weir/cbpf/instruction.h>

#include "flow/decisions.h"

namespace weir::flow {
namespace {

constexpr std::uint64_t kMostSlotPlaces = 1u << 24;

class Numbering {
 public:
  explicit Numbering(const Graph& graph) : graph_(graph), expr_of_(graph.values.size(), kNone) {
    out_.expressions.reserve(std::min<std::size_t>(graph.values.size() / 2, 4096));
    out_.ranges.reserve(graph.blocks.size());
    out_.lists.reserve(16);
  }

  std::optional<Decisions> run() {
    order_ = topological_order(graph_);
    place_.assign(graph_.blocks.size(), kNone);
    for (std::size_t i = 0; i < order_.size(); ++i) place_[order_[i]] = static_cast<DecisionId>(i);
    out_.all.resize(order_.size());
    if (std::uint64_t{graph_.slot_count} * graph_.blocks.size() > kMostSlotPlaces) return std::nullopt;
    if (graph_.slot_count != 0) find_live();
    highest_given_.assign(graph_.values.size(), 0);
    reached_.assign(graph_.blocks.size(), false);
    reached_[graph_.entry] = true;
    for (const BlockId id : order_)
      if (reached_[id] && !number(id)) return std::nullopt;
    for (const BlockId id : order_) give_arguments(id);
    if (out_.expressions.too_deep()) return std::nullopt;
    for (Decision& decision : out_.all)
      for (Way* way : {&decision.if_true, &decision.if_false})
        if (way->to != kNone) way->to = place_[way->to];
    out_.entry = place_[graph_.entry];
    return std::move(out_);
  }

 private:
  // Which slots may be read from the start of each block on.
  void find_live() {
    words_ = (graph_.slot_count + 63) / 64;
    live_.assign(graph_.blocks.size() * words_, 0);
    leaving_.assign(graph_.blocks.size() * graph_.slot_count, kNone);
    entering_.assign(graph_.blocks.size() * graph_.slot_count, kNone);
    highest_.assign(graph_.blocks.size() * graph_.slot_count, 0);
    for (auto id = order_.rbegin(); id != order_.rend(); ++id) {
      std::uint64_t* live = &live_[*id * words_];
      const Block& block = graph_.blocks[*id];
      for (const BlockId next : {block.exit.if_true.target, block.exit.if_false.target})
        if (next != kNone)
          for (std::size_t w = 0; w < words_; ++w) live[w] |= live_[next * words_ + w];
      for (auto value = block.values.rbegin(); value != block.values.rend(); ++value) {
        const Value& v = graph_[*value];
        if (v.op == Op::kGetSlot) live[v.k / 64] |= std::uint64_t{1} << (v.k % 64);
        if (v.op == Op::kSetSlot) live[v.k / 64] &= ~(std::uint64_t{1} << (v.k % 64));
      }
    }
  }

  bool is_live(BlockId block, SlotId slot) const { return (live_[block * words_ + slot / 64] >> (slot % 64) & 1) != 0; }

  bool rejects(BlockId id) const {
    const Block& block = graph_.blocks[id];
    return block.exit.kind == ExitKind::kVerdict && block.values.size() == 1 &&
           graph_[block.exit.lhs] == Value{.op = Op::kConstant, .k = 0};
  }

  // Gives a successor what this block leaves in the slots; what differs from another predecessor's becomes a parameter.
  void flow_into(BlockId from, BlockId to) {
    if (to == kNone || graph_.slot_count == 0) return;
    const ExprId* leaving = &leaving_[from * graph_.slot_count];
    ExprId* entering = &entering_[to * graph_.slot_count];
    std::uint32_t* highest = &highest_[to * graph_.slot_count];
    for (SlotId slot = 0; slot < graph_.slot_count; ++slot) {
      if (is_live(to, slot)) highest[slot] = std::max(highest[slot], out_.expressions.highest(leaving[slot]));
      if (!is_live(to, slot) || entering[slot] == leaving[slot]) continue;
      entering[slot] = entering[slot] == kNone ? leaving[slot] : kJoins;
    }
  }

  bool number(BlockId id) {
    const Block& block = graph_.blocks[id];
    if (block.outside != kNone && !rejects(block.outside)) return false;
    Decision& decision = out_.all[place_[id]];
    traps_.clear();
    open(id, block, decision);
    for (const ValueId value : block.values)
      if (!value_of(value, id, decision)) return false;
    if (rejected_) {
      decision.kind = ExitKind::kVerdict;
      decision.need = 0;
      decision.lhs = out_.expressions.constant(0);
      return true;
    }
    if (!traps_.empty()) decision.traps = out_.keep(traps_);
    close(block.exit, decision);
    for (const Way* way : {&decision.if_true, &decision.if_false})
      if (way->to != kNone) reached_[way->to] = true;
    flow_into(id, decision.if_true.to);
    if (decision.if_false.to != decision.if_true.to) flow_into(id, decision.if_false.to);
    return true;
  }

  void open(BlockId id, const Block& block, Decision& decision) {
    rejected_ = false;
    parameters_.clear();
    for (const ValueId parameter : block.parameters) {
      expr_of_[parameter] = out_.expressions.parameter(highest_given_[parameter]);
      parameters_.push_back(expr_of_[parameter]);
    }
    for (SlotId slot = 0; slot < graph_.slot_count; ++slot) {
      ExprId& now = entering_[id * graph_.slot_count + slot];
      if (id == graph_.entry) now = out_.expressions.constant(0);
      if (now == kJoins) {
        now = out_.expressions.parameter(highest_[id * graph_.slot_count + slot]);
        parameters_.push_back(now);
        joined_[id].push_back(slot);
      }
      leaving_[id * graph_.slot_count + slot] = now;
    }
    if (!parameters_.empty()) decision.parameters = out_.keep(parameters_);
  }

  void trap(ExprId expr) {
    if (std::find(traps_.begin(), traps_.end(), expr) == traps_.end()) traps_.push_back(expr);
  }

  ExprId load(const Value& value, Decision& decision) {
    const ExprId made = out_.expressions.load(value.size, value.a == kNone ? kNone : expr_of_[value.a], value.k);
    const Expr& e = out_.expressions[made];
    if (e.a == kNone && e.k < kFarthestNeed) decision.need = std::max(decision.need, e.k + e.size);
    else if (e.a == kNone && e.k < cbpf::kLinkLayerOffset) rejected_ = true;
    else trap(made);
    return made;
  }

  ExprId divide(Op op, ExprId a, ExprId b) {
    Expressions& expressions = out_.expressions;
    if (expressions.is_constant(b, 0)) rejected_ = true;
    const ExprId made = expressions.binary(op, a, b);
    if (rejected_ || expressions.known(b).low != 0 || expressions.known(b).ones != 0) return made;
    // The demand must survive what simplification made of the quotient.
    if (expressions[made].op == op && expressions[made].b == b) trap(made);
    else awkward_ = true;
    return made;
  }

  bool value_of(ValueId id, BlockId block, Decision& decision) {
    const Value& value = graph_[id];
    Expressions& expressions = out_.expressions;
    const ExprId a = value.a == kNone ? kNone : expr_of_[value.a];
    const ExprId b = value.b == kNone ? kNone : expr_of_[value.b];
    ExprId& made = expr_of_[id];
    switch (value.op) {
      case Op::kConstant: made = expressions.constant(value.k); break;
      case Op::kLoad: made = load(value, decision); break;
      case Op::kLength: made = expressions.length(); break;
      case Op::kExtension:
        if (value.k == static_cast<std::uint32_t>(cbpf::Extension::kRandom)) return false;
        made = expressions.extension(value.k, a, b);
        break;
      case Op::kGetSlot: made = leaving_[block * graph_.slot_count + value.k]; break;
      case Op::kSetSlot: leaving_[block * graph_.slot_count + value.k] = a; break;
      case Op::kParameter: return false;
      case Op::kNegate: made = expressions.negate(a); break;
      case Op::kDivide:
      case Op::kModulo: made = divide(value.op, a, b); break;
      default: made = expressions.binary(value.op, a, b); break;
    }
    return !awkward_;
  }

  void close(const Exit& exit, Decision& decision) {
    decision.if_true.to = exit.if_true.target;
    decision.if_false.to = exit.if_false.target;
    decision.kind = exit.kind;
    if (exit.kind == ExitKind::kVerdict) {
      decision.lhs = expr_of_[exit.lhs];
      if (!out_.expressions.is_constant(decision.lhs, 0)) return;
      decision.need = 0;
      decision.traps = {};
    } else if (exit.kind == ExitKind::kTest || exit.kind == ExitKind::kSet) {
      const bool with_arguments = !exit.if_true.arguments.empty() || !exit.if_false.arguments.empty();
      if (exit.kind == ExitKind::kTest) {
        simplify_test(out_.expressions, exit.condition, expr_of_[exit.lhs], expr_of_[exit.rhs], test_);
      } else {
        test_.negated = false;
        test_.lhs = expr_of_[exit.lhs];
        test_.set.assign(exit.set.begin(), exit.set.end());
        simplify_member(out_.expressions, test_);
      }
      if (with_arguments) {
        keep_arguments(exit.if_true, decision.if_true);
        keep_arguments(exit.if_false, decision.if_false);
      }
      set_exit(out_, decision, test_);
    } else {
      keep_arguments(exit.if_true, decision.if_true);
    }
  }

  void keep_arguments(const Edge& edge, Way& way) {
    if (edge.arguments.empty()) return;
    std::vector<ExprId> arguments;
    for (const ValueId value : edge.arguments) {
      const ValueId parameter = graph_.blocks[edge.target].parameters[arguments.size()];
      arguments.push_back(expr_of_[value]);
      highest_given_[parameter] = std::max(highest_given_[parameter], out_.expressions.highest(arguments.back()));
    }
    way.arguments = out_.keep(arguments);
  }

  // The slots that joined at the targets, once it is known which.
  void give_arguments(BlockId id) {
    if (joined_.empty() || !reached_[id]) return;
    Decision& decision = out_.all[place_[id]];
    for (Way* way : {&decision.if_true, &decision.if_false}) {
      if (way->to == kNone) continue;
      const auto joined = joined_.find(way->to);
      if (joined == joined_.end()) continue;
      parameters_.assign(out_.list(way->arguments).begin(), out_.list(way->arguments).end());
      for (const SlotId slot : joined->second) parameters_.push_back(leaving_[id * graph_.slot_count + slot]);
      way->arguments = out_.keep(parameters_);
    }
  }

  static constexpr ExprId kJoins = kNone - 1;
  const Graph& graph_;
  Decisions out_;
  std::vector<BlockId> order_;
  std::vector<DecisionId> place_;  // by BlockId: in the order
  std::vector<ExprId> expr_of_;    // by ValueId
  std::size_t words_ = 0;          // of a set of slots
  std::vector<std::uint64_t> live_;
  std::vector<ExprId> entering_, leaving_;    // by block and slot
  std::vector<std::uint32_t> highest_;        // of what enters, by block and slot
  std::vector<std::uint32_t> highest_given_;  // to a parameter, by ValueId
  std::unordered_map<BlockId, std::vector<SlotId>> joined_;
  std::vector<bool> reached_;               // by block: some way leads there that no test has ruled out
  std::vector<ExprId> parameters_, traps_;  // scratch
  Test test_;
  bool rejected_ = false;  // the block at hand ends with verdict 0 always
  bool awkward_ = false;
};

}  // namespace

std::optional<Decisions> to_decisions(const Graph& graph) { return Numbering(graph).run(); }

}  // namespace weir::flow
