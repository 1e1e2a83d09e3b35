// The solver. Exports Solver.
#include "prove/solver.h"

#include <algorithm>
#include <bit>

namespace weir::prove {

Variable Solver::new_variable() {
  const auto v = static_cast<Variable>(assigned_.size());
  assigned_.push_back(kUnknown);
  phase_.push_back(kFalse);
  model_.push_back(kFalse);
  seen_.push_back(0);
  reason_.push_back(kNoReason);
  level_of_.push_back(0);
  activity_.push_back(0);
  watches_.emplace_back();
  watches_.emplace_back();
  heap_place_.push_back(static_cast<std::uint32_t>(heap_.size()));
  heap_.push_back(v);
  sift_up(heap_place_[v]);
  return v;
}

void Solver::add(std::span<const Literal> clause) {
  if (impossible_) return;
  backtrack(0);
  std::vector<Literal> kept;
  for (const Literal l : clause) {
    if (state(l) == kTrue || std::find(kept.begin(), kept.end(), negated(l)) != kept.end()) return;
    if (state(l) == kUnknown && std::find(kept.begin(), kept.end(), l) == kept.end()) kept.push_back(l);
  }
  if (kept.empty()) {
    impossible_ = true;
  } else if (kept.size() == 1) {
    assign(kept[0], kNoReason);
    if (propagate() != kNoReason) impossible_ = true;
  } else {
    watch(store(kept));
  }
}

Solver::ClauseRef Solver::store(std::span<const Literal> clause) {
  const auto c = static_cast<ClauseRef>(arena_.size());
  arena_.push_back(static_cast<std::uint32_t>(clause.size()));
  arena_.push_back(0);
  arena_.insert(arena_.end(), clause.begin(), clause.end());
  return c;
}

void Solver::watch(ClauseRef c) {
  const Literal* l = literals(c);
  watches_[l[0]].push_back({c, l[1]});
  watches_[l[1]].push_back({c, l[0]});
}

void Solver::assign(Literal l, ClauseRef reason) {
  const Variable v = l >> 1;
  assigned_[v] = static_cast<std::uint8_t>(1 ^ (l & 1));
  reason_[v] = reason;
  level_of_[v] = level();
  trail_.push_back(l);
}

// Returns the clause that became false, or kNoReason.
Solver::ClauseRef Solver::propagate() {
  while (next_ < trail_.size()) {
    const Literal falsified = negated(trail_[next_++]);
    std::vector<Watch>& list = watches_[falsified];
    std::size_t kept = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Watch entry = list[i];
      if (state(entry.blocker) == kTrue) {
        list[kept++] = entry;
        continue;
      }
      Literal* l = literals(entry.clause);
      if (l[0] == falsified) std::swap(l[0], l[1]);
      if (state(l[0]) == kTrue) {
        list[kept++] = {entry.clause, l[0]};
        continue;
      }
      bool moved = false;
      for (std::uint32_t k = 2; k < size_of(entry.clause) && !moved; ++k) {
        if (state(l[k]) == kFalse) continue;
        std::swap(l[1], l[k]);
        watches_[l[1]].push_back({entry.clause, l[0]});
        moved = true;
      }
      if (moved) continue;
      list[kept++] = {entry.clause, l[0]};
      if (state(l[0]) == kFalse) {
        for (++i; i < list.size(); ++i) list[kept++] = list[i];
        list.resize(kept);
        next_ = trail_.size();
        return entry.clause;
      }
      assign(l[0], entry.clause);
    }
    list.resize(kept);
  }
  return kNoReason;
}

// The first unique implication point: walks back over the trail until one literal of this level is left.
void Solver::analyze(ClauseRef conflict) {
  lesson_.assign(1, 0);
  std::uint32_t open = 0;
  std::size_t at = trail_.size();
  ClauseRef clause = conflict;
  for (bool first = true;; first = false) {
    arena_[clause + 1] += 1;
    const Literal* l = literals(clause);
    for (std::uint32_t k = first ? 0 : 1; k < size_of(clause); ++k) {
      const Variable v = l[k] >> 1;
      if (seen_[v] != 0 || level_of_[v] == 0) continue;
      seen_[v] = 1;
      bump(v);
      if (level_of_[v] == level()) ++open;
      else lesson_.push_back(l[k]);
    }
    do --at;
    while (seen_[trail_[at] >> 1] == 0);
    const Variable v = trail_[at] >> 1;
    seen_[v] = 0;
    if (--open == 0) {
      lesson_[0] = negated(trail_[at]);
      break;
    }
    clause = reason_[v];  // its first literal is the one that it asserted
  }
  lesson_level_ = 0;
  for (std::size_t i = 1; i < lesson_.size(); ++i) {
    seen_[lesson_[i] >> 1] = 0;
    if (level_of_[lesson_[i] >> 1] > lesson_level_) {
      lesson_level_ = level_of_[lesson_[i] >> 1];
      std::swap(lesson_[1], lesson_[i]);
    }
  }
  increment_ *= 1.05;
}

