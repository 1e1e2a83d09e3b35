// Evaluates a bound formula on a packet by its definition (weir/filter/formula.h): a naive oracle for what is lowered,
// optimised and emitted from it.
#pragma once

#include <cstdint>
#include <optional>

#include <weir/filter/formula.h>
#include <weir/packet/packet.h>

namespace weir::reference {

// Whether the packet matches; empty where a load outside of the packet or a division by zero rejected it.
std::optional<bool> evaluate(const filter::Bound& bound, const packet::Packet& packet);

}  // namespace weir::reference
