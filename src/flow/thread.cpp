// Facts along paths, and jumps threaded. Exports thread.
//
// Decisions are taken in topological order. The facts at one are those that hold on all ways that lead to it, which are
// final when it is reached; its demands and the outcome of its test add to them. A way is followed as long as the facts
// on it decide what it leads to and cover its demands: the test is skipped on this way, and stays for others. Nothing
// is copied, so the program never grows.
//
// A decision with parameters is skipped when its turn comes, on the ways that lead to where the parameters are not
// needed; where all others lead to one place that nothing else leads to, the parameters move there.
#include <algorithm>

#include "base/scratch.h"
#include "flow/facts.h"
#include "flow/live_parameters.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

constexpr std::uint32_t kLongestSkip = 100000;

class Threading {
 public:
  explicit Threading(Decisions& decisions)
      : decisions_(decisions), facts_of_(decisions.all.size(), kNone, scratch_), ways_in_(decisions.ways_in) {}

  bool run() {
    decisions_.count_ways_in();
    skips_left_ = 64 * decisions_.all.size() + 1000;
    live_.find(decisions_);
    free_.reserve(32);
    facts_of_[decisions_.entry] = fresh();
    pool_[facts_of_[decisions_.entry]].clear();
    for (DecisionId id = decisions_.entry; id < decisions_.all.size(); ++id) {
      if (ways_in_[id] == 0) continue;
      if (live_.known() && id != decisions_.entry && !decisions_.all[id].parameters.empty() && !skip_joint(id))
        continue;
      if (facts_of_[id] != kNone) visit(id);  // otherwise no way leads here any more
    }
    skip_entry();
    return changed_;
  }

 private:
  using FactsId = std::uint32_t;  // in the pool; whoever holds one gives it on, or frees it

  FactsId fresh() {
    if (free_.empty()) {
      if (used_ == pool_.size()) pool_.emplace_back();
      return used_++;
    }
    const FactsId id = free_.back();
    free_.pop_back();
    return id;
  }

  FactsId copy_of(FactsId other) {
    const FactsId id = fresh();
    pool_[id] = pool_[other];
    return id;
  }

  void give(DecisionId to, FactsId facts) {
    FactsId& at = facts_of_[to];
    if (at == kNone) {
      at = facts;
    } else {
      pool_[at].meet(pool_[facts]);
      free_.push_back(facts);
    }
  }

  void drop_covered_demands(const Facts& here, Decision& decision) {
    if (decision.need != 0 && decision.need <= here.need()) {
      decision.need = 0;
      changed_ = true;
    }
    if (decision.traps.empty()) return;
    kept_.clear();
    for (const ExprId trap : decisions_.list(decision.traps))
      if (!here.covers_trap(decisions_, trap)) kept_.push_back(trap);
    if (kept_.size() == decision.traps.count) return;
    decision.traps = decisions_.keep(kept_);
    changed_ = true;
  }

  // A jump's demands become those of what it alone leads to.
  void pass_demands_on(Decision& jump) {
    Decision& next = decisions_.all[jump.if_true.to];
    if (!jump.if_true.arguments.empty()) return;
    if (!rejects(jump.if_true.to)) {
      if (ways_in_[jump.if_true.to] != 1 || !next.parameters.empty()) return;
      next.need = std::max(next.need, jump.need);
      kept_.assign(decisions_.list(next.traps).begin(), decisions_.list(next.traps).end());
      for (const ExprId trap : decisions_.list(jump.traps))
        if (std::find(kept_.begin(), kept_.end(), trap) == kept_.end()) kept_.push_back(trap);
      if (kept_.size() != next.traps.count) next.traps = decisions_.keep(kept_);
    }
    jump.need = 0;
    jump.traps = {};
    changed_ = true;
  }

  // Ways that wait at a decision with parameters.
  struct Waiting {
    DecisionId joint;
    DecisionId from;
    bool side;
    FactsId facts;
  };

  bool rejects(DecisionId id) const {
    const Decision& decision = decisions_.all[id];
    return decision.kind == ExitKind::kVerdict && decisions_.expressions.is_constant(decision.lhs, 0);
  }

  // Whether the test, whichever way it goes, leads to rejection; `out` is the way there.
  bool rejects_either_way(const Decision& decision, const Facts& facts, Way& out) {
    for (const bool side : {true, false}) {
      Way way = side ? decision.if_true : decision.if_false;
      if (!way.arguments.empty()) return false;
      Facts here = facts;
      here.learn_outcome(decisions_, decision, side);
      const bool changed = changed_;
      follow(way, here);
      changed_ = changed;
      if (!rejects(way.to) || !way.arguments.empty()) return false;
      out = way;
    }
    return true;
  }

