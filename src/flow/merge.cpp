// Alike decisions become one with parameters. Exports merge.
//
// `host` looks for the same addresses in IPv4 and in ARP, `port` for the same numbers behind IPv4 and IPv6 headers: two
// trees of tests that are equal but for where they load from. Such a pair becomes one whose loads are at [q + k], with
// a parameter q that says where; the first test may compare another parameter instead, loaded before the ways join.
// With q in X and the first value in A this is what classic code can say, and halves long lists.
//
// Where one of two exclusive tests of a value leads to a test that is like the other of them (the next header is TCP,
// or a fragment header whose next header is TCP), the two are exchanged, so that the alike ones stand last and can be
// one.
//
// Candidates are found by hashing shapes: tests without their places, and the shapes of what they lead to. A pair is
// merged where the instructions saved outnumber those that set the parameters.
#include <algorithm>
#include <array>

#include "base/scratch.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

// Two loads: their bases as values of q that make both [q + k].
struct Places {
  bool same = false;  // nothing to choose
  ExprId q_a = kNone, q_b = kNone;
  std::uint32_t k = 0;
};

class Merging {
 public:
  explicit Merging(Decisions& decisions) : decisions_(decisions), ways_in_(decisions.ways_in) {
    decisions.count_ways_in();
    shape_.assign(decisions.all.size(), kNone);
  }

  bool run() {
    const auto count = static_cast<DecisionId>(decisions_.all.size());
    std::size_t live = 0;
    for (const std::uint32_t ways : ways_in_) live += ways != 0 ? 1 : 0;
    std::size_t size = 16;
    while (size < 2 * live) size *= 2;
    table_.assign(size, kNone);
    before_.assign(count, kNone);
    has_parameters_ = std::any_of(decisions_.all.begin(), decisions_.all.end(),
                                  [](const Decision& decision) { return !decision.parameters.empty(); });
    for (DecisionId id = decisions_.entry; id < count; ++id) {
      if (ways_in_[id] == 0) continue;
      exchange(id);
      for (const Way* way : {&decisions_.all[id].if_true, &decisions_.all[id].if_false})
        if (way->to != kNone) before_[way->to] = id;
    }
    bool twins = false;
    for (DecisionId id = count; id-- > 0;)
      if (ways_in_[id] != 0) twins = find_shape(id) || twins;
    if (!twins) return false;
    first_of_.assign(count, kNone);
    bool changed = false;
    for (const Exchanged& one : exchanged_) changed = join_third(one) || try_pair(one.next, one.like) || changed;
    for (DecisionId id = decisions_.entry; id < count; ++id) {
      if (ways_in_[id] == 0) continue;
      if (shape_[id] == id && first_of_[id] == kNone) first_of_[id] = id;
      const DecisionId shape = shape_[id];
      if (first_of_[shape] == kNone) first_of_[shape] = id;
      if (first_of_[shape] == id) continue;
      if (try_pair(first_of_[shape], id)) changed = true;
    }
    return changed;
  }

 private:
  struct Exchanged {  // tests with one set and the same ways, the second of which the first stands beside
    DecisionId next, like;
  };
  struct Pair {
    DecisionId a, b;
    Places places;
    std::uint32_t if_true = kNone, if_false = kNone;  // the pair that a side leads to; kNone: to the same decision
  };

  bool can_merge(const Decision& d) const {
    return d.is_branch() && d.parameters.empty() && d.if_true.arguments.empty() && d.if_false.arguments.empty() &&
           (d.kind == ExitKind::kSet || decisions_.expressions.is_constant(d.rhs));
  }

  // x in S: T, or x in U: (y in S: T else F) else F. With the tests of x exchanged, the two tests of S are alike.
  void exchange(DecisionId id) {
    Decision& first = decisions_.all[id];
    if (first.kind != ExitKind::kSet || !can_merge(first)) return;
    const DecisionId next = first.if_false.to, like = decisions_.all[next].if_true.to;
    Decision& second = decisions_.all[next];
    if (second.kind != ExitKind::kSet || !can_merge(second) || second.lhs != first.lhs || second.demands()) return;
    const Decision& third = decisions_.all[like];
    if (ways_in_[next] != 1 || ways_in_[like] != 1 || third.kind != ExitKind::kSet || !can_merge(third)) return;
    if (third.if_true.to != first.if_true.to || third.if_false.to != second.if_false.to) return;
    const auto set = decisions_.set(first.set), same = decisions_.set(third.set);
    if (!std::equal(set.begin(), set.end(), same.begin(), same.end()) || !alike_values(first.lhs, third.lhs)) return;
    Ranges both;
    intersect(set, decisions_.set(second.set), both);
    if (!both.empty()) return;
    std::swap(first.set, second.set);
    first.if_true = second.if_true;
    second.if_true = third.if_true;
    first.if_false = {next, {}};
    exchanged_.push_back({next, like});
  }

