// Classic bytecode to flow graph (plain form).
//
// A becomes slot 0, X slot 1, M[i] slot 2 + i. Every instruction of a Checked program has a meaning in the graph, so
// lifting cannot fail. Thread-safe: no state.
#pragma once

#include <weir/cbpf/program.h>
#include <weir/flow/graph.h>

namespace weir::flow {

Graph lift(const cbpf::Checked& program);

}  // namespace weir::flow
