// What is said when the command line is wrong.
#pragma once

#include <CLI/CLI.hpp>

namespace weir::tool {

// Reports the mistake in the house's form, with the nearest verb or option as suggestion; prints the help where it was
// asked for. Returns the exit status.
int report_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv);

}  // namespace weir::tool
