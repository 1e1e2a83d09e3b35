// Boolean satisfiability: conflict-driven clause learning with two watched literals.
//
// Source: Een and Sorensson, "An Extensible SAT-solver" (SAT 2003), whose structure this follows: decisions by
// activity, learning at the first unique implication point, saved phases, Luby restarts, half of the learnt clauses
// dropped when there are many. A literal is 2 * variable, plus 1 when it is negated. Clauses may be added between calls
// of solve().
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace weir::prove {

using Variable = std::uint32_t;
using Literal = std::uint32_t;
constexpr Literal positive(Variable v) { return 2 * v; }
constexpr Literal negated(Literal l) { return l ^ 1; }

enum class Outcome : std::uint8_t { kSatisfiable, kUnsatisfiable, kGaveUp };

class Solver {
 public:
  Variable new_variable();
  void add(std::span<const Literal> clause);
  void add(std::initializer_list<Literal> clause) { add(std::span<const Literal>(clause.begin(), clause.size())); }
  using Clock = std::chrono::steady_clock;
  // At most `patience` conflicts, and not long beyond the deadline.
  Outcome solve(std::uint64_t patience, Clock::time_point deadline = Clock::time_point::max());
  // Of the last satisfying assignment.
  bool value(Literal l) const { return model_[l >> 1] != static_cast<std::uint8_t>(l & 1); }
  std::size_t variables() const { return assigned_.size(); }

 private:
  using ClauseRef = std::uint32_t;
  static constexpr ClauseRef kNoReason = 0xffffffff;
  enum : std::uint8_t { kFalse = 0, kTrue = 1, kUnknown = 2 };
  struct Watch {
    ClauseRef clause;
    Literal blocker;
  };

  // Clauses lie in one vector: size, activity, literals.
  std::uint32_t size_of(ClauseRef c) const { return arena_[c]; }
  Literal* literals(ClauseRef c) { return &arena_[c + 2]; }
  std::uint8_t state(Literal l) const {
    const std::uint8_t v = assigned_[l >> 1];
    return v == kUnknown ? v : static_cast<std::uint8_t>(v ^ (l & 1));
  }
  ClauseRef store(std::span<const Literal> clause);
  void watch(ClauseRef c);
  void assign(Literal l, ClauseRef reason);
  ClauseRef propagate();
  void analyze(ClauseRef conflict);
  void backtrack(std::uint32_t level);
  bool decide();
  void bump(Variable v);
  void drop_half();
  void sift_up(std::uint32_t at);
  void sift_down(std::uint32_t at);
  std::uint32_t level() const { return static_cast<std::uint32_t>(limits_.size()); }

  std::vector<std::uint32_t> arena_;
  std::vector<ClauseRef> learnt_;
  std::vector<std::vector<Watch>> watches_;  // by literal: clauses to look at when it becomes false
  std::vector<std::uint8_t> assigned_, phase_, model_, seen_;
  std::vector<ClauseRef> reason_;
  std::vector<std::uint32_t> level_of_;
  std::vector<double> activity_;
  std::vector<Variable> heap_;             // greatest activity first
  std::vector<std::uint32_t> heap_place_;  // kNoReason: not in the heap
  std::vector<Literal> trail_;
  std::vector<std::uint32_t> limits_;  // of the trail, by level
  std::vector<Literal> lesson_;        // the clause being learnt; its first literal is asserted
  std::uint32_t lesson_level_ = 0;
  std::size_t next_ = 0;  // of the trail, to propagate
  double increment_ = 1;
  std::size_t learnt_limit_ = 4000;
  bool impossible_ = false;
};

}  // namespace weir::prove