  // A test elsewhere that is like the two exchanged ones: the same load as the second of them, elsewhere in the packet.
  DecisionId find_third(const Exchanged& one) const {
    const Decision& like = decisions_.all[one.like];
    if (decisions_.expressions[root(like.lhs)].a != kNone || !demands_own_load(like)) return kNone;
    for (DecisionId id = decisions_.entry; id < ways_in_.size(); ++id) {
      if (ways_in_[id] == 0 || id == one.next || id == one.like) continue;
      const Decision& d = decisions_.all[id];
      if (d.kind != ExitKind::kSet || d.if_true.to != like.if_true.to || d.if_false.to != like.if_false.to) continue;
      if (!can_merge(d) || !alike(d, like) || !demands_own_load(d)) continue;
      const Expr& load = decisions_.expressions[root(d.lhs)];
      if (load.op == Op::kLoad && load.a == kNone && ways_in_[id] == 1) return id;
    }
    return kNone;
  }

  // Both loads become one with a place as parameter, and its value that of the test that all three share.
  bool join_third(const Exchanged& one) {
    constexpr std::size_t kFew = 4, kSmall = 600;
    if (exchanged_.size() > kFew || ways_in_.size() > kSmall || has_parameters_) return false;
    const DecisionId third = find_third(one);
    if (third == kNone || !can_merge(decisions_.all[one.next]) || !can_merge(decisions_.all[one.like])) return false;
    const Places q = places(decisions_.all[one.like], decisions_.all[third]);
    if (q.same || q.q_a == kNone) return false;
    pairs_.assign(1, {one.like, third, q});
    const auto joint = static_cast<DecisionId>(decisions_.all.size());
    build(false, q);
    const ExprId value = decisions_.expressions.parameter();
    Decision test = decisions_.all[joint];
    const ExprId place_value = test.lhs;
    test.lhs = value;
    test.need = 0;
    test.traps = {};
    test.parameters = decisions_.keep(std::span<const ExprId>(&value, 1));
    const auto last = static_cast<DecisionId>(decisions_.all.size());
    decisions_.all.push_back(test);
    hand_over(joint, last, decisions_.keep(std::span<const ExprId>(&place_value, 1)), true);
    const ExprId tested = decisions_.all[one.next].lhs;
    hand_over(one.next, last, decisions_.keep(std::span<const ExprId>(&tested, 1)), true);
    return true;
  }

  // Says whether another decision has the shape already. A shape is named by the first decision that has it.
  bool find_shape(DecisionId id) {
    const Decision& d = decisions_.all[id];
    shape_[id] = id;
    if (!can_merge(d)) return false;
    const std::size_t mask = table_.size() - 1;
    std::size_t at = hash(d) & mask;
    for (; table_[at] != kNone; at = (at + 1) & mask)
      if (alike(decisions_.all[table_[at]], d)) {
        shape_[id] = table_[at];
        return true;
      }
    table_[at] = id;
    return false;
  }

  // The load that an expression starts with, through operations with constants.
  ExprId root(ExprId id) const {
    const Expressions& expressions = decisions_.expressions;
    while (expressions[id].b != kNone && expressions.is_constant(expressions[id].b)) id = expressions[id].a;
    return id;
  }

  bool alike_values(ExprId a, ExprId b) const {
    const Expressions& expressions = decisions_.expressions;
    for (;;) {
      if (a == b) return true;
      const Expr& x = expressions[a];
      const Expr& y = expressions[b];
      if (x.op == Op::kLoad && y.op == Op::kLoad && x.size == y.size) return true;
      if (x.op != y.op || x.b == kNone || x.b != y.b || !expressions.is_constant(x.b)) return false;
      a = x.a;
      b = y.a;
    }
  }

