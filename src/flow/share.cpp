// Equal decisions become one. Exports share.
//
// Against the topological order, so that what a decision leads to is final when it is compared: its hash covers its
// demands, test and ways. Jumps that demand nothing, or lead to rejection, and tests whose two sides are the same, are
// passed over. Parameters differ always, so what has some stays.
#include <algorithm>

#include "base/scratch.h"
#include "flow/passes.h"

namespace weir::flow {
namespace {

class Sharing {
 public:
  explicit Sharing(Decisions& decisions) : decisions_(decisions), same_as_(decisions.all.size(), kNone, scratch_) {
    decisions.count_ways_in();
    const auto live = static_cast<std::size_t>(std::count_if(decisions.ways_in.begin(), decisions.ways_in.end(),
                                                             [](std::uint32_t ways) { return ways != 0; }));
    std::size_t size = 16;
    while (size < 2 * live) size *= 2;
    table_.assign(size, kNone);
  }

  bool run() {
    for (auto id = static_cast<DecisionId>(decisions_.all.size()); id-- > 0;)
      if (decisions_.ways_in[id] != 0) same_as_[id] = visit(id);
    const DecisionId entry = same_as_[decisions_.entry];
    if (decisions_.all[decisions_.entry].parameters.empty() && entry != decisions_.entry) {
      decisions_.entry = entry;
      changed_ = true;
    }
    return changed_;
  }

 private:
  void redirect(Way& way) {
    if (way.to == kNone || same_as_[way.to] == way.to) return;
    way.to = same_as_[way.to];
    changed_ = true;
  }

  bool rejects(DecisionId id) const {
    const Decision& decision = decisions_.all[id];
    return decision.kind == ExitKind::kVerdict && decisions_.expressions.is_constant(decision.lhs, 0);
  }

  static void forget_test(Decision& decision) {
    decision.lhs = decision.rhs = kNone;
    decision.set = {};
    decision.condition = Condition::kEqual;
  }

  DecisionId visit(DecisionId id) {
    Decision& decision = decisions_.all[id];
    redirect(decision.if_true);
    redirect(decision.if_false);
    if (decision.is_branch() && decision.if_true.to == decision.if_false.to &&
        same_list(decision.if_true.arguments, decision.if_false.arguments)) {
      decision.kind = ExitKind::kJump;
      decision.if_false = {};
      changed_ = true;
    }
    if (decision.kind == ExitKind::kJump) forget_test(decision);
    if (!decision.parameters.empty()) return id;
    // Whatever it demands, the packet is rejected.
    if (decision.kind == ExitKind::kJump && decision.demands() && decision.if_true.arguments.empty() &&
        rejects(decision.if_true.to)) {
      changed_ = true;
      return decision.if_true.to;
    }
    if (decision.kind == ExitKind::kJump && !decision.demands() && decision.if_true.arguments.empty())
      return decision.if_true.to;
    const std::size_t mask = table_.size() - 1;
    std::size_t at = hash(decision) & mask;
    for (; table_[at] != kNone; at = (at + 1) & mask)
      if (same(decisions_.all[table_[at]], decision)) return table_[at];
    table_[at] = id;
    return id;
  }

  std::uint64_t hash(const Decision& d) const {
    std::uint64_t h = static_cast<std::uint64_t>(d.kind) * 7 + static_cast<std::uint64_t>(d.condition);
    const auto mix = [&h](std::uint64_t x) {
      h = (h ^ x) * 0x9e3779b97f4a7c15u;
      h ^= h >> 29;
    };
    mix(d.need);
    mix(d.lhs);
    mix(d.rhs);
    mix(d.if_true.to);
    mix(d.if_false.to);
    mix(d.traps.count);
    const auto set = decisions_.set(d.set);
    mix(set.size());
    for (std::size_t i = 0; i < set.size(); ++i) mix(std::uint64_t{set[i].first} << 32 | set[i].last);
    return h;
  }

  bool same_list(Slice a, Slice b) const {
    const auto x = decisions_.list(a), y = decisions_.list(b);
    return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin());
  }

  bool same(const Decision& a, const Decision& b) const {
    if (a.kind != b.kind || a.need != b.need || a.if_true.to != b.if_true.to || a.if_false.to != b.if_false.to)
      return false;
    if (a.kind != ExitKind::kJump && a.lhs != b.lhs) return false;
    if (a.kind == ExitKind::kTest && (a.rhs != b.rhs || a.condition != b.condition)) return false;
    if (a.kind == ExitKind::kSet) {
      const auto x = decisions_.set(a.set), y = decisions_.set(b.set);
      if (x.size() != y.size() || !std::equal(x.begin(), x.end(), y.begin())) return false;
    }
    return same_list(a.traps, b.traps) && same_list(a.if_true.arguments, b.if_true.arguments) &&
           same_list(a.if_false.arguments, b.if_false.arguments);
  }

  Decisions& decisions_;
  Scratch scratch_;
  ScratchVector<DecisionId> same_as_;  // by decision: what stands for it
  ScratchVector<DecisionId> table_{scratch_};
  bool changed_ = false;
};

}  // namespace

bool share(Decisions& decisions) { return Sharing(decisions).run(); }

}  // namespace weir::flow
