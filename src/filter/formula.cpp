// Making formulas and their text form. Exports Bound::add and write.
#include <weir/filter/formula.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "filter/signs.h"

namespace weir::filter {
namespace {

constexpr std::string_view kConditions[] = {"==", ">", ">=", "&"};

// Terms are shown whole, by recursion; deeper ones are cut, as nobody reads them.
std::string describe(const Bound& bound, TermId id, int depth) {
  if (depth > 40) return "...";
  const Term& term = bound.terms[id];
  switch (term.op) {
    case TermOp::kConstant: return term.k < 10 ? std::to_string(term.k) : fmt::format("{:#x}", term.k);
    case TermOp::kLength: return "len";
    case TermOp::kExtension: {
      const cbpf::ExtensionInfo* info = cbpf::find_extension(cbpf::kExtensionBase + term.k);
      return info != nullptr ? std::string(info->text) : "?";
    }
    case TermOp::kVariable: return fmt::format("v{}", term.k);
    case TermOp::kNegate: return "-" + describe(bound, term.a, depth + 1);
    case TermOp::kLoad:
      if (term.a == kNoTerm) return fmt::format("load{}[{}]", term.size, term.k);
      return fmt::format("load{}[{} + {}]", term.size, describe(bound, term.a, depth + 1), term.k);
    default:
      return fmt::format("({} {} {})", describe(bound, term.a, depth + 1), sign_of(term.op),
                         describe(bound, term.b, depth + 1));
  }
}

std::string describe(const Bound& bound, const FormulaNode& node) {
  switch (node.kind) {
    case FormulaKind::kTrue: return "true";
    case FormulaKind::kFalse: return "false";
    case FormulaKind::kAnd: return "and";
    case FormulaKind::kOr: return "or";
    case FormulaKind::kNot: return "not";
    case FormulaKind::kAssign: return fmt::format("v{} = {}", node.variable, describe(bound, node.lhs, 0));
    case FormulaKind::kTest:
      return fmt::format("{} {} {}", describe(bound, node.lhs, 0),
                         kConditions[static_cast<std::size_t>(node.condition)], describe(bound, node.rhs, 0));
  }
  return "?";
}

}  // namespace

TermId Bound::add(const Term& term) {
  terms.push_back(term);
  return static_cast<TermId>(terms.size() - 1);
}

FormulaId Bound::add(FormulaNode node) {
  nodes.push_back(std::move(node));
  return static_cast<FormulaId>(nodes.size() - 1);
}

std::string write(const Bound& bound) {
  struct Line {
    FormulaId node;
    std::size_t depth;
  };
  std::string out;
  std::vector<Line> pending{{bound.root, 0}};
  while (!pending.empty()) {
    const Line line = pending.back();
    pending.pop_back();
    const FormulaNode& node = bound.nodes[line.node];
    out += fmt::format("{:{}}{}\n", "", 2 * std::min<std::size_t>(line.depth, 100), describe(bound, node));
    for (auto child = node.children.rbegin(); child != node.children.rend(); ++child)
      pending.push_back({*child, line.depth + 1});
  }
  return out;
}

}  // namespace weir::filter
