// Two tests of neighbouring bytes become one of a wider load. Exports widen.
//
// IPv4's protocol and its fragment offset lie in one word: (packet[20:4] & 0x1fff00ff) == 6 is one load, one mask and
// one comparison where there were two loads and two tests. The wide load ends where the later of the two loads ends, so
// it demands as much of the packet. Both tests must fail to the same place, the second one must be led to by the first
// alone, and what they load must not be looked at by others.
#include <algorithm>

#include <weir/base/small_vector.h>

#include "base/scratch.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

// A test as: (packet[from:size] & mask) is one of a few values.
struct Field {
  std::uint32_t from = 0;
  std::uint32_t size = 0;
  std::uint32_t mask = 0;
  SmallVector<std::uint32_t, 4> values{};
  DecisionId pass = kNone, fail = kNone;
  ExprId load = kNone;
  int instructions = 0;
};

constexpr std::size_t kMostValues = 4;

class Widening {
 public:
  explicit Widening(Decisions& decisions)
      : decisions_(decisions), users_(decisions.expressions.size(), 0, scratch_), ways_in_(decisions.ways_in) {
    decisions.count_ways_in();
    for (DecisionId id = decisions.entry; id < decisions.all.size(); ++id) {
      if (ways_in_[id] == 0) continue;
      const Decision& d = decisions.all[id];
      if (d.kind == ExitKind::kJump) continue;
      // Operands have one user each in what is looked for; deeper ones are counted where they are operands.
      for (ExprId e = d.lhs; e != kNone; e = decisions.expressions[e].a) ++users_[e];
      if (d.kind == ExitKind::kTest)
        for (ExprId e = d.rhs; e != kNone; e = decisions.expressions[e].a) ++users_[e];
      for (const ExprId trap : decisions.list(d.traps))
        for (ExprId e = decisions.expressions[trap].a; e != kNone; e = decisions.expressions[e].a) ++users_[e];
      for (const ExprId e : decisions.list(d.if_true.arguments)) users_[e] += 2;
    }
  }

  bool run() {
    bool changed = false;
    for (DecisionId id = decisions_.entry; id < decisions_.all.size(); ++id)
      if (ways_in_[id] != 0) changed = join_with_next(id) || changed;
    return changed;
  }

 private:
  // The decision as a test of a field, passing where it is one of the values. False where it is none.
  bool as_field(const Decision& d, bool pass_by_true, Field& out) const {
    const Expressions& expressions = decisions_.expressions;
    if (!d.is_branch() || !d.traps.empty() || !d.if_true.arguments.empty() || !d.if_false.arguments.empty())
      return false;
    out.pass = pass_by_true ? d.if_true.to : d.if_false.to;
    out.fail = pass_by_true ? d.if_false.to : d.if_true.to;
    out.values.clear();
    ExprId e = d.lhs;
    out.mask = kNone;
    out.instructions = 1;
    if (d.kind == ExitKind::kTest) {
      if (d.condition != Condition::kBitsSet || pass_by_true || !expressions.is_constant(d.rhs)) return false;
      out.mask = expressions[d.rhs].k;
      out.values.push_back(0);
      ++out.instructions;
    } else {
      std::uint64_t count = 0;
      const auto set = decisions_.set(d.set);
      if (pass_by_true) {
        for (const Range& range : set) {
          count += std::uint64_t{range.last} - range.first + 1;
          if (count > kMostValues) return as_prefix(d, out);
          for (std::uint32_t i = 0; i <= range.last - range.first; ++i) out.values.push_back(range.first + i);
        }
      } else if (set.size() == 1 && set[0].first == 1 && set[0].last == kLastNumber) {
        out.values.push_back(0);
      } else {
        return false;
      }
      out.instructions += static_cast<int>(out.values.size());
      if (expressions[e].op == Op::kAnd && expressions.is_constant(expressions[e].b)) {
        out.mask = expressions[expressions[e].b].k;
        ++out.instructions;
        if (users_[e] != 1) return false;
        e = expressions[e].a;
      }
    }
    return finish(e, out);
  }