  std::uint64_t hash(const Decision& d) const {
    std::uint64_t h = static_cast<std::uint64_t>(d.kind) * 7 + static_cast<std::uint64_t>(d.condition);
    const auto mix = [&h](std::uint64_t x) {
      h = (h ^ x) * 0x9e3779b97f4a7c15u;
      h ^= h >> 29;
    };
    const Expr& e = decisions_.expressions[root(d.lhs)];
    mix(static_cast<std::uint64_t>(e.op) << 8 | e.size);
    mix(d.rhs);
    mix(shape_[d.if_true.to]);
    mix(shape_[d.if_false.to]);
    for (const Range& range : decisions_.set(d.set)) mix(std::uint64_t{range.first} << 32 | range.last);
    return h;
  }

  bool alike(const Decision& a, const Decision& b) const {
    if (a.kind != b.kind || a.condition != b.condition || a.rhs != b.rhs) return false;
    if (shape_[a.if_true.to] != shape_[b.if_true.to] || shape_[a.if_false.to] != shape_[b.if_false.to]) return false;
    const auto x = decisions_.set(a.set), y = decisions_.set(b.set);
    return std::equal(x.begin(), x.end(), y.begin(), y.end()) && alike_values(a.lhs, b.lhs);
  }

  Places places(const Decision& a, const Decision& b) {
    Places out;
    const ExprId load_a = root(a.lhs), load_b = root(b.lhs);
    out.same = load_a == load_b;
    if (out.same) return out;
    Expressions& expressions = decisions_.expressions;
    const Expr x = expressions[load_a], y = expressions[load_b];
    if (x.k >= kFarthestNeed || y.k >= kFarthestNeed) return out;
    if (x.a != kNone && y.a != kNone) {
      if (x.k != y.k) return out;
      out.q_a = x.a;
      out.q_b = y.a;
      out.k = x.k;
      return out;
    }
    // A fixed place stays fixed where q is 0; the other one must lie behind it.
    out.k = x.a == kNone && (y.a != kNone || x.k > y.k) ? y.k : x.k;
    if (x.k < out.k || y.k < out.k) return {};
    out.q_a = x.a != kNone ? x.a : expressions.constant(x.k - out.k);
    out.q_b = y.a != kNone ? y.a : expressions.constant(y.k - out.k);
    return out;
  }

  // Demands are at most those of the decision's own load.
  bool demands_own_load(const Decision& d) const {
    const ExprId load = root(d.lhs);
    const Expr& e = decisions_.expressions[load];
    for (const ExprId trap : decisions_.list(d.traps))
      if (trap != load) return false;
    if (d.need == 0) return true;
    return e.op == Op::kLoad && e.a == kNone && d.need == e.k + e.size;
  }

  bool agree(const Places& p, const Places& q) const { return p.q_a == q.q_a && p.q_b == q.q_b; }

