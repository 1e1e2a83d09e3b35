// The order of passes. Exports what weir/flow/optimise.h declares.
//
// Chains are gathered before facts are carried, so that lists of protocols are sets whose facts decide the next list,
// and again after, where threading has made longer chains. The passes repeat while they change something, a few times
// at most: a later round finds little.
#include <weir/flow/optimise.h>

#include <algorithm>
#include <array>

#include <weir/flow/emit.h>
#include <weir/flow/lift.h>

#include "flow/passes.h"
#include "flow/select.h"

namespace weir::flow {
namespace {

constexpr int kMostRounds = 4;
constexpr std::size_t kSmall = 600;  // decisions

struct Pass {
  PassInfo info;
  bool (*run)(Decisions&);
};

constexpr std::array<Pass, 5> kPasses{{
    {{"gather", "chains of tests on one value become tests of a set"}, gather},
    {{"thread", "facts along paths decide tests and drop demands; jumps skip what is decided"}, thread},
    {{"share", "equal decisions become one"}, share},
    {{"widen", "two tests of neighbouring bytes become one of a wider load"}, widen},
    {{"merge", "decisions equal but for where they load from become one"}, merge},
}};

constexpr std::array<PassInfo, 6> kInfos{{
    {"number", "values are numbered, slots become parameters, demands are split from values"},
    kPasses[0].info,
    kPasses[1].info,
    kPasses[2].info,
    kPasses[3].info,
    kPasses[4].info,
}};

class Driver {
 public:
  Driver(Decisions& decisions, const OptimiseOptions& options) : decisions_(decisions), options_(options) {}

  void run() {
    print("number");
    if (!options_.only.empty()) {
      for (const std::string& name : options_.only)
        for (const Pass& pass : kPasses)
          if (pass.info.name == name) run(pass);
      return;
    }
    for (int round = 0; round < kMostRounds; ++round) {
      const bool gathered = run(kPasses[0]);
      if (round != 0 && !gathered && !threaded_) break;
      threaded_ = run(kPasses[1]);
      threaded_ = run(kPasses[2]) || threaded_;
    }
    run(kPasses[3]);
    if (keeps_unmerged_) unmerged_ = decisions_;
    merged_ = run(kPasses[4]);
  }

  // Merging pays where registers allow it, which only selection knows: of small programs both are made.
  std::optional<cbpf::Program> select_shorter() {
    std::optional<cbpf::Program> best = select(decisions_);
    if (!merged_ || !unmerged_) return best;
    std::optional<cbpf::Program> other = select(*unmerged_);
    return other && (!best || other->size() < best->size()) ? std::move(other) : std::move(best);
  }

 private:
  bool run(const Pass& pass) {
    const bool changed = pass.run(decisions_);
    print(pass.info.name);
    return changed;
  }

  void print(std::string_view pass) const {
    if (options_.print_after) options_.print_after(pass, to_graph(decisions_));
  }

  Decisions& decisions_;
  const OptimiseOptions& options_;
  const bool keeps_unmerged_ = decisions_.all.size() <= kSmall;
  bool threaded_ = false;
  bool merged_ = false;
  std::optional<Decisions> unmerged_;
};

}  // namespace

std::span<const PassInfo> passes() { return kInfos; }

bool optimise(Graph& graph, const OptimiseOptions& options) {
  std::optional<Decisions> decisions = to_decisions(graph);
  if (!decisions) return false;
  Driver(*decisions, options).run();
  graph = to_graph(*decisions);
  return true;
}

Result<cbpf::Program> optimise_and_emit(const Graph& graph, const OptimiseOptions& options) {
  if (std::optional<Decisions> decisions = to_decisions(graph)) {
    Driver driver(*decisions, options);
    driver.run();
    if (std::optional<cbpf::Program> program = driver.select_shorter()) return *std::move(program);
  }
  return emit(graph);
}

Graph optimised(const cbpf::Checked& program) {
  Graph graph = lift(program);
  optimise(graph);
  return graph;
}

cbpf::Program optimise(const cbpf::Checked& program, const OptimiseOptions& options) {
  const Result<cbpf::Program> made = optimise_and_emit(lift(program), options);
  if (!made || made->size() >= program.program().size()) return program.program();
  return cbpf::check(*made, {.target = program.target()}) ? *made : program.program();
}

}  // namespace weir::flow
