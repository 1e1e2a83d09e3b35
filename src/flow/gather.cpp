// Chains of tests become sets. Exports gather.
//
// A chain is a run of tests with one place in common: each leads there, or to the next of the run, which nothing else
// leads to. Inside of a run, tests may change places as long as no demand moves: a run is cut into segments where a
// decision demands more than those before it did, unless the place in common rejects, as a failed demand does. In a
// segment, tests of one expression are joined where the first of
// them stands: their sets are united, their masks of bits too. Nets and port ranges are ranges already.
//
// Joining a whole run at once keeps the cost near its length times the logarithm of it.
#include <algorithm>

#include "flow/passes.h"

namespace weir::flow {
namespace {

class Gathering {
 public:
  explicit Gathering(Decisions& decisions) : decisions_(decisions) {
    walk_.topological(decisions);
    ways_in_.assign(decisions.all.size(), 0);
    done_.assign(decisions.all.size(), false);
    group_of_.assign(decisions.expressions.size(), kNone);
    run_.reserve(16);
    kept_.reserve(16);
    groups_.reserve(16);
    members_.reserve(16);
    ++ways_in_[decisions.entry];
    for (const DecisionId id : walk_.order)
      for (const Way* way : {&decisions_.all[id].if_true, &decisions_.all[id].if_false})
        if (way->to != kNone) ++ways_in_[way->to];
  }

  bool run() {
    for (const DecisionId id : walk_.order) {
      if (done_[id] || !is_link(id)) continue;
      const Decision& first = decisions_.all[id];
      const std::size_t by_true = length(id, first.if_true.to);
      const std::size_t by_false = length(id, first.if_false.to);
      if (std::max(by_true, by_false) < 2) continue;
      gather_run(id, by_true >= by_false ? first.if_true.to : first.if_false.to);
    }
    return changed_;
  }

 private:
  // Tests that can be joined: membership, and bits of a mask.
  bool is_link(DecisionId id) const {
    const Decision& d = decisions_.all[id];
    if (!d.is_branch() || !d.if_true.arguments.empty() || !d.if_false.arguments.empty()) return false;
    return d.kind == ExitKind::kSet ||
           (d.condition == Condition::kBitsSet && decisions_.expressions.is_constant(d.rhs));
  }

  // The next of a run to `common`, or kNone where the run ends.
  DecisionId next(DecisionId id, DecisionId common) const {
    const Decision& d = decisions_.all[id];
    const DecisionId other = d.if_true.to == common ? d.if_false.to : d.if_true.to;
    if (other == common || ways_in_[other] != 1 || !decisions_.all[other].parameters.empty() || !is_link(other))
      return kNone;
    const Decision& o = decisions_.all[other];
    return o.if_true.to == common || o.if_false.to == common ? other : kNone;
  }

  std::size_t length(DecisionId id, DecisionId common) const {
    std::size_t out = 0;
    for (; id != kNone && out < 3; id = next(id, common)) ++out;  // 2 is enough to know
    return out;
  }

  void gather_run(DecisionId id, DecisionId common) {
    run_.clear();
    for (; id != kNone; id = next(id, common)) {
      run_.push_back(id);
      done_[id] = true;
    }
    const Decision& last = decisions_.all[run_.back()];
    const Way out = last.if_true.to == common ? last.if_false : last.if_true;
    kept_.clear();
    const Decision& place = decisions_.all[common];
    const bool rejects = place.kind == ExitKind::kVerdict && decisions_.expressions.is_constant(place.lhs, 0);
    for (std::size_t from = 0; from < run_.size();) {
      std::size_t to = from + 1;
      while (to < run_.size() && (rejects || !decisions_.all[run_[to]].demands())) ++to;
      segment(from, to, common);
      from = to;
    }
    if (kept_.size() == run_.size()) return;
    changed_ = true;
    link(common, out);
  }

