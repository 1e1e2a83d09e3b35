// Point codes of SS7, which are compared in the byte order in which libpcap loads them.
#pragma once

#include <weir/filter/ast.h>

namespace weir::filter {

// A comparison of a point code that asks which is greater, and so is one of other numbers. 0 is itself.
inline bool orders_swapped(const Node& node) {
  const bool code = node.special == Special::kOpc || node.special == Special::kDpc || node.special == Special::kHopc ||
                    node.special == Special::kHdpc;
  const bool orders = node.relation != Relation::kEqual && node.relation != Relation::kNotEqual;
  return code && orders && !node.values.empty() && node.values.front() != 0;
}

}  // namespace weir::filter
