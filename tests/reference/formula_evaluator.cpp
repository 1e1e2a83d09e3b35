// Evaluates formulas by definition. Exports evaluate.
//
// Recursive, as the definition is; only for formulas of a depth that tests write.
#include "reference/formula_evaluator.h"

#include <vector>

namespace weir::reference {
namespace {

using filter::FormulaKind;
using filter::FormulaNode;
using filter::Term;
using filter::TermOp;

class Evaluator {
 public:
  Evaluator(const filter::Bound& bound, const packet::Packet& packet)
      : bound_(bound), packet_(packet), variables_(bound.variable_count) {}

  std::optional<bool> holds(filter::FormulaId id) {
    const FormulaNode& node = bound_.nodes[id];
    switch (node.kind) {
      case FormulaKind::kTrue: return true;
      case FormulaKind::kFalse: return false;
      case FormulaKind::kAnd:
      case FormulaKind::kOr: {
        const bool stop_at = node.kind == FormulaKind::kOr;
        for (const filter::FormulaId child : node.children) {
          const auto result = holds(child);
          if (!result || *result == stop_at) return result;
        }
        return !stop_at;
      }
      case FormulaKind::kNot: {
        const auto result = holds(node.children.front());
        if (!result) return std::nullopt;
        return !*result;
      }
      case FormulaKind::kTest: return test(node);
      case FormulaKind::kAssign: {
        const auto assigned = value(node.lhs);
        if (!assigned) return std::nullopt;
        variables_[node.variable] = *assigned;
        return true;
      }
    }
    return std::nullopt;
  }

 private:
  std::optional<bool> test(const FormulaNode& node) {
    const auto lhs = value(node.lhs);
    if (!lhs) return std::nullopt;
    const auto rhs = value(node.rhs);
    if (!rhs) return std::nullopt;
    switch (node.condition) {
      case flow::Condition::kEqual: return *lhs == *rhs;
      case flow::Condition::kGreater: return *lhs > *rhs;
      case flow::Condition::kGreaterOrEqual: return *lhs >= *rhs;
      case flow::Condition::kBitsSet: return (*lhs & *rhs) != 0;
    }
    return std::nullopt;
  }

  std::optional<std::uint32_t> load(const Term& term) {
    std::uint32_t address = term.k;
    if (term.a != filter::kNoTerm) {
      const auto base = value(term.a);
      if (!base) return std::nullopt;
      address += *base;
    }
    if (address >= packet_.length || term.size > packet_.length - address) return std::nullopt;
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < term.size; ++i) out = out << 8 | packet_.data[address + i];
    return out;
  }

  std::uint32_t extension(std::uint32_t k) const {
    static const packet::Metadata kNone;
    const packet::Metadata& known = packet_.metadata != nullptr ? *packet_.metadata : kNone;
    switch (static_cast<cbpf::Extension>(k)) {
      case cbpf::Extension::kType: return known.type;
      case cbpf::Extension::kInterfaceIndex: return known.interface_index;
      case cbpf::Extension::kVlanPresent: return known.vlan_present;
      case cbpf::Extension::kVlanTci: return known.vlan_tci;
      default: return 0xdeadbeef;  // the binder uses no other
    }
  }

  std::optional<std::uint32_t> value(filter::TermId id) {
    const Term& term = bound_.terms[id];
    switch (term.op) {
      case TermOp::kConstant: return term.k;
      case TermOp::kLoad: return load(term);
      case TermOp::kLength: return packet_.wire_length;
      case TermOp::kExtension: return extension(term.k);
      case TermOp::kVariable: return variables_[term.k];
      default: break;
    }
    const auto a = value(term.a);
    if (!a) return std::nullopt;
    if (term.op == TermOp::kNegate) return 0u - *a;
    const auto b = value(term.b);
    if (!b) return std::nullopt;
    switch (term.op) {
      case TermOp::kAdd: return *a + *b;
      case TermOp::kSubtract: return *a - *b;
      case TermOp::kMultiply: return *a * *b;
      case TermOp::kDivide: return *b == 0 ? std::nullopt : std::optional(*a / *b);
      case TermOp::kModulo: return *b == 0 ? std::nullopt : std::optional(*a % *b);
      case TermOp::kAnd: return *a & *b;
      case TermOp::kOr: return *a | *b;
      case TermOp::kXor: return *a ^ *b;
      case TermOp::kShiftLeft: return *a << (*b & 31);
      case TermOp::kShiftRight: return *a >> (*b & 31);
      default: return std::nullopt;
    }
  }

  const filter::Bound& bound_;
  const packet::Packet& packet_;
  std::vector<std::uint32_t> variables_;
};

}  // namespace

std::optional<bool> evaluate(const filter::Bound& bound, const packet::Packet& packet) {
  return Evaluator(bound, packet).holds(bound.root);
}

}  // namespace weir::reference
