// The verbs: each adds its subcommand to the command line and, when chosen, stores its exit status in `status`.
#pragma once

#include <CLI/CLI.hpp>

namespace weir::tool {

}  // namespace weir::tool
