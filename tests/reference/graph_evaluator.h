// Evaluates a flow graph on a packet by its definition (weir/flow/graph.h): a naive oracle for lowering, lifting,
// passes and emission. Both forms, outside edges included. Linked into tests only.
#pragma once

#include <cstdint>

#include <weir/flow/graph.h>
#include <weir/packet/packet.h>

namespace weir::reference {

// The verdict. The graph must be valid (flow::validate).
std::uint32_t evaluate(const flow::Graph& graph, const packet::Packet& packet);

}  // namespace weir::reference
