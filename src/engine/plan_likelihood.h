// How likely a test is to hold. Exports likelihood.
//
// A guess from what traffic is like: most frames carry IPv4, most of those TCP, few are fragments, addresses and ports
// are seldom those that somebody asks for. Only the choice between branches and bits hangs on it, never a verdict.
#pragma once

#include "engine/plan.h"

namespace weir::engine {

// From 0 to 1. block: of kind kTest or kSet.
float likelihood(const Plan& plan, const PlanBlock& block);

}  // namespace weir::engine
