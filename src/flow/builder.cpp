// Tests to decisions as they come. Exports Builder.
//
// What to_decisions does for graphs, for the case without slots: each value is the number of its expression, and what
// computing it demands of the packet. Blocks come successors first, so their order is turned at the end.
#include <weir/flow/builder.h>

#include <algorithm>

#include <weir/cbpf/instruction.h>

#include "flow/decisions.h"
#include "flow/driver.h"

namespace weir::flow {
namespace {

// Expressions that may fail at more places are left as they are: lists are joined at every operator.
constexpr std::uint32_t kMostTraps = 256;

// A value, and what it takes to compute it.
struct Made {
  ExprId expr = kNone;
  std::uint32_t need = 0;
  Slice traps{};
  bool rejects = false;  // it can never be computed: the program ends with 0
};

}  // namespace

struct Builder::State {
  Decisions decisions;
  std::vector<Made> values;
  std::vector<ExprId> traps;  // scratch
  Test test;
  bool awkward = false;

  void join_with_sole(DecisionId sole);

  ValueId keep(const Made& made) {
    values.push_back(made);
    return static_cast<ValueId>(values.size() - 1);
  }

  Slice join(Slice a, Slice b, ExprId more) {
    if (more == kNone && (b.empty() || (a.first == b.first && a.count == b.count))) return a;
    if (more == kNone && a.empty()) return b;
    if (a.count + b.count > kMostTraps) {
      awkward = true;
      return {};
    }
    traps.clear();
    const auto add = [&](ExprId trap) {
      if (std::find(traps.begin(), traps.end(), trap) == traps.end()) traps.push_back(trap);
    };
    for (const ExprId trap : decisions.list(a)) add(trap);
    for (const ExprId trap : decisions.list(b)) add(trap);
    if (more != kNone) add(more);
    return decisions.keep(traps);
  }

  // The demand of a division must survive what simplification made of the quotient.
  ExprId trap_of_division(Op op, ExprId made, ExprId b) {
    const Expressions& expressions = decisions.expressions;
    if (expressions.known(b).low != 0 || expressions.known(b).ones != 0) return kNone;
    if (expressions[made].op == op && expressions[made].b == b) return made;
    awkward = true;
    return kNone;
  }

