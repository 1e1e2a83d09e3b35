// Which words of an expression decided about one packet.
//
// Evaluates the formula as it is defined (weir/filter/formula.h) and follows from the root what the result rests on: of
// an `and` that fails the part that failed, of one that holds all parts; of an `or` that holds the part that held, of
// one that fails all parts. A load beyond the packet and a division by zero reject it at once: then only the part with
// them is named.
// Thread-safe: no state.
#pragma once

#include <optional>
#include <vector>

#include <weir/filter/ast.h>
#include <weir/filter/formula.h>
#include <weir/packet/packet.h>

namespace weir::filter {

struct Part {
  NodeId node = kNoNode;         // a leaf of the tree: `tcp port 80`
  std::optional<bool> holds{};   // empty: it loads from beyond the packet, or divides by 0, which rejects the packet
  bool divides_by_zero = false;  // it is that which rejects the packet
};

struct Decision {
  bool matches = false;
  std::vector<Part> parts;  // those that decided, in the order of evaluation, each once
};

// Empty for expressions nested deeper than any person writes.
std::optional<Decision> decide(const Bound& bound, const packet::Packet& packet);

}  // namespace weir::filter
