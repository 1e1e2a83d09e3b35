// Where parameters and much-used expressions live while classic code is made.
#pragma once

#include <cstdint>
#include <vector>

#include "flow/decisions.h"
#include "flow/registers.h"

namespace weir::flow {

// Ways that hand over values lead from jumps only afterwards: a branch's gets a jump of its own.
void split_ways(Decisions& decisions);

class Placement {
 public:
  Placement(const Decisions& decisions, Scratch& scratch)
      : home(scratch),
        ways_in(scratch),
        needs_x(scratch),
        decisions_(decisions),
        interval_(scratch),
        last_use_(scratch),
        position_(scratch),
        seen_(scratch),
        uses_x_for_(scratch),
        x_taken_(scratch) {}

  // Decides the homes of all parameters. A parameter for which there is none makes selection fail.
  // `hopeful`: X may be put to another use where a parameter in it is used last, which works or makes selection fail.
  void place_parameters(const std::vector<DecisionId>& order, bool hopeful);
  // Up to which decision each expression is used.
  void find_last_uses(const std::vector<DecisionId>& order);
  bool is_x_taken(DecisionId id) const { return !x_taken_.empty() && x_taken_[position_[id]]; }
  bool give_word(ExprId e);
  void take_back(ExprId e);
  // Marks which of the expressions with a scratch word are still used after the decision.
  void mark_kept(DecisionId id, ScratchVector<bool>& keep) const;

  ScratchVector<std::uint8_t> home;      // by expression
  ScratchVector<std::uint32_t> ways_in;  // by decision; empty where there are no parameters
  ScratchVector<bool> needs_x;           // by decision: what X holds may be used from here on
  std::uint32_t free_words = 0xffff;     // words that are no home

 private:
  struct Interval {
    std::uint32_t from = kNone;
    std::uint32_t to = 0;
  };
  template <typename Visit>
  void visit_expressions(const Decision& decision, Visit visit);
  void find_needs(const std::vector<DecisionId>& order);
  void find_intervals(const std::vector<DecisionId>& order);
  bool fits_x(ExprId parameter, const std::vector<ExprId>& parameters, bool hopeful) const;
  bool fits_a(DecisionId id, ExprId parameter) const;

  const Decisions& decisions_;
  ScratchVector<Interval> interval_;       // by expression, of parameters
  ScratchVector<std::uint32_t> last_use_;  // by expression: position
  ScratchVector<std::uint32_t> position_;  // by decision
  ScratchVector<std::uint32_t> seen_;      // by expression: scratch
  std::vector<ExprId> pending_;            // scratch
  std::uint32_t round_ = 0;
  ScratchVector<ExprId> uses_x_for_;  // by position: the only expression that X must hold, kNone, or kSeveral
  ScratchVector<bool> x_taken_;       // by position: by a parameter
  std::vector<ExprId> with_words_;
};

}  // namespace weir::flow
