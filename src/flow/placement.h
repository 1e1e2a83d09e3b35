// Where parameters and much-used expressions live while classic code is made.
#pragma once

#include <cstdint>
#include <vector>

#include "flow/decisions.h"
#include "flow/registers.h"

namespace weir::flow {

// Ways that hand over values lead from jumps only afterwards: a branch's gets a jump of its own.
void split_ways(Decisions& decisions);

// Decisions are in the order of the code, as order_decisions() leaves them.
class Placement {
 public:
  Placement(const Decisions& decisions, Scratch& scratch)
      : home(scratch),
        ways_in(scratch),
        needs_x(scratch),
        decisions_(decisions),
        interval_(scratch),
        last_use_(scratch),
        seen_(scratch),
        pending_(scratch),
        uses_x_for_(scratch),
        x_taken_(scratch),
        parameters_(scratch),
        with_words_(scratch) {
    pending_.reserve(16);
  }

  // Decides the homes of all parameters. A parameter for which there is none makes selection fail.
  // `hopeful`: X may be put to another use where a parameter in it is used last, which works or makes selection fail.
  void place_parameters(bool hopeful);
  // Up to which decision each expression is used.
  void find_last_uses();
  bool is_x_taken(DecisionId id) const { return !x_taken_.empty() && x_taken_[id]; }
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
  void find_needs();
  void find_intervals();
  bool fits_x(ExprId parameter, bool hopeful) const;
  bool fits_a(DecisionId id, ExprId parameter) const;

  const Decisions& decisions_;
  ScratchVector<Interval> interval_;    // by expression, of parameters
  ScratchVector<DecisionId> last_use_;  // by expression
  ScratchVector<std::uint32_t> seen_;   // by expression: scratch
  ScratchVector<ExprId> pending_;       // scratch
  std::uint32_t round_ = 0;
  ScratchVector<ExprId> uses_x_for_;  // by decision: the only expression that X must hold, kNone, or kSeveral
  ScratchVector<bool> x_taken_;       // by decision: by a parameter
  struct Owned {
    ExprId parameter;
    DecisionId owner;
  };
  ScratchVector<Owned> parameters_;
  ScratchVector<ExprId> with_words_;
};

}  // namespace weir::flow
