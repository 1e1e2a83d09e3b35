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

#include <weir/base/small_vector.h>

#include "base/scratch.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

class Gathering {
 public:
  explicit Gathering(Decisions& decisions) : decisions_(decisions), ways_in_(decisions.ways_in) {
    decisions.count_ways_in();
  }

  bool run() {
    for (DecisionId id = decisions_.entry; id < decisions_.all.size(); ++id) {
      if (ways_in_[id] == 0 || !is_link(id) || (!done_.empty() && done_[id])) continue;
      const Way if_true = decisions_.all[id].if_true, if_false = decisions_.all[id].if_false;
      const DecisionId by_true = next(id, if_true.to);
      const DecisionId by_false = next(id, if_false.to);
      if (by_true == kNone && by_false == kNone) continue;
      const bool longer = by_false != kNone && next(by_false, if_false.to) != kNone;
      const bool prefers_true = by_true != kNone && (!longer || next(by_true, if_true.to) != kNone);
      gather_run(id, prefers_true ? if_true.to : if_false.to);
    }
    return changed_;
  }

 private:
  // Tests of one expression in a segment.
  struct Group {
    DecisionId first;
    bool bits;
    std::uint32_t next;         // another group of the same expression
    std::uint32_t start, last;  // in run_
  };

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

  // Whether an expression may occur twice in the run; of long runs that is not asked.
  bool repeats() const {
    constexpr std::size_t kShort = 8;
    if (run_.size() > kShort) return true;
    for (std::size_t i = 1; i < run_.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (decisions_.all[run_[i]].lhs == decisions_.all[run_[j]].lhs) return true;
    return false;
  }

  void gather_run(DecisionId id, DecisionId common) {
    if (done_.empty()) done_.assign(decisions_.all.size(), false);
    run_.clear();
    for (; id != kNone; id = next(id, common)) {
      run_.push_back(id);
      done_[id] = true;
    }
    if (!repeats()) return;
    if (group_of_.empty()) group_of_.assign(decisions_.expressions.size(), kNone);
    const Decision& last = decisions_.all[run_.back()];
    const Way out = last.if_true.to == common ? last.if_false : last.if_true;
    kept_.clear();
    const Decision& place = decisions_.all[common];
    const bool rejects = place.kind == ExitKind::kVerdict && decisions_.expressions.is_constant(place.lhs, 0);
    for (std::uint32_t from = 0; from < run_.size();) {
      std::uint32_t to = from + 1;
      while (to < run_.size() && (rejects || !decisions_.all[run_[to]].demands())) ++to;
      segment(from, to, common);
      from = to;
    }
    if (kept_.size() == run_.size()) return;
    changed_ = true;
    link(common, out);
  }

  // Joins run_[from, to) by expression; what remains goes to kept_ in the order of first occurrence.
  void segment(std::uint32_t from, std::uint32_t to, DecisionId common) {
    groups_.clear();
    members_.clear();
    for (std::uint32_t i = from; i < to; ++i) {
      const Decision& d = decisions_.all[run_[i]];
      const bool bits = d.kind == ExitKind::kTest;
      const bool joins = !bits || d.if_true.to == common;
      std::uint32_t& group = group_of_[d.lhs];
      std::uint32_t found = joins && (i == from || !d.demands()) ? group : kNone;
      while (found != kNone && groups_[found].bits != bits) found = groups_[found].next;
      if (found == kNone) {
        found = static_cast<std::uint32_t>(groups_.size());
        groups_.push_back({run_[i], bits, joins ? group : kNone, i, i});
        if (joins) group = found;
      } else {
        members_[groups_[found].last - from] = i;
        groups_[found].last = i;
      }
      members_.push_back(kNone);
    }
    for (std::uint32_t i = from; i < to; ++i) group_of_[decisions_.all[run_[i]].lhs] = kNone;
    for (const Group& group : groups_) {
      if (group.start != group.last) join(group, from, common);
      kept_.push_back(group.first);
    }
  }

  // The first of the group tests for all of it.
  void join(const Group& group, std::uint32_t from, DecisionId common) {
    Decision& first = decisions_.all[group.first];
    if (first.kind == ExitKind::kTest) {
      std::uint32_t mask = 0;
      for (std::uint32_t i = group.start; i != kNone; i = members_[i - from])
        mask |= decisions_.expressions[decisions_.all[run_[i]].rhs].k;
      first.rhs = decisions_.expressions.constant(mask);
      if (group_of_.size() < decisions_.expressions.size()) group_of_.resize(decisions_.expressions.size(), kNone);
      return;
    }
    union_.clear();
    for (std::uint32_t i = group.start; i != kNone; i = members_[i - from]) {
      const Decision& d = decisions_.all[run_[i]];
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

  Decisions& decisions_;
  const std::vector<std::uint32_t>& ways_in_;  // by decision, before the pass
  // Made when the first run is found.
  Scratch scratch_;
  ScratchVector<bool> done_{scratch_};               // by decision
  ScratchVector<std::uint32_t> group_of_{scratch_};  // by expression: the last group of the segment at hand
  SmallVector<DecisionId, 16> run_, kept_;
  SmallVector<Group, 16> groups_;
  SmallVector<std::uint32_t, 16> members_;  // by place in the segment: the next one of its group
  Ranges union_, rest_;
  bool changed_ = false;
};

}  // namespace

bool gather(Decisions& decisions) { return Gathering(decisions).run(); }

}  // namespace weir::flow
