// Tests that cannot hold together, or of which one always holds: `tcp and udp`, `ip or not ip`.
//
// Two formulas contradict each other when every way in which the first can hold excludes every way in which the second
// can. A way is a conjunction of simple tests of packet values against constants; two of them exclude each other when
// they ask different bits, ranges or values of the same place. The search gives up (and finds nothing) where a formula
// has more than a few dozen ways, so it is quick; what it finds is certain for every packet, truncated ones included.
#pragma once

#include <span>

#include <weir/filter/formula.h>

namespace weir::filter {

struct Claim {
  FormulaId formula = 0;
  bool negated = false;
};

// No packet matches both. `reassigned`: variables whose value may differ between the two.
bool contradict(const Bound& bound, Claim a, Claim b, std::span<const VariableId> reassigned);

}  // namespace weir::filter
