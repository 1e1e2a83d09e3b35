// Runs of tests become sets. Exports find_sets.
//
// A chain is a run of blocks of which each leads to one common target or to the next block, and to nothing else; no
// block after the first has guards or other predecessors. Whether the common target is reached is then the `or` of the
// tests, in any order, so tests of one value are gathered into one set: a chain of n tests over v values becomes v.
//
// A tree is a block whose successors test the same value again, down to two targets in the end: every elementary
// interval between the constants is followed to its target. Chains go first, so walks through trees are short.
//
// Guards that failed late in a chain would come early in the set: hence no guards inside, and drop_implied_guards
// before.
#include <algorithm>
#include <span>

#include "base/scratch.h"
#include "engine/plan_passes.h"

namespace weir::engine {
namespace {

using flow::Condition;
using flow::ExitKind;
using flow::Range;

constexpr std::uint32_t kLargest = 0xffffffff;

void append_complement(std::span<const Range> set, ScratchVector<Range>& to) {
  std::uint64_t next = 0;
  for (const Range& range : set) {
    if (range.first > next) to.push_back({static_cast<std::uint32_t>(next), range.first - 1});
    next = std::uint64_t{range.last} + 1;
  }
  if (next <= kLargest) to.push_back({static_cast<std::uint32_t>(next), kLargest});
}

void normalise(ScratchVector<Range>& set) {
  std::sort(set.begin(), set.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (kept > 0 && set[i].first <= std::uint64_t{set[kept - 1].last} + 1) {
      set[kept - 1].last = std::max(set[kept - 1].last, set[i].last);
    } else {
      set[kept++] = set[i];
    }
  }
  set.resize(kept);
}

class SetFinder {
 public:
  explicit SetFinder(Plan& plan)
      : plan_(plan),
        predecessors_(plan.blocks.size(), 0, scratch_),
        chain_(scratch_),
        other_chain_(scratch_),
        parts_(scratch_),
        next_of_part_(scratch_),
        part_of_(scratch_),
        seen_(scratch_),
        tree_(scratch_),
        starts_(scratch_),
        set_(scratch_),
        other_set_(scratch_) {
    constexpr std::size_t kUsual = 16;
    for (ScratchVector<std::uint32_t>* each : {&chain_, &other_chain_, &next_of_part_, &tree_, &starts_})
      each->reserve(kUsual);
    for (ScratchVector<Range>* each : {&set_, &other_set_}) each->reserve(kUsual);
    parts_.reserve(kUsual);
  }

  void run() {
    const bool joined = join_verdicts();
    const bool gathered = gather_chains();
    if (joined || gathered || has_empty_jumps()) tidy(plan_);
    if (collapse_trees()) tidy(plan_);
    drop_unused_sets();
  }

 private:
  // Left by guards that were dropped.
  bool has_empty_jumps() const {
    return std::any_of(plan_.blocks.begin(), plan_.blocks.end(), [](const PlanBlock& block) {
      return block.kind == ExitKind::kJump && block.guards.empty() && block.if_true.assignments.empty();
    });
  }

  bool gather_chains() {
    bool changed = false;
    for (const PlanBlock& block : plan_.blocks) {
      if (block.kind == ExitKind::kVerdict) continue;
      ++predecessors_[block.if_true.target];
      if (block.kind != ExitKind::kJump) ++predecessors_[block.if_false.target];
    }
    ScratchVector<std::uint8_t> inside(plan_.blocks.size(), 0, scratch_);  // of a chain already taken
    const auto count = static_cast<PlanBlockId>(plan_.blocks.size());
    for (PlanBlockId id = 0; id < count; ++id) {
      if (inside[id] != 0 || !is_test(id) || !starts_chain(id)) continue;
      find_longest_chain(id);
      for (const PlanBlockId one : chain_) inside[one] = 1;
      changed = gather() || changed;
    }
    return changed;
  }

  bool collapse_trees() {
    bool changed = false;
    seen_.assign(plan_.blocks.size(), 0);
    walks_left_ = 64 * (plan_.blocks.size() + 16);
    // What a tree was made of is mostly out of reach then, and need not be looked at again.
    ScratchVector<std::uint8_t> reached(plan_.blocks.size(), 0, scratch_);
    reached[0] = 1;
    for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id) {
      if (reached[id] == 0) continue;
      changed = collapse_tree(id) || changed;
      const PlanBlock& block = plan_.blocks[id];
      if (block.kind == ExitKind::kVerdict) continue;
      reached[block.if_true.target] = 1;
      if (block.kind != ExitKind::kJump) reached[block.if_false.target] = 1;
    }
    return changed;
  }

