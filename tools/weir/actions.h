// What programs made of expressions give back for packets that match and for the others. Exports results_for.
#pragma once

#include <optional>
#include <string>

#include <weir/convert/convert.h>

namespace weir::tool {

// For --for WHERE, --accept ACTION and --reject ACTION; an empty action is the place's default. Nothing: the verdict
// itself, which is what sockets take.
Result<std::optional<convert::Returns>> results_for(const std::string& where, const std::string& accept,
                                                    const std::string& reject);

}  // namespace weir::tool
