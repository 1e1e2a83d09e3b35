// What a seccomp filter does: for one call, and as a whole; and where it has holes.
//
// The program is run with the architecture and the number known and the arguments not, along every path that they
// leave open. Values: plain data. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/cbpf/program.h>
#include <weir/kernel/seccomp.h>
#include <weir/kernel/syscalls.h>

namespace weir::kernel {

struct Outcome {
  std::vector<Action> actions{};  // all that can happen, without repetition, by value
  std::uint8_t arguments = 0;     // bit i: argument i decides between them
  bool instruction_pointer = false;
  bool complete = true;  // false: too many paths; there may be more actions
  friend bool operator==(const Outcome&, const Outcome&) = default;
  bool only(Action action) const { return actions.size() == 1 && actions.front() == action; }
};

// `program` must be checked for Target::kSeccomp.
Outcome outcome_of(const cbpf::Checked& program, std::uint32_t audit_architecture, std::uint32_t number);

// "allow", or "allow or errno(EPERM), by arg1".
std::string write_outcome(const Outcome& outcome);

// The exact verdict for one call.
struct SeccompCall {
  std::uint32_t number = 0;
  std::uint32_t architecture = 0;  // AUDIT_ARCH_*
  std::uint64_t instruction_pointer = 0;
  std::uint64_t arguments[6] = {};
};
Action run_filter(const cbpf::Checked& program, const SeccompCall& call);

struct ArchitectureSummary {
  Architecture architecture{};
  Outcome unnamed{};  // a number that no call has
  struct Group {
    Outcome outcome{};
    std::vector<std::string> syscalls{};
  };
  std::vector<Group> groups{};  // calls whose outcome differs from `unnamed`, by outcome
};
std::vector<ArchitectureSummary> explain(const cbpf::Checked& program);

struct Finding {
  bool hole = true;    // false: a remark
  std::string kind{};  // "x32", "architecture", "open-default", "io_uring", "clone3", "unknown-action"
  std::string message{};
};
// For a process of this architecture.
std::vector<Finding> audit(const cbpf::Checked& program, Architecture architecture);

}  // namespace weir::kernel
