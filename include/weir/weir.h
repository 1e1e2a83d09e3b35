// The front door: an expression in, verdicts about packets out.
//
//   auto filter = weir::Filter::compile("tcp port 443");
//   if (!filter) return complain(weir::render(filter.error(), "tcp port 443"));
//   if (filter->matches(bytes)) ...
//
// All else that libweir does is in the headers of its modules, <weir/MODULE/...>.
#pragma once

#include <weir/base/render.h>
#include <weir/front/filter.h>

namespace weir {

using front::Filter;
using front::FilterOptions;

}  // namespace weir
