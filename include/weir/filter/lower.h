// Formula to flow graph (plain form): each test a block, each connective its edges.
#pragma once

#include <cstdint>

#include <weir/base/error.h>
#include <weir/filter/formula.h>
#include <weir/flow/graph.h>

namespace weir::filter {

struct LowerOptions {
  std::uint32_t accept = 262144;  // the verdict of a packet that matches: how many bytes to keep (the snap length)
};

// Never fails for what bind() made. Thread-safe: no state.
flow::Graph lower(const Bound& bound, const LowerOptions& options = {});

}  // namespace weir::filter
