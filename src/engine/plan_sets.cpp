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

#include "engine/plan_passes.h"

namespace weir::engine {
namespace {

using flow::Condition;
using flow::ExitKind;
using flow::Range;

constexpr std::uint32_t kLargest = 0xffffffff;

void append_complement(std::span<const Range> set, std::vector<Range>& to) {
  std::uint64_t next = 0;
  for (const Range& range : set) {
    if (range.first > next) to.push_back({static_cast<std::uint32_t>(next), range.first - 1});
    next = std::uint64_t{range.last} + 1;
  }
  if (next <= kLargest) to.push_back({static_cast<std::uint32_t>(next), kLargest});
}

void normalise(std::vector<Range>& set) {
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
  explicit SetFinder(Plan& plan) : plan_(plan), predecessors_(plan.blocks.size(), 0) {}

  void run() {
    join_verdicts();
    for (const PlanBlock& block : plan_.blocks) {
      if (block.kind == ExitKind::kVerdict) continue;
      ++predecessors_[block.if_true.target];
      if (block.kind != ExitKind::kJump) ++predecessors_[block.if_false.target];
    }
    std::vector<bool> inside(plan_.blocks.size(), false);  // of a chain already taken
    const auto count = static_cast<PlanBlockId>(plan_.blocks.size());
    for (PlanBlockId id = 0; id < count; ++id) {
      if (inside[id] || !is_test(id)) continue;
      if (!starts_chain(id)) continue;
      const std::vector<PlanBlockId> chain = longest_chain(id);
      if (chain.size() < 2) continue;
      for (const PlanBlockId one : chain) inside[one] = true;
      gather(chain);
    }
    tidy(plan_);
    seen_.assign(plan_.blocks.size(), 0);
    walks_left_ = 64 * (plan_.blocks.size() + 16);
    // What a tree was made of is mostly out of reach then, and need not be looked at again.
    std::vector<bool> reached(plan_.blocks.size(), false);
    if (!reached.empty()) reached[0] = true;
    for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id) {
      if (!reached[id]) continue;
      collapse_tree(id);
      const PlanBlock& block = plan_.blocks[id];
      if (block.kind == ExitKind::kVerdict) continue;
      reached[block.if_true.target] = true;
      if (block.kind != ExitKind::kJump) reached[block.if_false.target] = true;
    }
    tidy(plan_);
    drop_unused_sets();
  }

