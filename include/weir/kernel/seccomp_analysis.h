// What a seccomp filter does: for one call, and as a whole; and where it has holes.
//
// The program is run with the architecture and the number known and the arguments not, along every path that they
// leave open. Values: plain data. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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
  bool complete = true;  // false: too many paths, or an action that is computed; there may be more actions
  friend bool operator==(const Outcome&, const Outcome&) = default;
  bool only(Action action) const { return actions.size() == 1 && actions.front() == action; }
};

// `program` must be checked for Target::kSeccomp.
Outcome outcome_of(const cbpf::Checked& program, std::uint32_t audit_architecture, std::uint32_t number);

// The same with some halves of arguments known: word 2 * i is the lower half of argument i, word 2 * i + 1 the upper.
struct CallPattern {
  std::uint32_t number = 0;
  std::uint32_t architecture = 0;  // AUDIT_ARCH_*
  std::optional<std::uint32_t> halves[12]{};
};
Outcome outcome_of(const cbpf::Checked& program, const CallPattern& pattern);

// All filters of a process: the kernel runs each and takes the most severe action, and of equals the newest filter's.
// `filters`: the newest first. All combinations of their actions count, also where the arguments exclude one.
Outcome outcome_of(std::span<const cbpf::Checked> filters, const CallPattern& pattern);

// The numbers that the program holds against the lower half of an argument of this call, in comparisons and masks.
std::vector<std::uint32_t> numbers_held_against(const cbpf::Checked& program, std::uint32_t audit_architecture,
                                                std::uint32_t number, unsigned argument);

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
// A second or two at most: of filters with very many paths what is found by then; the rest is not complete.
std::vector<ArchitectureSummary> explain(const cbpf::Checked& program);
std::vector<ArchitectureSummary> explain(std::span<const cbpf::Checked> filters);  // together

struct Finding {
  bool hole = true;  // false: a remark
  // "x32", "architecture", "open-default", "io_uring", "clone3", "namespaces", "family", "multiplexer", "upper-half",
  // "unknown-action", "incomplete"
  std::string kind{};
  std::string message{};
  // The filters that have it, when there are several: their indices.
  std::vector<std::size_t> filters{};
};
// For a process of this architecture. A hole is one that was seen; "incomplete" tells that others may be missing. As
// long as explain() at most.
std::vector<Finding> audit(const cbpf::Checked& program, Architecture architecture);
// For a process with several filters, the newest first: a hole is what all of them leave open. Twice as long at most.
std::vector<Finding> audit(std::span<const cbpf::Checked> filters, Architecture architecture);

}  // namespace weir::kernel
