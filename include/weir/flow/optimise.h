// The optimiser: shorter programs with the same verdicts.
//
// "The same" is meant packet by packet, truncated packets included: a load outside of the packet still rejects, and a
// load is dropped or moved only where facts prove it harmless. The result is in the promoted form: values are pure,
// tests of one value are sets, demands on the packet's length stand first in a block, and all other loads are marked
// `inside`.
//
// Thread-safe: no state.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/flow/graph.h>

namespace weir::flow {

struct PassInfo {
  std::string_view name;     // "thread"
  std::string_view summary;  // one line
};
// In the order in which they run first.
std::span<const PassInfo> passes();

struct OptimiseOptions {
  // Only these, once each, in this order; empty: all, until nothing changes. Unknown names are ignored.
  std::vector<std::string> only{};
  // Called after each pass that ran, with its name and the graph as it is then.
  std::function<void(std::string_view pass, const Graph& graph)> print_after{};
};

// False, and the graph is left as it is, where it says what passes cannot follow: random numbers, an `outside` edge
// that does not reject, expressions nested thousands deep.
bool optimise(Graph& graph, const OptimiseOptions& options = {});

// optimise() and emit() in one, without making the graph between. Falls back to the code of
// the graph as it is.
Result<cbpf::Program> optimise_and_emit(const Graph& graph, const OptimiseOptions& options = {});

// The graph of a program, optimised; sets are left whole. For engines that emit from it.
Graph optimised(const cbpf::Checked& program);

// The program made shorter; the same program where nothing was gained. Never longer, never with other verdicts. One
// that was checked for Target::kSeccomp stays one for seccomp, whose data has always the same size.
cbpf::Program optimise(const cbpf::Checked& program, const OptimiseOptions& options = {});

}  // namespace weir::flow
