// Formula to flow graph (plain form): each test a block, each connective its edges.
#pragma once

#include <cstdint>
#include <optional>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/filter/formula.h>
#include <weir/flow/graph.h>
#include <weir/flow/optimise.h>

namespace weir::filter {

struct LowerOptions {
  std::uint32_t accept = 262144;  // the verdict of a packet that matches: how many bytes to keep (the snap length)
};

// Never fails for what bind() made. Thread-safe: no state.
flow::Graph lower(const Bound& bound, const LowerOptions& options = {});

// The optimised program at once, in a third of the time. Nothing where the formula has variables or the optimiser gives
// up: the way through the graph is open then.
std::optional<cbpf::Program> lower_to_program(const Bound& bound, const LowerOptions& options = {},
                                              const flow::OptimiseOptions& passes = {});

}  // namespace weir::filter
