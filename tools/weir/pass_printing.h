// The option --print-after: the flow graph as it is after passes of the optimiser, on standard error.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/flow/optimise.h>

namespace weir::tool {

// Adds `--print-after PASS...`, checked against the names of flow::passes() and "all".
void add_print_after(CLI::App& verb, std::vector<std::string>& passes);

// Options that print the graph after these passes, each time one of them ran.
flow::OptimiseOptions printing_after(const std::vector<std::string>& passes);

}  // namespace weir::tool
