// Evaluation of a formula that remembers what it rests on. Exports decide.
#include <weir/filter/decide.h>

#include <algorithm>

#include <weir/cbpf/instruction.h>

namespace weir::filter {
namespace {

// Of the recursion below; the parser lets a little more pass.
constexpr int kDeepest = 1500;

enum class Outcome : std::uint8_t { kUnknown, kHolds, kFails, kRejected };

class Evaluator {
 public:
  Evaluator(const Bound& bound, const packet::Packet& packet)
      : bound_(bound), packet_(packet), outcomes_(bound.nodes.size()), variables_(bound.variable_count) {}

  std::optional<Decision> run() {
    const Outcome root = evaluate(bound_.root, 0);
    if (too_deep_) return std::nullopt;
    Decision out{root == Outcome::kHolds, {}};
    follow(bound_.root, out.parts);
    return out;
  }

 private:
  static Outcome of(bool holds) { return holds ? Outcome::kHolds : Outcome::kFails; }

  Outcome evaluate(FormulaId id, int depth) { return outcomes_[id] = outcome_of(bound_.nodes[id], depth); }

  Outcome outcome_of(const FormulaNode& node, int depth) {
    if (depth > kDeepest) too_deep_ = true;
    if (too_deep_) return Outcome::kRejected;
    switch (node.kind) {
      case FormulaKind::kTrue: return Outcome::kHolds;
      case FormulaKind::kFalse: return Outcome::kFails;
      case FormulaKind::kAnd:
      case FormulaKind::kOr: {
        const Outcome stop = of(node.kind == FormulaKind::kOr);
        for (const FormulaId child : node.children) {
          const Outcome outcome = evaluate(child, depth + 1);
          if (outcome == stop || outcome == Outcome::kRejected) return outcome;
        }
        return of(node.kind == FormulaKind::kAnd);
      }
      case FormulaKind::kNot: {
        const Outcome outcome = evaluate(node.children.front(), depth + 1);
        return outcome == Outcome::kRejected ? outcome : of(outcome == Outcome::kFails);
      }
      case FormulaKind::kTest: return test(node, depth);
      case FormulaKind::kAssign: {
        const auto assigned = value(node.lhs, depth + 1);
        if (!assigned) return Outcome::kRejected;
        variables_[node.variable] = *assigned;
        return Outcome::kHolds;
      }
    }
    return Outcome::kRejected;
  }

  Outcome test(const FormulaNode& node, int depth) {
    const auto lhs = value(node.lhs, depth + 1);
    if (!lhs) return Outcome::kRejected;
    const auto rhs = value(node.rhs, depth + 1);
    if (!rhs) return Outcome::kRejected;
    switch (node.condition) {
      case flow::Condition::kEqual: return of(*lhs == *rhs);
      case flow::Condition::kGreater: return of(*lhs > *rhs);
      case flow::Condition::kGreaterOrEqual: return of(*lhs >= *rhs);
      case flow::Condition::kBitsSet: return of((*lhs & *rhs) != 0);
    }
    return Outcome::kRejected;
  }

  std::uint32_t extension(std::uint32_t k) const {
    static constexpr packet::Metadata kNone{};
    const packet::Metadata& known = packet_.metadata != nullptr ? *packet_.metadata : kNone;
    switch (static_cast<cbpf::Extension>(k)) {
      case cbpf::Extension::kType: return known.type;
      case cbpf::Extension::kInterfaceIndex: return known.interface_index;
      case cbpf::Extension::kVlanPresent: return known.vlan_present;
      case cbpf::Extension::kVlanTci: return known.vlan_tci;
      default: return 0;  // the binder uses no other
    }
  }

  std::optional<std::uint32_t> load(const Term& term, int depth) {
    std::uint32_t address = term.k;
    if (term.a != kNoTerm) {
      const auto base = value(term.a, depth + 1);
      if (!base) return std::nullopt;
      address += *base;
    }
    if (std::uint64_t{address} + term.size > packet_.length) return std::nullopt;
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < term.size; ++i) out = out << 8 | packet_.data[address + i];
    return out;
  }

  std::optional<std::uint32_t> value(TermId id, int depth) {
    if (depth > kDeepest) too_deep_ = true;
    if (too_deep_) return std::nullopt;
    const Term& term = bound_.terms[id];
    switch (term.op) {
      case TermOp::kConstant: return term.k;
      case TermOp::kLoad: return load(term, depth);
      case TermOp::kLength: return packet_.wire_length;
      case TermOp::kExtension: return extension(term.k);
      case TermOp::kVariable: return variables_[term.k];
      default: break;
    }
    const auto a = value(term.a, depth + 1);
    if (!a) return std::nullopt;
    if (term.op == TermOp::kNegate) return 0u - *a;
    const auto b = value(term.b, depth + 1);
    if (!b) return std::nullopt;
    return binary(term.op, *a, *b);
  }

  std::optional<std::uint32_t> binary(TermOp op, std::uint32_t a, std::uint32_t b) {
    // Nothing is evaluated after it.
    divided_by_zero_ = (op == TermOp::kDivide || op == TermOp::kModulo) && b == 0;
    if (divided_by_zero_) return std::nullopt;
    switch (op) {
      case TermOp::kAdd: return a + b;
      case TermOp::kSubtract: return a - b;
      case TermOp::kMultiply: return a * b;
      case TermOp::kDivide: return a / b;
      case TermOp::kModulo: return a % b;
      case TermOp::kAnd: return a & b;
      case TermOp::kOr: return a | b;
      case TermOp::kXor: return a ^ b;
      case TermOp::kShiftLeft: return a << (b & 31);
      case TermOp::kShiftRight: return a >> (b & 31);
      default: return std::nullopt;
    }
  }

  static std::optional<bool> holds(Outcome outcome) {
    return outcome == Outcome::kRejected ? std::nullopt : std::optional(outcome == Outcome::kHolds);
  }

  // What the outcome of the node rests on. Connectives that were made for one leaf of the tree stay together.
  void follow(FormulaId id, std::vector<Part>& out) const {
    const FormulaNode& node = bound_.nodes[id];
    const Outcome outcome = outcomes_[id];
    const bool connective =
        node.kind == FormulaKind::kAnd || node.kind == FormulaKind::kOr || node.kind == FormulaKind::kNot;
    if (!connective || node.origin != kNoNode) {
      const auto is_it = [&](const Part& part) { return part.node == node.origin; };
      if (node.origin != kNoNode && std::none_of(out.begin(), out.end(), is_it))
        out.push_back({node.origin, holds(outcome), outcome == Outcome::kRejected && divided_by_zero_});
      return;
    }
    const bool all = node.kind == FormulaKind::kNot || outcome == of(node.kind == FormulaKind::kAnd);
    for (const FormulaId child : node.children)
      if (all || outcomes_[child] == outcome) follow(child, out);
  }

  const Bound& bound_;
  const packet::Packet& packet_;
  std::vector<Outcome> outcomes_;
  std::vector<std::uint32_t> variables_;
  bool too_deep_ = false;
  bool divided_by_zero_ = false;
};

}  // namespace

std::optional<Decision> decide(const Bound& bound, const packet::Packet& packet) {
  return Evaluator(bound, packet).run();
}

}  // namespace weir::filter
