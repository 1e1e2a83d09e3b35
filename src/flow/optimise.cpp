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

#include "flow/driver.h"
#include "flow/passes.h"
#include "flow/select.h"

namespace weir::flow {
namespace {

constexpr int kMostRounds = 4;
constexpr std::size_t kSmall = 600;  // decisions

constexpr std::array<Pass, 6> kPasses{{
    {{"gather", "chains of tests on one value become tests of a set"}, gather},
    {{"thread", "facts along paths decide tests and drop demands; jumps skip what is decided"}, thread},
    {{"share", "equal decisions become one"}, share},
    {{"widen", "two tests of neighbouring bytes become one of a wider load"}, widen},
    {{"rebase", "places that are chosen from constants start from the least of them"}, rebase},
    {{"merge", "decisions equal but for where they load from become one"}, merge},
}};

constexpr std::array<PassInfo, 7> kInfos{{
    {"number", "values are numbered, slots become parameters, demands are split from values"},
    kPasses[0].info,
    kPasses[1].info,
    kPasses[2].info,
    kPasses[3].info,
    kPasses[4].info,
    kPasses[5].info,
}};

}  // namespace

void Driver::run() {
  print("number");
  if (!options_.only.empty()) {
    for (const std::string& name : options_.only)
      for (const Pass& pass : kPasses)
        if (pass.info.name == name) run(pass);
    return;
  }
  // Only where parameters have moved does threading find more in what it has left itself.
  const bool parameters = std::any_of(decisions_.all.begin(), decisions_.all.end(),
                                      [](const Decision& decision) { return !decision.parameters.empty(); });
  for (int round = 0; round < kMostRounds; ++round) {
    const bool gathered = run(kPasses[0]);
    if (round != 0 && !gathered && !(threaded_ && parameters)) break;
    threaded_ = run(kPasses[1]);
    threaded_ = run(kPasses[2]) || threaded_;
  }
  run(kPasses[3]);
  run(kPasses[4]);
  order_decisions(decisions_);
  if (decisions_.all.size() <= kSmall) unmerged_ = decisions_.all;
  merged_ = !words_only_ && run(kPasses[5]);
}

// Merging pays where registers allow it, which only selection knows: where a parameter must live in a scratch word, a
// small program is made without merging too.
std::optional<cbpf::Program> Driver::select_shorter() {
  std::optional<Selected> best = select(decisions_, words_only_);
  if (merged_ && !unmerged_.empty() && (!best || best->parameters_in_words)) {
    decisions_.all.swap(unmerged_);
    decisions_.entry = 0;
    decisions_.ordered = decisions_.tidy = true;
    std::optional<Selected> other = select(decisions_, words_only_);
    if (other && (!best || other->program.size() < best->program.size())) best = std::move(other);
  }
  if (!best) return std::nullopt;
  return std::move(best->program);
}

bool Driver::run(const Pass& pass) {
  if (!decisions_.ordered) order_decisions(decisions_);
  const bool changed = pass.run(decisions_);
  if (changed) decisions_.tidy = false;
  print(pass.info.name);
  return changed;
}

void Driver::print(std::string_view pass) const {
  if (options_.print_after) options_.print_after(pass, to_graph(decisions_));
}

std::span<const PassInfo> passes() { return kInfos; }

bool optimise(Graph& graph, const OptimiseOptions& options) {
  std::optional<Decisions> decisions = to_decisions(graph);
  if (!decisions) return false;
  Driver(*decisions, options).run();
  graph = to_graph(*decisions);
  return true;
}

namespace {

// For seccomp: data has always the same size, which no load exceeds, and words are all that can be loaded.
Result<cbpf::Program> code_of(const Graph& graph, const OptimiseOptions& options, bool seccomp) {
  if (std::optional<Decisions> decisions = to_decisions(graph)) {
    if (seccomp)
      for (Decision& decision : decisions->all) decision.need = 0;
    Driver driver(*decisions, options, seccomp);
    driver.run();
    if (std::optional<cbpf::Program> program = driver.select_shorter()) return *std::move(program);
  }
  return emit(graph);
}

}  // namespace

Result<cbpf::Program> optimise_and_emit(const Graph& graph, const OptimiseOptions& options) {
  return code_of(graph, options, false);
}

Graph optimised(const cbpf::Checked& program) {
  Graph graph = lift(program);
  optimise(graph);
  return graph;
}

cbpf::Program optimise(const cbpf::Checked& program, const OptimiseOptions& options) {
  const Result<cbpf::Program> made = code_of(lift(program), options, program.target() == cbpf::Target::kSeccomp);
  if (!made || made->size() >= program.program().size()) return program.program();
  return cbpf::check(*made, {.target = program.target()}) ? *made : program.program();
}

}  // namespace weir::flow