  // All edges to blocks that only give the same constant verdict lead to the last of them: chains end in one place.
  bool join_verdicts() {
    bool changed = false;
    ScratchVector<PlanBlockId> last(plan_.nodes.size(), kNothing, scratch_);  // by the verdict's node
    const auto only_gives = [&](const PlanBlock& block) {
      return block.kind == ExitKind::kVerdict && block.guards.empty() && plan_.is_constant(block.lhs);
    };
    for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id)
      if (only_gives(plan_.blocks[id])) last[plan_.blocks[id].lhs] = id;
    for (PlanBlock& block : plan_.blocks) {
      if (block.kind == ExitKind::kVerdict) continue;
      for (PlanEdge* edge : {&block.if_true, &block.if_false}) {
        if (edge->target == kNothing || !edge->assignments.empty()) continue;
        const PlanBlock& target = plan_.blocks[edge->target];
        if (!only_gives(target) || edge->target == last[target.lhs]) continue;
        edge->target = last[target.lhs];
        changed = true;
      }
    }
    return changed;
  }

  void drop_unused_sets() {
    const auto used = std::count_if(plan_.blocks.begin(), plan_.blocks.end(),
                                    [](auto& block) { return block.kind == ExitKind::kSet; });
    if (static_cast<std::size_t>(used) == plan_.sets.size() && used < 2) return;
    std::vector<std::vector<Range>> kept;
    ScratchVector<std::uint32_t> number(plan_.sets.size(), kNothing, scratch_);
    for (PlanBlock& block : plan_.blocks) {
      if (block.kind != ExitKind::kSet) continue;
      if (number[block.set] == kNothing) {
        number[block.set] = static_cast<std::uint32_t>(kept.size());
        kept.push_back(std::move(plan_.sets[block.set]));
      }
      block.set = number[block.set];
    }
    plan_.sets = std::move(kept);
  }

  bool is_test(PlanBlockId id) const {
    const PlanBlock& block = plan_.blocks[id];
    return (block.kind == ExitKind::kTest || block.kind == ExitKind::kSet) && block.if_true.assignments.empty() &&
           block.if_false.assignments.empty();
  }

  // Whether the values for which a test is true are a set of constants.
  bool has_set(const PlanBlock& block) const {
    if (block.kind == ExitKind::kSet) return true;
    return block.kind == ExitKind::kTest && plan_.is_constant(block.rhs) && block.condition != Condition::kBitsSet;
  }

  // Adds those values, or all others.
  void append_set(const PlanBlock& block, bool when_true, ScratchVector<Range>& to) const {
    if (block.kind == ExitKind::kSet) {
      const std::vector<Range>& set = plan_.sets[block.set];
      if (when_true) {
        to.insert(to.end(), set.begin(), set.end());
      } else {
        append_complement(set, to);
      }
      return;
    }
    const std::uint32_t k = plan_[block.rhs].k;
    const Range one{block.condition == Condition::kGreater ? k + 1 : k,
                    block.condition == Condition::kEqual ? k : kLargest};
    const bool is_empty = block.condition == Condition::kGreater && k == kLargest;
    if (!when_true) {
      append_complement(is_empty ? std::span<const Range>{} : std::span(&one, 1), to);
    } else if (!is_empty) {
      to.push_back(one);
    }
  }

  bool extends_chain(PlanBlockId next, PlanBlockId common) const {
    if (!is_test(next) || predecessors_[next] != 1 || !plan_.blocks[next].guards.empty()) return false;
    const PlanBlock& block = plan_.blocks[next];
    return block.if_true.target == common || block.if_false.target == common;
  }

  void find_chain(PlanBlockId first, PlanBlockId common, ScratchVector<PlanBlockId>& chain) const {
    chain.assign(1, first);
    for (PlanBlockId at = first;;) {
      const PlanBlock& block = plan_.blocks[at];
      const PlanBlockId next = block.if_true.target == common ? block.if_false.target : block.if_true.target;
      if (!extends_chain(next, common)) return;
      chain.push_back(next);
      at = next;
    }
  }