  // One range of one power of two is equality under a mask.
  bool as_prefix(const Decision& d, Field& out) const {
    const auto set = decisions_.set(d.set);
    if (set.size() != 1) return false;
    const std::uint32_t high = decisions_.expressions.known(d.lhs).high;
    const std::uint32_t last = std::min(set[0].last, high);
    const std::uint32_t low_bits = set[0].first ^ last;
    if ((low_bits & (low_bits + 1)) != 0 || (set[0].first & low_bits) != 0) return false;
    out.mask = ~low_bits;
    out.values = {set[0].first};
    out.instructions += set[0].last == kLastNumber ? 1 : 2;
    return finish(d.lhs, out);
  }

  bool finish(ExprId e, Field& out) const {
    const Expr& load = decisions_.expressions[e];
    if (load.op != Op::kLoad || load.a != kNone || load.k >= kFarthestNeed || users_[e] != 1) return false;
    out.load = e;
    out.from = load.k;
    out.size = load.size;
    out.mask &= load.size == 4 ? kNone : (1u << (8 * load.size)) - 1;
    return true;
  }

  bool join_with_next(DecisionId id) {
    const Decision& d = decisions_.all[id];
    if (!d.is_branch() || (ways_in_[d.if_true.to] != 1 && ways_in_[d.if_false.to] != 1)) return false;
    for (const bool by_true : {true, false}) {
      Field first, second;
      if (!as_field(decisions_.all[id], by_true, first)) continue;
      const DecisionId next = first.pass;
      if (next == id || ways_in_[next] != 1 || !decisions_.all[next].parameters.empty()) continue;
      for (const bool next_by_true : {true, false}) {
        if (!as_field(decisions_.all[next], next_by_true, second)) continue;
        if (second.fail == first.fail && join(id, next, first, second)) return true;
      }
    }
    return false;
  }

  bool rejects(DecisionId id) const {
    const Decision& d = decisions_.all[id];
    return d.kind == ExitKind::kVerdict && decisions_.expressions.is_constant(d.lhs, 0);
  }

  bool join(DecisionId id, DecisionId next, const Field& a, const Field& b) {
    if (decisions_.all[next].demands() && !rejects(a.fail)) return false;
    if (a.values.size() > 1 && b.values.size() > 1) return false;
    const std::uint32_t end = std::max(a.from + a.size, b.from + b.size);
    const std::uint32_t start = std::min(a.from, b.from);
    const std::uint32_t size = end - start <= 2 ? 2 : 4;
    if (end < size || end - size > start || a.load == b.load) return false;
    // Bytes that only the wide load touches lie before its end: they are in the packet when the end is.
    const std::uint32_t shift_a = 8 * (end - a.from - a.size), shift_b = 8 * (end - b.from - b.size);
    const std::uint32_t mask_a = a.mask << shift_a, mask_b = b.mask << shift_b;
    if ((mask_a & mask_b) != 0) return false;
    Expressions& expressions = decisions_.expressions;
    const ExprId wide = expressions.load(static_cast<std::uint8_t>(size), kNone, end - size);
    const ExprId value = expressions.binary(Op::kAnd, wide, expressions.constant(mask_a | mask_b));
    const auto count = static_cast<int>(std::max(a.values.size(), b.values.size()));
    if (1 + (value != wide ? 1 : 0) + count >= a.instructions + b.instructions) return false;
    Test test;
    test.lhs = value;
    for (const std::uint32_t v : a.values)
      for (const std::uint32_t w : b.values) {
        const std::uint32_t both = (v << shift_a) | (w << shift_b);
        test.set.push_back({both, both});
      }
    normalise(test.set);
    simplify_member(expressions, test);
    Decision& made = decisions_.all[id];
    made.need = std::max(decisions_.all[next].need, made.need);
    made.if_true = {b.pass, {}};
    made.if_false = {b.fail, {}};
    set_exit(decisions_, made, test);
    users_.resize(expressions.size(), 1);
    --ways_in_[b.fail];
    ways_in_[next] = 0;
    return true;
  }

  Decisions& decisions_;
  Scratch scratch_;
  ScratchVector<std::uint32_t> users_;   // by expression: tests that look at it
  std::vector<std::uint32_t>& ways_in_;  // by decision
};

}  // namespace

bool widen(Decisions& decisions) { return Widening(decisions).run(); }

}  // namespace weir::flow
