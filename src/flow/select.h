// Decisions to classic code.
#pragma once

#include <optional>

#include <weir/cbpf/program.h>

#include "flow/decisions.h"

namespace weir::flow {

// Nothing where the sixteen scratch words do not suffice, or the code would be far larger than the decisions.
struct Selected {
  cbpf::Program program;
  bool parameters_in_words = false;  // some parameter is kept in a scratch word
};
// `words_only`: words are not loaded in part, for seccomp.
std::optional<Selected> select(Decisions& decisions, bool words_only = false);

}  // namespace weir::flow