void Solver::backtrack(std::uint32_t to) {
  if (level() <= to) return;
  for (std::size_t i = trail_.size(); i > limits_[to]; --i) {
    const Variable v = trail_[i - 1] >> 1;
    phase_[v] = assigned_[v];
    assigned_[v] = kUnknown;
    reason_[v] = kNoReason;
    if (heap_place_[v] == kNoReason) {
      heap_place_[v] = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back(v);
      sift_up(heap_place_[v]);
    }
  }
  trail_.resize(limits_[to]);
  limits_.resize(to);
  next_ = trail_.size();
}

bool Solver::decide() {
  while (!heap_.empty()) {
    const Variable v = heap_.front();
    heap_place_[v] = kNoReason;
    const Variable last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty() && last != v) {
      heap_[0] = last;
      heap_place_[last] = 0;
      sift_down(0);
    }
    if (assigned_[v] != kUnknown) continue;
    limits_.push_back(static_cast<std::uint32_t>(trail_.size()));
    assign(2 * v + (phase_[v] == kTrue ? 0 : 1), kNoReason);
    return true;
  }
  return false;
}

void Solver::bump(Variable v) {
  activity_[v] += increment_;
  if (activity_[v] > 1e100) {
    for (double& a : activity_) a *= 1e-100;
    increment_ *= 1e-100;
  }
  if (heap_place_[v] != kNoReason) sift_up(heap_place_[v]);
}

void Solver::sift_up(std::uint32_t at) {
  const Variable v = heap_[at];
  while (at > 0) {
    const std::uint32_t parent = (at - 1) / 2;
    if (activity_[heap_[parent]] >= activity_[v]) break;
    heap_[at] = heap_[parent];
    heap_place_[heap_[at]] = at;
    at = parent;
  }
  heap_[at] = v;
  heap_place_[v] = at;
}

void Solver::sift_down(std::uint32_t at) {
  const Variable v = heap_[at];
  for (;;) {
    std::uint32_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && activity_[heap_[child + 1]] > activity_[heap_[child]]) ++child;
    if (activity_[heap_[child]] <= activity_[v]) break;
    heap_[at] = heap_[child];
    heap_place_[heap_[at]] = at;
    at = child;
  }
  heap_[at] = v;
  heap_place_[v] = at;
}

// Drops the learnt clauses that took part in the fewest conflicts; at level 0, where none is a reason.
void Solver::drop_half() {
  std::sort(learnt_.begin(), learnt_.end(), [&](ClauseRef a, ClauseRef b) {
    return arena_[a + 1] != arena_[b + 1] ? arena_[a + 1] > arena_[b + 1] : size_of(a) < size_of(b);
  });
  std::vector<ClauseRef> dropped(learnt_.begin() + static_cast<std::ptrdiff_t>(learnt_.size() / 2), learnt_.end());
  learnt_.resize(learnt_.size() / 2);
  std::sort(dropped.begin(), dropped.end());
  for (std::vector<Watch>& list : watches_)
    list.erase(
        std::remove_if(list.begin(), list.end(),
                       [&](const Watch& w) { return std::binary_search(dropped.begin(), dropped.end(), w.clause); }),
        list.end());
  for (const ClauseRef c : learnt_) arena_[c + 1] /= 2;
  learnt_limit_ += learnt_limit_ / 10;
}

Outcome Solver::solve(std::uint64_t patience, Clock::time_point deadline) {
  if (impossible_) return Outcome::kUnsatisfiable;
  backtrack(0);
  // Luby's sequence: 1 1 2 1 1 2 4 ...
  const auto luby = [](std::uint64_t i) {
    while (!std::has_single_bit(i + 1)) i -= std::bit_floor(i + 1) - 1;
    return (i + 1) / 2;
  };
  constexpr std::uint64_t kUnit = 128;
  constexpr std::uint64_t kStepsBetweenLooks = 256;  // at the clock
  std::uint64_t conflicts = 0;
  std::uint64_t steps = 0;
  bool late = false;
  for (std::uint64_t round = 1;; ++round) {
    const std::uint64_t until = conflicts + kUnit * luby(round);
    backtrack(0);
    if (learnt_.size() > learnt_limit_) drop_half();
    while (conflicts < until && !late) {
      late = ++steps % kStepsBetweenLooks == 0 && Clock::now() > deadline;
      const ClauseRef conflict = propagate();
      if (conflict != kNoReason) {
        ++conflicts;
        if (level() == 0) {
          impossible_ = true;
          return Outcome::kUnsatisfiable;
        }
        analyze(conflict);
        backtrack(lesson_level_);
        ClauseRef reason = kNoReason;
        if (lesson_.size() > 1) {
          reason = store(lesson_);
          watch(reason);
          learnt_.push_back(reason);
        }
        assign(lesson_[0], reason);
      } else if (!decide()) {
        for (std::size_t v = 0; v < assigned_.size(); ++v) model_[v] = assigned_[v] == kTrue ? kTrue : kFalse;
        return Outcome::kSatisfiable;
      }
    }
    if (late || conflicts >= patience) {
      backtrack(0);
      return Outcome::kGaveUp;
    }
  }
}

}  // namespace weir::prove
