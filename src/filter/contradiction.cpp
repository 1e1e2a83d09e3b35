// Whether two formulas exclude each other. Exports contradict.
#include "filter/contradiction.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace weir::filter {
namespace {

using flow::Condition;

// A simple test: (value of `base` & mask) condition k, or not.
struct Literal {
  TermId base = 0;
  std::uint32_t mask = 0xffffffff;
  Condition condition = Condition::kEqual;
  std::uint32_t k = 0;
  bool negated = false;
};
using Way = std::vector<Literal>;
using Ways = std::vector<Way>;

constexpr std::size_t kMostWays = 96;
constexpr std::size_t kMostTests = 32;
constexpr int kDeepest = 64;

class Search {
 public:
  Search(const Bound& bound, std::span<const VariableId> reassigned) : bound_(bound), reassigned_(reassigned) {}

  // Nothing where there are too many.
  std::optional<Ways> ways(FormulaId id, bool negated, int depth = 0) const {
    const FormulaNode& node = bound_.nodes[id];
    if (depth > kDeepest) return std::nullopt;
    switch (node.kind) {
      case FormulaKind::kTrue:
      case FormulaKind::kFalse: return (node.kind == FormulaKind::kTrue) != negated ? Ways{Way{}} : Ways{};
      case FormulaKind::kAssign: return negated ? Ways{} : Ways{Way{}};
      case FormulaKind::kNot: return ways(node.children[0], !negated, depth + 1);
      case FormulaKind::kTest: return Ways{test(node, negated)};
      case FormulaKind::kAnd:
      case FormulaKind::kOr: break;
    }
    const bool joined = (node.kind == FormulaKind::kAnd) != negated;  // all of the children, or any
    if (node.children.size() > kMostWays) return std::nullopt;
    Ways out;
    if (joined) out.emplace_back();
    for (const FormulaId child : node.children) {
      std::optional<Ways> more = ways(child, negated, depth + 1);
      if (!more || !(joined ? multiply(out, *more) : append(out, *more))) return std::nullopt;
    }
    return out;
  }

  bool exclude(const Way& a, const Way& b) const {
    for (const Literal& x : a)
      for (const Literal& y : b)
        if (exclude(x, y)) return true;
    return false;
  }

 private:
  // A test as a way; one that says nothing simple is a way without tests, which excludes nothing.
  Way test(const FormulaNode& node, bool negated) const {
    const Term& rhs = bound_.terms[node.rhs];
    if (rhs.op != TermOp::kConstant || !is_stable(node.lhs, 0)) return {};
    Literal out{.base = node.lhs, .condition = node.condition, .k = rhs.k, .negated = negated};
    const Term& lhs = bound_.terms[node.lhs];
    if (lhs.op == TermOp::kAnd && bound_.terms[lhs.b].op == TermOp::kConstant) {
      out.base = lhs.a;
      out.mask = bound_.terms[lhs.b].k;
    }
    return {out};
  }

  bool is_stable(TermId id, int depth) const {
    const Term& term = bound_.terms[id];
    if (depth > 8) return false;
    if (term.op == TermOp::kVariable)
      return std::find(reassigned_.begin(), reassigned_.end(), term.k) == reassigned_.end();
    return (term.a == kNoTerm || is_stable(term.a, depth + 1)) && (term.b == kNoTerm || is_stable(term.b, depth + 1));
  }

  bool same(TermId a, TermId b, int depth = 0) const {
    if (a == b) return true;
    if (a == kNoTerm || b == kNoTerm || depth > 8) return false;
    const Term& x = bound_.terms[a];
    const Term& y = bound_.terms[b];
    return x.op == y.op && x.k == y.k && (x.op != TermOp::kLoad || x.size == y.size) && same(x.a, y.a, depth + 1) &&
           same(x.b, y.b, depth + 1);
  }

  static bool holds(const Literal& test, std::uint32_t value) {
    bool out = false;
    switch (test.condition) {
      case Condition::kEqual: out = value == test.k; break;
      case Condition::kGreater: out = value > test.k; break;
      case Condition::kGreaterOrEqual: out = value >= test.k; break;
      case Condition::kBitsSet: out = (value & test.k) != 0; break;
    }
    return out != test.negated;
  }

  // The values that a comparison leaves, as a range; nothing for other tests.
  struct Range {
    std::uint64_t first, last;
  };
  static std::optional<Range> range(const Literal& test) {
    constexpr std::uint64_t kMost = 0xffffffff;
    const std::uint64_t k = test.k;
    if (test.condition == Condition::kGreater) return test.negated ? Range{0, k} : Range{k + 1, kMost};
    if (test.condition != Condition::kGreaterOrEqual) return std::nullopt;
    if (!test.negated) return Range{k, kMost};
    if (k == 0) return Range{1, 0};
    return Range{0, k - 1};
  }

  bool exclude(const Literal& x, const Literal& y) const {
    if (!same(x.base, y.base)) return false;
    const auto is_value = [](const Literal& test) { return test.condition == Condition::kEqual && !test.negated; };
    if (is_value(x) && is_value(y) && ((x.k ^ y.k) & x.mask & y.mask) != 0) return true;
    for (const auto& [value, other] : {std::pair(&x, &y), std::pair(&y, &x)})
      if (is_value(*value) && (value->mask & other->mask) == other->mask && (value->k & ~value->mask) == 0 &&
          !holds(*other, value->k & other->mask))
        return true;
    if (x.mask != y.mask) return false;
    const std::optional<Range> a = range(x);
    const std::optional<Range> b = range(y);
    if (a && b) return a->first > a->last || b->first > b->last || a->last < b->first || b->last < a->first;
    if (x.condition != Condition::kBitsSet || y.condition != Condition::kBitsSet || x.negated == y.negated)
      return false;
    const Literal& some = x.negated ? y : x;
    const Literal& none = x.negated ? x : y;
    return (some.k & ~none.k) == 0;
  }

  static bool append(Ways& out, Ways& more) {
    if (out.size() + more.size() > kMostWays) return false;
    std::move(more.begin(), more.end(), std::back_inserter(out));
    return true;
  }

  // Every way of the one with every way of the other; those that exclude themselves are no ways.
  bool multiply(Ways& out, const Ways& more) const {
    Ways product;
    for (const Way& a : out)
      for (const Way& b : more) {
        if (exclude(a, b)) continue;
        Way both = a;
        both.insert(both.end(), b.begin(), b.end());
        if (product.size() == kMostWays || both.size() > kMostTests) return false;
        product.push_back(std::move(both));
      }
    out = std::move(product);
    return true;
  }

  const Bound& bound_;
  std::span<const VariableId> reassigned_;
};

}  // namespace

bool contradict(const Bound& bound, Claim a, Claim b, std::span<const VariableId> reassigned) {
  const Search search(bound, reassigned);
  const std::optional<Ways> first = search.ways(a.formula, a.negated);
  if (!first || first->empty()) return false;  // what contradicts itself is no matter of two
  const std::optional<Ways> second = search.ways(b.formula, b.negated);
  if (!second || second->empty()) return false;
  for (const Way& one : *first)
    for (const Way& other : *second)
      if (!search.exclude(one, other)) return false;
  return true;
}

}  // namespace weir::filter