  // Joins run_[from, to) by expression; what remains goes to kept_ in the order of first occurrence.
  void segment(std::size_t from, std::size_t to, DecisionId common) {
    groups_.clear();
    members_.clear();
    for (std::size_t i = from; i < to; ++i) {
      const Decision& d = decisions_.all[run_[i]];
      const bool bits = d.kind == ExitKind::kTest;
      const bool joins = !bits || d.if_true.to == common;
      std::uint32_t& group = group_of_[d.lhs];
      std::uint32_t found = joins && (i == from || !d.demands()) ? group : kNone;
      while (found != kNone && groups_[found].bits != bits) found = groups_[found].next;
      if (found == kNone) {
        found = static_cast<std::uint32_t>(groups_.size());
        groups_.push_back({run_[i], bits, joins ? group : kNone, 0});
        if (joins) group = found;
      }
      ++groups_[found].count;
      members_.push_back({found, run_[i]});
    }
    for (std::size_t i = from; i < to; ++i) group_of_[decisions_.all[run_[i]].lhs] = kNone;
    std::stable_sort(members_.begin(), members_.end(),
                     [](const Member& a, const Member& b) { return a.group < b.group; });
    std::size_t at = 0;
    for (const Group& group : groups_) {
      if (group.count > 1) join(at, at + group.count, common);
      at += group.count;
      kept_.push_back(group.first);
    }
  }

  // The first of the members tests for all of them.
  void join(std::size_t from, std::size_t to, DecisionId common) {
    Decision& first = decisions_.all[members_[from].decision];
    if (first.kind == ExitKind::kTest) {
      std::uint32_t mask = 0;
      for (std::size_t i = from; i < to; ++i)
        mask |= decisions_.expressions[decisions_.all[members_[i].decision].rhs].k;
      first.rhs = decisions_.expressions.constant(mask);
      if (group_of_.size() < decisions_.expressions.size()) group_of_.resize(decisions_.expressions.size(), kNone);
      return;
    }
    union_.clear();
    for (std::size_t i = from; i < to; ++i) {
      const Decision& d = decisions_.all[members_[i].decision];
      const auto set = decisions_.set(d.set);
      if (d.if_true.to == common) {
        union_.insert(union_.end(), set.begin(), set.end());
      } else {
        complement(set, rest_);
        union_.insert(union_.end(), rest_.begin(), rest_.end());
      }
    }
    normalise(union_);
    Test test;
    test.lhs = first.lhs;
    test.set.swap(union_);
    simplify_member(decisions_.expressions, test);
    first.if_true = {common, {}};
    first.if_false = {kNone, {}};  // link() knows
    set_exit(decisions_, first, test);
    if (group_of_.size() < decisions_.expressions.size()) group_of_.resize(decisions_.expressions.size(), kNone);
  }

  // Ties what is kept together again.
  void link(DecisionId common, const Way& out) {
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      Decision& d = decisions_.all[kept_[i]];
      const Way onward = i + 1 < kept_.size() ? Way{kept_[i + 1], {}} : out;
      if (d.kind == ExitKind::kJump) {
        if (d.if_true.to != common) d.if_true = onward;
      } else if (d.if_true.to == common) {
        d.if_false = onward;
      } else {
        d.if_true = onward;
      }
    }
  }

  struct Group {
    DecisionId first;
    bool bits;
    std::uint32_t next;  // another group of the same expression
    std::uint32_t count;
  };
  struct Member {
    std::uint32_t group;
    DecisionId decision;
  };

  Decisions& decisions_;
  Walk walk_;
  std::vector<std::uint32_t> ways_in_;   // by decision
  std::vector<bool> done_;               // by decision
  std::vector<std::uint32_t> group_of_;  // by expression: the last group of the segment at hand
  std::vector<DecisionId> run_, kept_;
  std::vector<Group> groups_;
  std::vector<Member> members_;
  Ranges union_, rest_;
  bool changed_ = false;
};

}  // namespace

bool gather(Decisions& decisions) { return Gathering(decisions).run(); }

}  // namespace weir::flow
