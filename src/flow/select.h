// Decisions to classic code.
#pragma once

#include <optional>

#include <weir/cbpf/program.h>

#include "flow/decisions.h"

namespace weir::flow {

// Nothing where the sixteen scratch words do not suffice, or the code would be far larger than the decisions.
std::optional<cbpf::Program> select(Decisions& decisions);

}  // namespace weir::flow
