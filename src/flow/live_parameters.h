// Which parameters may still be looked at from each decision on. For up to 64 of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flow/decisions.h"

namespace weir::flow {

class LiveParameters {
 public:
  // Needs the order of decisions and their `ways_in`.
  void find(const Decisions& decisions);
  // Whether there are parameters, and not too many.
  bool known() const { return !live_.empty(); }
  // At the start of the decision, its own parameters included where they are used.
  std::uint64_t at(DecisionId id) const { return live_[id]; }
  std::uint64_t mask(std::span<const ExprId> parameters) const;
  // Looked at by the decision itself.
  std::uint64_t used_by(const Decisions& decisions, const Decision& decision) const;

 private:
  std::vector<std::uint64_t> live_;  // by decision
  std::vector<std::uint64_t> in_;    // by expression: the parameters in it
};

}  // namespace weir::flow