 private:
  // All edges to blocks that only give the same constant verdict lead to the last of them: chains end in one place.
  void join_verdicts() {
    std::vector<PlanBlockId> last(plan_.nodes.size(), kNothing);  // by the verdict's node
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
        if (only_gives(target)) edge->target = last[target.lhs];
      }
    }
  }

  void drop_unused_sets() {
    if (plan_.sets.empty()) return;
    std::vector<std::vector<Range>> kept;
    std::vector<std::uint32_t> number(plan_.sets.size(), kNothing);
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
  void append_set(const PlanBlock& block, bool when_true, std::vector<Range>& to) const {
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

  std::vector<PlanBlockId> chain_towards(PlanBlockId first, PlanBlockId common) const {
    std::vector<PlanBlockId> chain{first};
    for (PlanBlockId at = first;;) {
      const PlanBlock& block = plan_.blocks[at];
      const PlanBlockId next = block.if_true.target == common ? block.if_false.target : block.if_true.target;
      if (!extends_chain(next, common)) return chain;
      chain.push_back(next);
      at = next;
    }
  }

  bool starts_chain(PlanBlockId first) const {
    const PlanBlock& block = plan_.blocks[first];
    return extends_chain(block.if_true.target, block.if_false.target) ||
           extends_chain(block.if_false.target, block.if_true.target);
  }

  std::vector<PlanBlockId> longest_chain(PlanBlockId first) const {
    const PlanBlock& block = plan_.blocks[first];
    std::vector<PlanBlockId> one = chain_towards(first, block.if_true.target);
    std::vector<PlanBlockId> other = chain_towards(first, block.if_false.target);
    return one.size() >= other.size() ? one : other;
  }

  // The tests of a chain, gathered: written into its first blocks; the rest are jumped over.
  void gather(const std::vector<PlanBlockId>& chain) {
    const PlanBlock& head = plan_.blocks[chain[0]];
    const bool through_true = head.if_true.target == chain[1];
    const PlanBlockId common = through_true ? head.if_false.target : head.if_true.target;
    struct Part {
      PlanBlock test;  // leads to `common` when true, after `flip`
      bool to_common_when_true;
      std::vector<Range> set;
      std::size_t count = 0;
    };
    std::vector<Part> parts;
    part_of_.resize(plan_.nodes.size(), kNothing);
    PlanBlockId last = kNothing;
    for (const PlanBlockId id : chain) {
      const PlanBlock& block = plan_.blocks[id];
      const bool when_true = block.if_true.target == common;
      last = when_true ? block.if_false.target : block.if_true.target;
      if (!has_set(block)) {
        parts.push_back({block, when_true, {}, 1});
        continue;
      }
      std::uint32_t& number = part_of_[block.lhs];
      if (number == kNothing) {
        number = static_cast<std::uint32_t>(parts.size());
        parts.push_back({block, when_true, {}, 0});
      }
      Part& part = parts[number];
      ++part.count;
      append_set(block, when_true, part.set);
    }
    for (const Part& part : parts) part_of_[part.test.lhs] = kNothing;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Part& part = parts[i];
      PlanBlock& block = plan_.blocks[chain[i]];
      const Slice guards = block.guards;
      const PlanBlockId next = i + 1 < parts.size() ? chain[i + 1] : last;
      block = part.test;
      block.guards = guards;
      bool when_true = part.to_common_when_true;
      if (part.count > 1) {
        write_set(block, std::move(part.set));
        when_true = true;
      }
      block.if_true.target = when_true ? common : next;
      block.if_false.target = when_true ? next : common;
    }
  }

  void write_set(PlanBlock& block, std::vector<Range> set) {
    normalise(set);
    block.kind = ExitKind::kSet;
    block.set = static_cast<std::uint32_t>(plan_.sets.size());
    plan_.sets.push_back(std::move(set));
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

  void collapse_tree(PlanBlockId head) {
    const PlanBlock& first = plan_.blocks[head];
    if (!tests_value(head, first.lhs)) return;
    const auto continues = [&](PlanBlockId id) {
      return tests_value(id, first.lhs) && plan_.blocks[id].guards.empty();
    };
    if (!continues(first.if_true.target) && !continues(first.if_false.target)) return;
    const std::vector<std::uint32_t> starts = interval_starts(head);
    std::vector<Range> sets[2];
    PlanBlockId targets[2] = {kNothing, kNothing};
    for (std::size_t i = 0; i < starts.size(); ++i) {
      if (walks_left_ == 0) return;
      const PlanBlockId target = follow(head, starts[i]);
      const std::size_t side = targets[0] == kNothing || targets[0] == target ? 0 : 1;
      if (side == 1 && targets[1] != kNothing && targets[1] != target) return;  // a third target
      targets[side] = target;
      sets[side].push_back({starts[i], i + 1 < starts.size() ? starts[i + 1] - 1 : kLargest});
    }
    PlanBlock& block = plan_.blocks[head];
    if (targets[1] == kNothing) {
      block.kind = ExitKind::kJump;
      block.if_true.target = targets[0];
      return;
    }
    // The side with fewer ranges is the set.
    normalise(sets[0]);
    normalise(sets[1]);
    const std::size_t side = sets[0].size() <= sets[1].size() ? 0 : 1;
    write_set(block, std::move(sets[side]));
    block.if_true.target = targets[side];
    block.if_false.target = targets[1 - side];
  }

  // The first values of the elementary intervals that the constants of a tree cut.
  std::vector<std::uint32_t> interval_starts(PlanBlockId head) {
    std::vector<std::uint32_t> starts{0};
    std::vector<PlanBlockId> tree{head};
    const std::uint32_t stamp = head + 1;
    const NodeId value = plan_.blocks[head].lhs;
    while (!tree.empty()) {
      const PlanBlockId id = tree.back();
      tree.pop_back();
      if (walks_left_ == 0) break;
      --walks_left_;
      const PlanBlock& block = plan_.blocks[id];
      if (block.kind == ExitKind::kSet) {
        for (const Range& range : plan_.sets[block.set]) {
          starts.push_back(range.first);
          if (range.last != kLargest) starts.push_back(range.last + 1);
        }
      } else {
        const std::uint32_t k = plan_[block.rhs].k;
        if (block.condition != Condition::kGreater) starts.push_back(k);
        if (block.condition != Condition::kGreaterOrEqual && k != kLargest) starts.push_back(k + 1);
      }
      for (const PlanBlockId next : {block.if_true.target, block.if_false.target})
        if (tests_value(next, value) && plan_.blocks[next].guards.empty() && seen_[next] != stamp) {
          seen_[next] = stamp;
          tree.push_back(next);
        }
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    return starts;
  }

  Plan& plan_;
  std::vector<std::uint32_t> predecessors_;
  std::vector<std::uint32_t> part_of_;  // of a chain that is gathered, by the tested node
  std::vector<std::uint32_t> seen_;     // the head + 1 of the tree that saw a block last
  std::uint64_t walks_left_ = 0;
};

}  // namespace

void find_sets(Plan& plan) { SetFinder(plan).run(); }

}  // namespace weir::engine
