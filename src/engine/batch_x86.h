// The batch engine: several packets a step in vector lanes. Exports make_batch_x86.
#pragma once

#include <memory>

#include <weir/base/error.h>
#include <weir/engine/engine.h>

#include "engine/plan.h"

namespace weir::engine {

struct BatchOptions {
  bool wide = false;         // sixteen packets a step with AVX-512, not eight with AVX2
  bool fast_gather = false;  // see CpuFeatures
  bool marks = false;        // see LoadOptions
};

// Programs that lanes cannot run (extension loads, very large ones) run as scalar code all the same. Metadata are
// structures behind a column of pointers, any of which may be null, so that lanes would load sixteen words one by one;
// captures have none. Whether it pays was not measured.
// any_length: as for make_scalar_x86.
Result<std::unique_ptr<Engine>> make_batch_x86(Plan plan, std::unique_ptr<Engine> any_length,
                                               const BatchOptions& options);

}  // namespace weir::engine
