// Expression text to classic program: parse, bind, lower, emit in one call.
//
//   auto compiled = weir::filter::compile("tcp port 443", {.bind = {.link_type = packet::LinkType::kRaw}});
//   if (!compiled) std::fputs(render(compiled.error(), "tcp port 443").c_str(), stderr);
//
// The text may also be a classic program in any form that cbpf::read knows (unless ParseOptions::strict): it is taken
// as it is, and only the check is made.
// Thread-safe as far as the resolver is.
#pragma once

#include <cstdint>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/filter/bind.h>
#include <weir/filter/parse.h>
#include <weir/flow/graph.h>
#include <weir/flow/optimise.h>

namespace weir::filter {

struct CompileOptions {
  BindOptions bind{};
  ParseOptions parse{};
  std::uint32_t snap_length = 262144;  // bytes kept of a packet that matches; the program's verdict. Not 0
  bool optimise = true;                // compile(): pass the graph through flow's optimiser
  flow::OptimiseOptions passes{};      // compile(): which passes, and who looks at the graph after each
};

struct Compiled {
  cbpf::Checked program;  // checked for cbpf::Target::kUser
  Warnings warnings;
};

Result<Compiled> compile(std::string_view expression, const CompileOptions& options = {});

// The same, stopping at the graph: for engines that emit from it.
struct CompiledGraph {
  flow::Graph graph;
  Warnings warnings;
};
Result<CompiledGraph> compile_to_graph(std::string_view expression, const CompileOptions& options = {});

}  // namespace weir::filter
