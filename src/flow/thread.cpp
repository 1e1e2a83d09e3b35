// Facts along paths, and jumps threaded. Exports thread.
//
// Decisions are taken in topological order. The facts at one are those that hold on all ways that lead to it, which are
// final when it is reached; its demands and the outcome of its test add to them. A way is followed as long as the facts
// on it decide what it leads to and cover its demands: the test is skipped on this way, and stays for others. Nothing
// is copied, so the program never grows. Decisions with parameters are not skipped.
#include <array>

#include "flow/facts.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

constexpr std::uint32_t kLongestSkip = 100000;

class Threading {
 public:
  explicit Threading(Decisions& decisions) : decisions_(decisions), facts_of_(decisions.all.size(), kNone) {}

  bool run() {
    walk_.topological(decisions_);
    skips_left_ = 64 * walk_.order.size() + 1000;
    for (const DecisionId id : walk_.order) {
      if (id == decisions_.entry) here_.clear();
      else if (facts_of_[id] == kNone) continue;  // no way leads here any more
      else take(id);
      visit(decisions_.all[id]);
    }
    skip_entry();
    return changed_;
  }

 private:
  void take(DecisionId id) {
    here_ = pool_[facts_of_[id]];
    free_.push_back(facts_of_[id]);
  }

  void give(DecisionId to, const Facts& facts) {
    std::uint32_t& at = facts_of_[to];
    if (at != kNone) {
      pool_[at].meet(facts);
      return;
    }
    if (free_.empty()) {
      at = static_cast<std::uint32_t>(pool_.size());
      pool_.push_back(facts);
    } else {
      at = free_.back();
      free_.pop_back();
      pool_[at] = facts;
    }
  }

  void drop_covered_demands(Decision& decision) {
    if (decision.need != 0 && decision.need <= here_.need()) {
      decision.need = 0;
      changed_ = true;
    }
    if (decision.traps.empty()) return;
    kept_.clear();
    for (const ExprId trap : decisions_.list(decision.traps))
      if (!here_.covers_trap(decisions_, trap)) kept_.push_back(trap);
    if (kept_.size() == decision.traps.count) return;
    decision.traps = decisions_.keep(kept_);
    changed_ = true;
  }

  void visit(Decision& decision) {
    drop_covered_demands(decision);
    here_.learn_demands(decisions_, decision);
    if (decision.kind == ExitKind::kVerdict) return;
    if (decision.is_branch()) {
      if (const std::optional<bool> outcome = here_.decide(decisions_, decision)) {
        if (!*outcome) decision.if_true = decision.if_false;
        decision.if_false = {};
        decision.kind = ExitKind::kJump;
        changed_ = true;
      }
    }
    if (!decision.is_branch()) {
      follow(decision.if_true, here_);
      give(decision.if_true.to, here_);
      return;
    }
    there_ = here_;
    there_.learn_outcome(decisions_, decision, true);
    follow(decision.if_true, there_);
    give(decision.if_true.to, there_);
    here_.learn_outcome(decisions_, decision, false);
    follow(decision.if_false, here_);
    give(decision.if_false.to, here_);
    if (decision.if_true.to == decision.if_false.to && decision.if_true.arguments.empty()) {
      decision.kind = ExitKind::kJump;
      decision.if_false = {};
      changed_ = true;
    }
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
  Walk walk_;
  std::vector<Facts> pool_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> facts_of_;  // by decision: in the pool
  Facts here_, there_;
  std::vector<ExprId> kept_;
  std::size_t skips_left_ = 0;
  bool changed_ = false;
};

}  // namespace

bool thread(Decisions& decisions) { return Threading(decisions).run(); }

}  // namespace weir::flow
