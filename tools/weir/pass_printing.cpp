// --print-after. Exports add_print_after and printing_after.
#include "pass_printing.h"

#include <algorithm>

#include <fmt/format.h>

#include "terminal.h"

namespace weir::tool {

void add_print_after(CLI::App& verb, std::vector<std::string>& passes) {
  std::vector<std::string> names{"all"};
  for (const flow::PassInfo& pass : flow::passes()) names.emplace_back(pass.name);
  verb.add_option("--print-after", passes, "print the flow graph after this pass of the optimiser, each time it ran")
      ->type_name("PASS")
      ->allow_extra_args(false)  // one a time; what follows may be the expression
      ->check(CLI::IsMember(names));
}

flow::OptimiseOptions printing_after(const std::vector<std::string>& passes) {
  flow::OptimiseOptions options;
  if (passes.empty()) return options;
  options.print_after = [passes](std::string_view pass, const flow::Graph& graph) {
    const bool wanted = std::any_of(passes.begin(), passes.end(),
                                    [pass](const std::string& name) { return name == "all" || name == pass; });
    if (wanted) say(fmt::format("after {}:\n{}\n", pass, flow::write(graph)));
  };
  return options;
}

}  // namespace weir::tool