  // All pairs below a first one, each before those it leads to, and the q that serves all but perhaps the first. False
  // where the two trees cannot be one.
  bool collect(DecisionId a, DecisionId b, Places& q) {
    pairs_.clear();
    if (!add_pair(a, b, q)) return false;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      for (const bool side : {true, false}) {
        const Decision& x = decisions_.all[pairs_[i].a];
        const Decision& y = decisions_.all[pairs_[i].b];
        const DecisionId to_a = side ? x.if_true.to : x.if_false.to;
        const DecisionId to_b = side ? y.if_true.to : y.if_false.to;
        if (to_a == to_b) continue;
        // Inside of the trees nothing else leads.
        if (ways_in_[to_a] != 1 || ways_in_[to_b] != 1) return false;
        (side ? pairs_[i].if_true : pairs_[i].if_false) = static_cast<std::uint32_t>(pairs_.size());
        if (!add_pair(to_a, to_b, q)) return false;
      }
    }
    return true;
  }

  bool add_pair(DecisionId a, DecisionId b, Places& q) {
    const Decision& x = decisions_.all[a];
    const Decision& y = decisions_.all[b];
    if (!can_merge(x) || !can_merge(y)) return false;
    const bool first = pairs_.empty();
    pairs_.push_back({a, b, places(x, y)});
    if (first) return true;
    if (!demands_own_load(x) || !demands_own_load(y)) return false;
    const Places& here = pairs_.back().places;
    if (here.same) return true;
    if (here.q_a == kNone || (q.q_a != kNone && !agree(q, here))) return false;
    q = here;
    return true;
  }

  bool try_pair(DecisionId a, DecisionId b) {
    Places q;
    if (a == b || !collect(a, b, q)) return false;
    const Pair& top = pairs_.front();
    const int with_value = pays(true, q);
    int with_place = 0;
    Places all = q;
    if (demands_own_load(decisions_.all[a]) && demands_own_load(decisions_.all[b])) {
      const bool fits = top.places.same || (top.places.q_a != kNone && (q.q_a == kNone || agree(q, top.places)));
      if (fits && !top.places.same) all = top.places;
      if (fits) with_place = pays(false, all);
    }
    if (std::max(with_value, with_place) <= 0) return false;
    const auto joint = static_cast<DecisionId>(decisions_.all.size());
    if (with_value > with_place) {
      build(true, q);
    } else {
      build(false, all);
      join_before(a, b, joint);
    }
    return true;
  }

  // Whether all loads in an expression lie at fixed places that the decision itself demands, and nothing divides.
  bool is_proven_by(const Decision& d, ExprId id, int depth = 0) const {
    const Expr& e = decisions_.expressions[id];
    if (e.op == Op::kConstant) return true;
    if (e.op == Op::kLoad) return e.a == kNone && e.k < kFarthestNeed && e.k + e.size <= d.need;
    if (depth > 8 || e.op < Op::kAdd || e.op == Op::kDivide || e.op == Op::kModulo) return false;
    return is_proven_by(d, e.a, depth + 1) && is_proven_by(d, e.b, depth + 1);
  }

  // Where the same set was asked for before each of the two, of whatever values, one test of a value that both hand
  // over together with the place does for both.
  void join_before(DecisionId a, DecisionId b, DecisionId joint) {
    if (ways_in_[a] != 1 || ways_in_[b] != 1 || decisions_.all[joint].parameters.count != 1) return;
    const DecisionId first = before_[a], second = before_[b];
    if (first == kNone || second == kNone || first == second) return;
    const Decision& x = decisions_.all[first];
    const Decision& y = decisions_.all[second];
    if (x.kind != ExitKind::kSet || y.kind != ExitKind::kSet || !can_merge(x) || !can_merge(y)) return;
    if (x.if_true.to != a || y.if_true.to != b || x.if_false.to != y.if_false.to || comparisons(x) < 2) return;
    const auto s = decisions_.set(x.set), t = decisions_.set(y.set);
    if (!std::equal(s.begin(), s.end(), t.begin(), t.end())) return;
    const ExprId place_a = decisions_.list(decisions_.all[a].if_true.arguments)[0];
    const ExprId place_b = decisions_.list(decisions_.all[b].if_true.arguments)[0];
    if (!is_proven_by(x, place_a) || !is_proven_by(y, place_b)) return;
    const ExprId value = decisions_.expressions.parameter();
    const ExprId parameters[] = {value, decisions_.list(decisions_.all[joint].parameters)[0]};
    const ExprId for_a[] = {x.lhs, place_a}, for_b[] = {y.lhs, place_b};
    Decision test = x;
    test.lhs = value;
    test.need = 0;
    test.traps = {};
    test.parameters = decisions_.keep(std::span<const ExprId>(parameters));
    test.if_true = {joint, {}};
    decisions_.all[joint].parameters = {};
    const auto last = static_cast<DecisionId>(decisions_.all.size());
    decisions_.all.push_back(test);
    hand_over(first, last, decisions_.keep(std::span<const ExprId>(for_a)), true);
    hand_over(second, last, decisions_.keep(std::span<const ExprId>(for_b)), true);
  }

  int comparisons(const Decision& d) const {
    if (d.kind != ExitKind::kSet) return 1;
    int out = 0;
    for (const Range& range : decisions_.set(d.set))
      out += range.first == range.last || range.first == 0 || range.last == kLastNumber ? 1 : 2;
    return out;
  }

  // Instructions saved by merging.
  int pays(bool value_first, const Places& q) const {
    const Expressions& expressions = decisions_.expressions;
    // What was tested just before is still in A.
    const auto is_at_hand = [&](DecisionId id) {
      const Decision& d = decisions_.all[id];
      return ways_in_[id] == 1 && !d.demands() && before_[id] != kNone && decisions_.all[before_[id]].is_branch() &&
             decisions_.all[before_[id]].lhs == d.lhs;
    };
    const bool at_hand = is_at_hand(pairs_[0].a) || is_at_hand(pairs_[0].b);
    int out = 0;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      out += comparisons(decisions_.all[pairs_[i].a]);
      if (i != 0 || !value_first) ++out;  // its load
      // Not where the decision before has loaded the same.
      for (const std::uint32_t next : {pairs_[i].if_true, pairs_[i].if_false})
        if (next != kNone && decisions_.all[pairs_[next].a].lhs == decisions_.all[pairs_[i].a].lhs) --out;
    }
    if (value_first && !at_hand) out -= 1;  // one side jumps to where they join
    if (!value_first && at_hand) out -= 1;  // its load was none
    if (q.q_a == kNone) return out;
    const bool a_fixed = expressions.is_constant(q.q_a), b_fixed = expressions.is_constant(q.q_b);
    if (!expressions.is_constant(q.q_a, 0) && a_fixed) --out;
    if (!expressions.is_constant(q.q_b, 0) && b_fixed) --out;
    // Setting X to a constant can be done before the test that leads there, if that is one test.
    const bool hoists = (a_fixed && ways_in_[pairs_[0].a] == 1) || (b_fixed && ways_in_[pairs_[0].b] == 1);
    if (!value_first && !hoists) --out;
    return out;
  }

  ExprId with_load(ExprId value, ExprId load) {
    Expressions& expressions = decisions_.expressions;
    const Expr e = expressions[value];
    if (e.op == Op::kLoad) return load;
    return expressions.binary(e.op, with_load(e.a, load), e.b);
  }

  void build(bool value_first, const Places& q) {
    Expressions& expressions = decisions_.expressions;
    const ExprId place = q.q_a != kNone
                             ? expressions.parameter(std::max(expressions.highest(q.q_a), expressions.highest(q.q_b)))
                             : kNone;
    const ExprId value = value_first ? expressions.parameter() : kNone;
    const auto first = static_cast<DecisionId>(decisions_.all.size());
    decisions_.ordered = false;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const Pair& pair = pairs_[i];
      const Decision& a = decisions_.all[pair.a];
      const Decision& b = decisions_.all[pair.b];
      Decision made = a;
      made.need = 0;
      made.traps = {};
      if (value_first && i == 0) {
        made.lhs = value;
      } else if (pair.places.same) {
        made.need = std::max(a.need, b.need);
        made.traps = a.traps.empty() ? b.traps : a.traps;
      } else {
        const ExprId load = expressions.load(expressions[root(a.lhs)].size, place, pair.places.k);
        made.lhs = with_load(a.lhs, load);
        if (a.demands() || b.demands()) made.traps = decisions_.keep(std::span<const ExprId>(&load, 1));
      }
      if (pair.if_true != kNone) made.if_true = {first + pair.if_true, {}};
      if (pair.if_false != kNone) made.if_false = {first + pair.if_false, {}};
      decisions_.all.push_back(made);
    }
    std::array<ExprId, 2> parameters, for_a, for_b;
    std::size_t count = 0;
    const auto add = [&](ExprId parameter, ExprId from_a, ExprId from_b) {
      parameters[count] = parameter;
      for_a[count] = from_a;
      for_b[count++] = from_b;
    };
    if (value_first) add(value, decisions_.all[pairs_[0].a].lhs, decisions_.all[pairs_[0].b].lhs);
    if (place != kNone) add(place, q.q_a, q.q_b);
    const auto keep = [&](const std::array<ExprId, 2>& list) { return decisions_.keep(std::span(list).first(count)); };
    decisions_.all[first].parameters = keep(parameters);
    hand_over(pairs_[0].a, first, keep(for_a), value_first);
    hand_over(pairs_[0].b, first, keep(for_b), value_first);
  }

  void hand_over(DecisionId id, DecisionId to, Slice arguments, bool keeps_demands) {
    Decision& d = decisions_.all[id];
    d.kind = ExitKind::kJump;
    d.lhs = d.rhs = kNone;
    d.set = {};
    d.if_true = {to, arguments};
    d.if_false = {};
    if (keeps_demands) return;
    d.need = 0;
    d.traps = {};
  }

  Decisions& decisions_;
  const std::vector<std::uint32_t>& ways_in_;  // by decision, before the pass
  Scratch scratch_;
  ScratchVector<DecisionId> shape_{scratch_};     // by decision
  ScratchVector<DecisionId> first_of_{scratch_};  // by shape: the first decision that has it
  ScratchVector<DecisionId> table_{scratch_};
  ScratchVector<DecisionId> before_{scratch_};  // by decision: one that leads to it
  std::vector<Exchanged> exchanged_;
  bool has_parameters_ = false;  // before the pass
  std::vector<Pair> pairs_;
};

}  // namespace

bool merge(Decisions& decisions) { return Merging(decisions).run(); }

}  // namespace weir::flow