  void close(Decision& decision, Condition condition, const Made& lhs, const Made& rhs) {
    if (lhs.rejects || rhs.rejects) {
      decision = {};
      decision.lhs = decisions.expressions.constant(0);
      return;
    }
    decision.need = std::max(lhs.need, rhs.need);
    decision.traps = join(lhs.traps, rhs.traps, kNone);
    simplify_test(decisions.expressions, condition, lhs.expr, rhs.expr, test);
    set_exit(decisions, decision, test);
  }
};

Builder::Builder(Sizes sizes) : state_(std::make_unique<State>()) {
  state_->decisions.expressions.reserve(std::min<std::size_t>(sizes.values / 2, 4096));
  state_->decisions.ranges.reserve(2 * sizes.blocks);
  constexpr std::size_t kMadeByPasses = 8;
  state_->decisions.all.reserve(sizes.blocks + kMadeByPasses);
  state_->decisions.lists.reserve(32);
  state_->values.reserve(sizes.values);
}

Builder::~Builder() = default;

ValueId Builder::constant(std::uint32_t k) { return state_->keep({.expr = state_->decisions.expressions.constant(k)}); }

ValueId Builder::length() { return state_->keep({.expr = state_->decisions.expressions.length()}); }

ValueId Builder::extension(std::uint32_t k) {
  if (k == static_cast<std::uint32_t>(cbpf::Extension::kRandom)) state_->awkward = true;
  return state_->keep({.expr = state_->decisions.expressions.extension(k, kNone, kNone)});
}

ValueId Builder::load(std::uint8_t size, ValueId base, std::uint32_t k) {
  Expressions& expressions = state_->decisions.expressions;
  Made made = base == kNone ? Made{} : state_->values[base];
  made.expr = expressions.load(size, made.expr, k);
  const Expr& e = expressions[made.expr];
  if (e.a == kNone && e.k < kFarthestNeed) made.need = std::max(made.need, e.k + e.size);
  else if (e.a == kNone && e.k < cbpf::kLinkLayerOffset) made.rejects = true;
  else made.traps = state_->join(made.traps, {}, made.expr);
  return state_->keep(made);
}

ValueId Builder::negate(ValueId a) {
  Made made = state_->values[a];
  made.expr = state_->decisions.expressions.negate(made.expr);
  return state_->keep(made);
}

ValueId Builder::binary(Op op, ValueId a, ValueId b) {
  const Made& x = state_->values[a];
  const Made& y = state_->values[b];
  Expressions& expressions = state_->decisions.expressions;
  Made made{.expr = expressions.binary(op, x.expr, y.expr), .need = std::max(x.need, y.need)};
  made.rejects = x.rejects || y.rejects;
  ExprId trap = kNone;
  if (op == Op::kDivide || op == Op::kModulo) {
    if (expressions.is_constant(y.expr, 0)) made.rejects = true;
    if (!made.rejects) trap = state_->trap_of_division(op, made.expr, y.expr);
  }
  made.traps = state_->join(x.traps, y.traps, trap);
  return state_->keep(made);
}

BlockId Builder::verdict(std::uint32_t k) {
  state_->decisions.all.emplace_back();
  state_->decisions.all.back().lhs = state_->decisions.expressions.constant(k);
  return static_cast<BlockId>(state_->decisions.all.size() - 1);
}

// The decision made last, and the one before that it alone leads to, become one where they test the same expression and
// lead to one place.
void Builder::State::join_with_sole(DecisionId sole) {
  const Decision decision = decisions.all.back();
  const Decision& before = decisions.all[sole];
  if (decision.kind != ExitKind::kSet || before.kind != ExitKind::kSet || decision.lhs != before.lhs) return;
  if (before.need > decision.need || !before.traps.empty()) return;
  const bool by_true = decision.if_false.to == sole && decision.if_true.to == before.if_true.to;
  const bool by_false = decision.if_true.to == sole && decision.if_false.to == before.if_false.to;
  if (!by_true && !by_false) return;
  const auto a = decisions.set(decision.set), b = decisions.set(before.set);
  if (by_false) {
    intersect(a, b, test.set);
  } else {
    test.set.assign(a.begin(), a.end());
    test.set.insert(test.set.end(), b.begin(), b.end());
    normalise(test.set);
  }
  test.negated = false;
  test.lhs = decision.lhs;
  simplify_member(decisions.expressions, test);
  decisions.all.pop_back();
  Decision& joined = decisions.all.back();
  joined.need = decision.need;
  joined.traps = decision.traps;
  set_exit(decisions, joined, test);
}

BlockId Builder::test(const BuilderTest& asked) {
  const auto id = static_cast<BlockId>(state_->decisions.all.size());
  state_->decisions.all.emplace_back();
  Decision& decision = state_->decisions.all.back();
  decision.if_true.to = asked.if_true;
  decision.if_false.to = asked.if_false;
  state_->close(decision, asked.condition, state_->values[asked.lhs], state_->values[asked.rhs]);
  if (asked.sole != kNone && asked.sole + 1 == id) state_->join_with_sole(asked.sole);
  return static_cast<BlockId>(state_->decisions.all.size() - 1);
}

std::optional<cbpf::Program> Builder::optimise_and_emit(BlockId entry, const OptimiseOptions& options) {
  Decisions& decisions = state_->decisions;
  if (state_->awkward || decisions.expressions.too_deep()) return std::nullopt;
  const auto last = static_cast<BlockId>(decisions.all.size() - 1);
  std::reverse(decisions.all.begin(), decisions.all.end());
  for (Decision& decision : decisions.all)
    for (Way* way : {&decision.if_true, &decision.if_false})
      if (way->to != kNone) way->to = last - way->to;
  decisions.entry = last - entry;
  Driver driver(decisions, options);
  driver.run();
  return driver.select_shorter();
}

}  // namespace weir::flow
