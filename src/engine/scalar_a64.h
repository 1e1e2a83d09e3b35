// The scalar engine on AArch64. Exports assemble_a64 and make_scalar_a64.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <weir/base/error.h>
#include <weir/engine/engine.h>

#include "engine/plan.h"

namespace weir::engine {

// Position-independent code of a FilterFunction; tables and constants lie behind it. Can be made on any machine, and
// run on AArch64. Fails with kUnsupported for programs whose extension loads need calls back into the library.
Result<std::vector<std::uint8_t>> assemble_a64(Plan plan);

// On an AArch64 machine.
Result<std::unique_ptr<Engine>> make_scalar_a64(Plan plan);

}  // namespace weir::engine
