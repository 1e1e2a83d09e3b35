// The verbs: each adds its subcommand to the command line and, when chosen, stores its exit status in `status`.
#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <weir/cbpf/text.h>

namespace weir::tool {

void add_compile(CLI::App& app, int& status);

// The form of a program that `--to` names; empty when there is none of this name.
std::optional<cbpf::Format> format_named(const std::string& name);

}  // namespace weir::tool