  bool starts_chain(PlanBlockId first) const {
    const PlanBlock& block = plan_.blocks[first];
    return extends_chain(block.if_true.target, block.if_false.target) ||
           extends_chain(block.if_false.target, block.if_true.target);
  }

  // At least two blocks, into chain_: called where a chain starts.
  void find_longest_chain(PlanBlockId first) {
    find_chain(first, plan_.blocks[first].if_true.target, chain_);
    find_chain(first, plan_.blocks[first].if_false.target, other_chain_);
    if (other_chain_.size() > chain_.size()) chain_.swap(other_chain_);
  }

  // The tests of chain_, gathered: written into its first blocks; the rest are jumped over. Says whether any two were
  // of one value; else all stays as it is.
  bool gather() {
    const PlanBlock& head = plan_.blocks[chain_[0]];
    const bool through_true = head.if_true.target == chain_[1];
    const PlanBlockId common = through_true ? head.if_false.target : head.if_true.target;
    parts_.clear();
    next_of_part_.assign(chain_.size(), kNothing);
    part_of_.resize(plan_.nodes.size(), kNothing);
    for (std::uint32_t at = 0; at < chain_.size(); ++at) {
      const PlanBlock& block = plan_.blocks[chain_[at]];
      if (!has_set(block)) {
        parts_.push_back({at, at});
        continue;
      }
      std::uint32_t& number = part_of_[block.lhs];
      if (number == kNothing) {
        number = static_cast<std::uint32_t>(parts_.size());
        parts_.push_back({at, at});
      } else {
        next_of_part_[parts_[number].last] = at;
        parts_[number].last = at;
      }
    }
    for (const Part& part : parts_) part_of_[plan_.blocks[chain_[part.first]].lhs] = kNothing;
    if (parts_.size() == chain_.size()) return false;
    const auto leads_there_when_true = [&](std::uint32_t at) {
      return plan_.blocks[chain_[at]].if_true.target == common;
    };
    const PlanBlock& end = plan_.blocks[chain_.back()];
    const PlanBlockId last = end.if_true.target == common ? end.if_false.target : end.if_true.target;
    // Part i is written over test i of the chain, which belongs to part i or to one before.
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      bool when_true = leads_there_when_true(part.first);
      set_.clear();
      if (part.first != part.last) {
        for (std::uint32_t at = part.first; at != kNothing; at = next_of_part_[at])
          append_set(plan_.blocks[chain_[at]], leads_there_when_true(at), set_);
        when_true = true;
      }
      PlanBlock& block = plan_.blocks[chain_[i]];
      const Slice guards = block.guards;
      block = plan_.blocks[chain_[part.first]];
      block.guards = guards;
      if (part.first != part.last) write_set(block, set_);
      const PlanBlockId next = i + 1 < parts_.size() ? chain_[i + 1] : last;
      block.if_true.target = when_true ? common : next;
      block.if_false.target = when_true ? next : common;
    }
    return true;
  }

  void write_set(PlanBlock& block, ScratchVector<Range>& set) {
    normalise(set);
    block.kind = ExitKind::kSet;
    block.set = static_cast<std::uint32_t>(plan_.sets.size());
    plan_.sets.emplace_back(set.begin(), set.end());
  }

  bool tests_value(PlanBlockId id, NodeId value) const {
    const PlanBlock& block = plan_.blocks[id];
    return is_test(id) && block.lhs == value && (block.kind == ExitKind::kSet || plan_.is_constant(block.rhs)) &&
           !(block.kind == ExitKind::kTest && block.condition == Condition::kBitsSet);
  }

  bool holds(const PlanBlock& block, std::uint32_t value) const {
    if (block.kind == ExitKind::kTest) {
      const std::uint32_t k = plan_[block.rhs].k;
      if (block.condition == Condition::kEqual) return value == k;
      return block.condition == Condition::kGreater ? value > k : value >= k;
    }
    const std::vector<Range>& set = plan_.sets[block.set];
    const auto after = std::upper_bound(set.begin(), set.end(), value,
                                        [](std::uint32_t v, const Range& range) { return v < range.first; });
    return after != set.begin() && value <= (after - 1)->last;
  }

  // Where a tree that starts at `head` leads a value.
  PlanBlockId follow(PlanBlockId head, std::uint32_t value) {
    NodeId tested = plan_.blocks[head].lhs;
    PlanBlockId at = head;
    do {
      if (walks_left_ > 0) --walks_left_;
      const PlanBlock& block = plan_.blocks[at];
      at = holds(block, value) ? block.if_true.target : block.if_false.target;
    } while (tests_value(at, tested) && plan_.blocks[at].guards.empty());
    return at;
  }

  bool collapse_tree(PlanBlockId head) {
    const PlanBlock& first = plan_.blocks[head];
    if (!tests_value(head, first.lhs)) return false;
    const auto continues = [&](PlanBlockId id) {
      return tests_value(id, first.lhs) && plan_.blocks[id].guards.empty();
    };
    if (!continues(first.if_true.target) && !continues(first.if_false.target)) return false;
    find_interval_starts(head);
    ScratchVector<Range>* const sets[2] = {&set_, &other_set_};
    for (ScratchVector<Range>* set : sets) set->clear();
    PlanBlockId targets[2] = {kNothing, kNothing};
    for (std::size_t i = 0; i < starts_.size(); ++i) {
      if (walks_left_ == 0) return false;
      const PlanBlockId target = follow(head, starts_[i]);
      const std::size_t side = targets[0] == kNothing || targets[0] == target ? 0 : 1;
      if (side == 1 && targets[1] != kNothing && targets[1] != target) return false;  // a third target
      targets[side] = target;
      sets[side]->push_back({starts_[i], i + 1 < starts_.size() ? starts_[i + 1] - 1 : kLargest});
    }
    PlanBlock& block = plan_.blocks[head];
    if (targets[1] == kNothing) {
      block.kind = ExitKind::kJump;
      block.if_true.target = targets[0];
      return true;
    }
    // The side with fewer ranges is the set.
    for (ScratchVector<Range>* set : sets) normalise(*set);
    const std::size_t side = set_.size() <= other_set_.size() ? 0 : 1;
    write_set(block, *sets[side]);
    block.if_true.target = targets[side];
    block.if_false.target = targets[1 - side];
    return true;
  }

  // The first values of the elementary intervals that the constants of a tree cut, into starts_.
  void find_interval_starts(PlanBlockId head) {
    starts_.assign(1, 0);
    tree_.assign(1, head);
    const std::uint32_t stamp = head + 1;
    const NodeId value = plan_.blocks[head].lhs;
    while (!tree_.empty()) {
      const PlanBlockId id = tree_.back();
      tree_.pop_back();
      if (walks_left_ == 0) break;
      --walks_left_;
      const PlanBlock& block = plan_.blocks[id];
      if (block.kind == ExitKind::kSet) {
        for (const Range& range : plan_.sets[block.set]) {
          starts_.push_back(range.first);
          if (range.last != kLargest) starts_.push_back(range.last + 1);
        }
      } else {
        const std::uint32_t k = plan_[block.rhs].k;
        if (block.condition != Condition::kGreater) starts_.push_back(k);
        if (block.condition != Condition::kGreaterOrEqual && k != kLargest) starts_.push_back(k + 1);
      }
      for (const PlanBlockId next : {block.if_true.target, block.if_false.target})
        if (tests_value(next, value) && plan_.blocks[next].guards.empty() && seen_[next] != stamp) {
          seen_[next] = stamp;
          tree_.push_back(next);
        }
    }
    std::sort(starts_.begin(), starts_.end());
    starts_.erase(std::unique(starts_.begin(), starts_.end()), starts_.end());
  }

  // Tests of a chain that are of one value; or one that is no set of constants.
  struct Part {
    std::uint32_t first;  // place in the chain
    std::uint32_t last;
  };

  Plan& plan_;
  Scratch scratch_;
  ScratchVector<std::uint32_t> predecessors_;
  ScratchVector<PlanBlockId> chain_;
  ScratchVector<PlanBlockId> other_chain_;
  ScratchVector<Part> parts_;
  ScratchVector<std::uint32_t> next_of_part_;  // by place in the chain
  ScratchVector<std::uint32_t> part_of_;       // of the chain that is gathered, by the tested node
  ScratchVector<std::uint32_t> seen_;          // the head + 1 of the tree that saw a block last
  ScratchVector<PlanBlockId> tree_;            // blocks to look at
  ScratchVector<std::uint32_t> starts_;
  ScratchVector<Range> set_;
  ScratchVector<Range> other_set_;
  std::uint64_t walks_left_ = 0;
};

}  // namespace

void find_sets(Plan& plan) { SetFinder(plan).run(); }

}  // namespace weir::engine
