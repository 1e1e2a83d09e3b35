// The scalar engine on x86-64: one packet after another, in machine code. Exports make_scalar_x86.
#pragma once

#include <memory>

#include <weir/base/error.h>
#include <weir/engine/engine.h>

#include "engine/plan.h"

namespace weir::engine {

// plan: its guards and sets are already found (drop_implied_guards with 0, find_sets).
// marks: see LoadOptions.
Result<std::unique_ptr<Engine>> make_scalar_x86(Plan plan, bool marks);

}  // namespace weir::engine
