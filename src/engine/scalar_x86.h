// The scalar engine on x86-64: one packet after another, in machine code. Exports make_scalar_x86.
#pragma once

#include <memory>

#include <weir/base/error.h>
#include <weir/engine/engine.h>

#include "engine/plan.h"

namespace weir::engine {

// any_length: runs packets that are shorter than nearly all are; null: machine code is made for those, too.
// marks: see LoadOptions.
Result<std::unique_ptr<Engine>> make_scalar_x86(Plan plan, std::unique_ptr<Engine> any_length, bool marks);

}  // namespace weir::engine
