// Flow graph to classic bytecode.
//
// Slots and values that cross blocks become M[0..15]; jumps longer than 255 instructions go through `ja`. Fails with
// kLimit when more than sixteen scratch words would be needed at once, with kUnsupported where an `outside` edge leads
// anywhere but to verdict 0. The graph is one that validate() accepts, in either form. The result passes cbpf::check
// for kUser, and for kSocket when it has at most 4096 instructions. Thread-safe: no state.
#pragma once

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/flow/graph.h>

namespace weir::flow {

Result<cbpf::Program> emit(const Graph& graph);

}  // namespace weir::flow
