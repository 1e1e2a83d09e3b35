// Runs the passes over decisions and selects code from what they leave.
#pragma once

#include <optional>
#include <vector>

#include <weir/cbpf/program.h>
#include <weir/flow/optimise.h>

#include "flow/decisions.h"

namespace weir::flow {

struct Pass {
  PassInfo info;
  bool (*run)(Decisions&);
};

class Driver {
 public:
  // `words_only`: loads of words at fixed places stay so, for seccomp, which has no others.
  Driver(Decisions& decisions, const OptimiseOptions& options, bool words_only = false)
      : decisions_(decisions), options_(options), words_only_(words_only) {}

  void run();
  // Nothing where the registers do not suffice.
  std::optional<cbpf::Program> select_shorter();

 private:
  bool run(const Pass& pass);
  void print(std::string_view pass) const;

  Decisions& decisions_;
  const OptimiseOptions& options_;
  const bool words_only_;
  bool threaded_ = false;
  bool merged_ = false;
  std::vector<Decision> unmerged_;  // of a small program: the decisions before they were merged
};

}  // namespace weir::flow