  // Leads the ways that wait at the decision past it, where their facts decide its test. False where none is left.
  bool skip_joint(DecisionId id) {
    const Decision joint = decisions_.all[id];
    const bool tests_parameters = live_.used_by(decisions_, joint) != 0;
    const std::uint64_t own = live_.mask(decisions_.list(joint.parameters));
    std::vector<Waiting> here;
    const auto elsewhere =
        std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.joint != id; });
    here.assign(elsewhere, waiting_.end());
    waiting_.erase(elsewhere, waiting_.end());
    std::vector<const Way*> onward(here.size(), nullptr);
    bool moves = joint.is_branch() && !tests_parameters && !here.empty();
    const Way* destination = nullptr;
    Way rejection;
    for (std::size_t i = 0; i < here.size() && joint.is_branch() && !tests_parameters; ++i) {
      if (pool_[here[i].facts].covers_demands(decisions_, joint))
        if (const std::optional<bool> outcome = pool_[here[i].facts].decide(decisions_, joint))
          onward[i] = *outcome ? &joint.if_true : &joint.if_false;
      if (onward[i] != nullptr && !onward[i]->arguments.empty()) onward[i] = nullptr;
      if (onward[i] == nullptr && rejects_either_way(joint, pool_[here[i].facts], rejection)) onward[i] = &rejection;
      if (onward[i] != nullptr && (live_.at(onward[i]->to) & own) == 0) continue;
      moves = moves && onward[i] != nullptr && (destination == nullptr || destination == onward[i]);
      destination = onward[i];
    }
    moves = moves && destination != nullptr && ways_in_[destination->to] == 1 &&
            decisions_.all[destination->to].parameters.empty();
    bool left = false;
    for (std::size_t i = 0; i < here.size(); ++i) {
      Way& way = here[i].side ? decisions_.all[here[i].from].if_true : decisions_.all[here[i].from].if_false;
      const bool needed = onward[i] != nullptr && (live_.at(onward[i]->to) & own) != 0;
      if (onward[i] == nullptr || (needed && !moves)) {
        give(id, here[i].facts);
        left = true;
        continue;
      }
      changed_ = true;
      way = {onward[i]->to, needed ? way.arguments : Slice{}};
      if (needed) {
        decisions_.all[way.to].parameters = joint.parameters;
        wait_or_give(way.to, here[i].from, here[i].side, here[i].facts, true);
      } else {
        follow(way, pool_[here[i].facts]);
        wait_or_give(way.to, here[i].from, here[i].side, here[i].facts);
      }
    }
    return left || facts_of_[id] != kNone;
  }

  void wait_or_give(DecisionId to, DecisionId from, bool side, FactsId facts, bool at_once = false) {
    if (at_once || !live_.known() || decisions_.all[to].parameters.empty()) give(to, facts);
    else waiting_.push_back({to, from, side, facts});
  }

  void visit(DecisionId id) {
    Decision& decision = decisions_.all[id];
    const FactsId facts = facts_of_[id];
    drop_covered_demands(pool_[facts], decision);
    if (decision.kind == ExitKind::kJump && decision.demands()) pass_demands_on(decision);
    pool_[facts].learn_demands(decisions_, decision);
    if (decision.kind == ExitKind::kVerdict) {
      free_.push_back(facts);
      return;
    }
    if (decision.is_branch()) {
      if (const std::optional<bool> outcome = pool_[facts].decide(decisions_, decision)) {
        if (!*outcome) decision.if_true = decision.if_false;
        decision.if_false = {};
        decision.kind = ExitKind::kJump;
        changed_ = true;
      }
    }
    if (!decision.is_branch()) {
      follow(decision.if_true, pool_[facts]);
      wait_or_give(decision.if_true.to, id, true, facts);
      return;
    }
    const FactsId if_true = copy_of(facts);
    pool_[if_true].learn_outcome(decisions_, decision, true);
    pool_[facts].learn_outcome(decisions_, decision, false);
    follow(decision.if_true, pool_[if_true]);
    follow(decision.if_false, pool_[facts]);
    if (decision.if_true.to == decision.if_false.to && decision.if_true.arguments.empty() &&
        decision.if_false.arguments.empty()) {
      decision.kind = ExitKind::kJump;
      decision.if_false = {};
      changed_ = true;
      pool_[if_true].meet(pool_[facts]);
      free_.push_back(facts);
      wait_or_give(decision.if_true.to, id, true, if_true);
      return;
    }
    wait_or_give(decision.if_true.to, id, true, if_true);
    wait_or_give(decision.if_false.to, id, false, facts);
  }

  void follow(Way& way, Facts& facts) {
    for (std::uint32_t skipped = 0; skipped < kLongestSkip && skips_left_ != 0; ++skipped, --skips_left_) {
      const Decision& next = decisions_.all[way.to];
      if (next.kind == ExitKind::kVerdict || !next.parameters.empty()) return;
      const Way* on = &next.if_true;
      if (next.is_branch()) {
        const std::optional<bool> outcome = facts.decide(decisions_, next);
        if (!outcome) return;
        if (!*outcome) on = &next.if_false;
      }
      if (!facts.covers_demands(decisions_, next)) return;
      way = *on;
      changed_ = true;
    }
  }

  void skip_entry() {
    for (;;) {
      const Decision& entry = decisions_.all[decisions_.entry];
      if (entry.kind != ExitKind::kJump || entry.demands() || !entry.if_true.arguments.empty()) return;
      decisions_.entry = entry.if_true.to;
    }
  }

  Decisions& decisions_;
  Scratch scratch_;
  // Kept from run to run: making it afresh costs more than a small program's passes.
  static std::vector<Facts>& reused_pool() {
    static thread_local std::vector<Facts> pool;
    if (pool.size() > 4096) pool.clear();
    return pool;
  }
  std::vector<Facts>& pool_ = reused_pool();
  FactsId used_ = 0;                       // how many of the pool have been in use
  ScratchVector<FactsId> free_{scratch_};  // those of them that are not any more
  ScratchVector<std::uint32_t> facts_of_;  // by decision: in the pool
  std::vector<ExprId> kept_;
  const std::vector<std::uint32_t>& ways_in_;  // by decision, before the pass
  std::vector<Waiting> waiting_;
  LiveParameters live_;
  std::size_t skips_left_ = 0;
  bool changed_ = false;
};

}  // namespace

bool thread(Decisions& decisions) { return Threading(decisions).run(); }

}  // namespace weir::flow
