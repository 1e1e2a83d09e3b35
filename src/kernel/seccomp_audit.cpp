// A filter as a whole. Exports explain and audit.
//
// A hole is a way around what the filter evidently wants: a call that it denies under its own architecture's number is
// let through under another number or architecture that the same kernel serves.
#include <weir/kernel/seccomp_analysis.h>

#include <algorithm>

#include <fmt/format.h>

#include "kernel/seccomp_explore.h"
#include "seccomp_arguments.h"
#include "seccomp_families.h"

namespace weir::kernel {
namespace {

constexpr std::uint32_t kNoSuchCall = 0x3ffffff0;  // no architecture has it; without x32's bit
constexpr std::uint32_t kNoSuchArchitecture = 0x1234;

// What was seen of an outcome that is not complete is true of the filter all the same.
bool lets_through(const Outcome& outcome) {
  return std::any_of(outcome.actions.begin(), outcome.actions.end(), permits);
}
bool always_denies(const Outcome& outcome) { return outcome.complete && !lets_through(outcome); }
// Some arguments are denied, others pass.
bool restricts(const Outcome& outcome) {
  return outcome.arguments != 0 && lets_through(outcome) &&
         !std::all_of(outcome.actions.begin(), outcome.actions.end(), permits);
}
bool never_denies(const Outcome& outcome) {
  return outcome.complete && std::all_of(outcome.actions.begin(), outcome.actions.end(), permits);
}

std::uint32_t unnamed_number(Architecture architecture) { return kNoSuchCall | info(architecture).number_bits; }

using Filters = std::span<const cbpf::Checked>;

// What filters do with calls, with a bound on the effort of all that is asked. When that is spent, calls that are
// judged without many forks still get their answer.
class Questions {
 public:
  Questions(Filters filters, Effort effort) : filters_(filters), effort_(effort) {
    for (const cbpf::Checked& filter : filters) length_ += filter.program().size();
  }

  Filters filters() const { return filters_; }
  bool complete() const { return complete_; }

  Outcome pattern(const CallPattern& pattern) {
    Effort last{4 * length_};
    Outcome outcome = outcome_of(filters_, pattern, effort_.left > 0 ? effort_ : last);
    complete_ = complete_ && outcome.complete;
    return outcome;
  }
  Outcome number(std::uint32_t audit, std::uint32_t number) {
    return pattern({.number = number, .architecture = audit});
  }
  Outcome unnamed(Architecture architecture) { return number(info(architecture).audit, unnamed_number(architecture)); }
  Outcome call(const Syscall& call, Architecture architecture) {
    return number(info(architecture).audit, *number_of(call, architecture));
  }
  std::vector<std::uint32_t> held_against(const cbpf::Checked& filter, std::uint32_t audit, std::uint32_t number,
                                          unsigned argument) {
    std::vector<std::uint32_t> numbers = numbers_held_against(filter, audit, number, argument, effort_);
    complete_ = complete_ && effort_.left > 0;
    return numbers;
  }

  std::vector<ArchitectureSummary> summaries() {
    std::vector<ArchitectureSummary> all;
    for (const ArchitectureInfo& one : architectures()) {
      ArchitectureSummary summary{.architecture = one.architecture, .unnamed = unnamed(one.architecture)};
      for (const Syscall& each : syscalls()) {
        if (!number_of(each, one.architecture)) continue;
        Outcome outcome = call(each, one.architecture);
        if (outcome == summary.unnamed) continue;
        auto group = std::find_if(summary.groups.begin(), summary.groups.end(),
                                  [&](const auto& known) { return known.outcome == outcome; });
        if (group == summary.groups.end()) group = summary.groups.insert(group, {std::move(outcome), {}});
        group->syscalls.emplace_back(each.name);
      }
      all.push_back(std::move(summary));
    }
    return all;
  }

 private:
  Filters filters_;
  Effort effort_;
  std::uint64_t length_ = 0;
  bool complete_ = true;
};

// "open, execve and 12 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  std::string text = fmt::format("{}", fmt::join(shown, ", "));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

class Auditor {
 public:
  Auditor(Filters filters, Architecture architecture, Effort effort) : ask_(filters, effort), own_(architecture) {}

  std::vector<Finding> run() {
    other_architectures();
    unchecked_architecture();
    ways_around();
    for (const Family& family : families()) family_members(family);
    multiplexed(own_);
    for (const Architecture sibling : siblings(own_)) multiplexed(sibling);
    if (has_wide_registers(own_)) upper_halves();
    if (lets_through(ask_.unnamed(own_)))
      note(false, "open-default",
           "calls that the filter does not name are let through: new ones of later kernels are among them");
    unknown_actions();
    if (!ask_.complete())
      note(false, "incomplete", "what the filter does is not known for all calls: there may be more holes");
    return std::move(findings_);
  }

 private:
  void note(bool hole, std::string kind, std::string message) {
    findings_.push_back({hole, std::move(kind), std::move(message), {}});
  }

  // The name, with a note when only some arguments are denied; empty when none are.
  std::string denied(std::string_view name) {
    const Syscall* call = find_syscall(name);
    if (call == nullptr || !number_of(*call, own_)) return {};
    const Outcome outcome = ask_.call(*call, own_);
    return always_denies(outcome) ? std::string(name) : restricts(outcome) ? by_argument(name) : std::string();
  }
  static std::string by_argument(std::string_view name) { return std::string(name) + " (by argument)"; }
  bool permitted(std::string_view name) {
    const Syscall* call = find_syscall(name);
    return call != nullptr && number_of(*call, own_) && lets_through(ask_.call(*call, own_));
  }

  // Calls that are denied here and pass under the number of a sibling.
  void other_architectures() {
    for (const Architecture sibling : siblings(own_)) {
      std::vector<std::string> through;
      for (const Syscall& call : syscalls()) {
        if (!number_of(call, own_) || !number_of(call, sibling)) continue;
        const Outcome here = ask_.call(call, own_);
        const Outcome there = ask_.call(call, sibling);
        if (always_denies(here) && lets_through(there)) through.emplace_back(call.name);
        else if (restricts(here) && never_denies(there)) through.push_back(by_argument(call.name));
      }
      if (through.empty()) continue;
      const bool x32 = sibling == Architecture::kX32;
      note(true, x32 ? "x32" : "architecture",
           fmt::format("{} denied as {} {} let through as {}{}: {}",
                       through.size() == 1 ? "1 call" : fmt::format("{} calls", through.size()), info(own_).name,
                       through.size() == 1 ? "is" : "are", info(sibling).name,
                       x32 ? " (number with bit 0x40000000)" : "", some_of(through)));
    }
  }

  // A filter that never looks at the architecture judges every number as its own.
  void unchecked_architecture() {
    for (const Syscall& call : syscalls()) {
      const auto number = number_of(call, own_);
      if (!number || !lets_through(ask_.number(kNoSuchArchitecture, *number))) continue;
      note(true, "architecture", "calls of an unknown architecture are let through: the filter does not check it");
      return;
    }
  }

  void ways_around() {
    std::vector<std::string> denied_calls;
    for (const char* name :
         {"openat",  "open",      "openat2", "connect",   "socket",    "accept4",   "bind",      "listen",
          "sendmsg", "recvmsg",   "sendto",  "recvfrom",  "unlinkat",  "renameat",  "renameat2", "mkdirat",
          "linkat",  "symlinkat", "statx",   "ftruncate", "fallocate", "fsetxattr", "setxattr"})
      if (std::string found = denied(name); !found.empty()) denied_calls.push_back(std::move(found));
    if (!denied_calls.empty() && permitted("io_uring_setup") && permitted("io_uring_enter"))
      note(true, "io_uring",
           fmt::format("io_uring is let through, and does without a call what is denied: {}", some_of(denied_calls)));
    const Syscall* clone = find_syscall("clone");
    if (number_of(*clone, own_) && permitted("clone3") && !denied("clone").empty())
      note(true, "clone3", "clone is restricted, but clone3 is let through: its flags are in memory, out of reach");
    if (number_of(*clone, own_) && restricts(ask_.call(*clone, own_)) && permitted("unshare"))
      note(true, "namespaces",
           "clone is denied by argument, but unshare is let through, and makes the same namespaces");
  }

  // Denied by more than the default: an allow list does not mean that its calls do all that others can.
  std::optional<Outcome> denied_by_name(std::string_view name, Architecture architecture) {
    const Syscall* call = find_syscall(name);
    if (call == nullptr || !number_of(*call, architecture)) return std::nullopt;
    Outcome outcome = ask_.call(*call, architecture);
    if (restricts(outcome)) return outcome;
    if (!always_denies(outcome)) return std::nullopt;
    if (outcome == ask_.unnamed(architecture)) return std::nullopt;
    return outcome;
  }

  // Members that are denied beside members that pass.
  void family_members(const Family& family) {
    std::vector<std::string> closed;
    std::vector<std::string> open;
    bool whole = false;
    bool clone_restricted = false;
    const auto add = [&](std::string_view name, bool plain) {
      const Syscall* call = find_syscall(name);
      if (call == nullptr || !number_of(*call, own_)) return;
      if (const auto outcome = denied_by_name(name, own_)) {
        const bool always = always_denies(*outcome);
        whole = whole || always;
        clone_restricted = clone_restricted || name == "clone";
        closed.push_back(always ? std::string(name) : by_argument(name));
      } else if (never_denies(ask_.call(*call, own_)) && (!plain || whole)) {
        if (name != "clone3" || !clone_restricted) open.emplace_back(name);  // clone3 has its own finding
      }
    };
    for (const std::string_view name : names_in(family.members)) add(name, false);
    for (const std::string_view name : names_in(family.plain)) add(name, true);
    if (closed.empty() || open.empty()) return;
    note(true, "family",
         fmt::format("{} {} denied, but {} {} too and {} let through: {}", fmt::join(closed, ", "),
                     closed.size() == 1 ? "is" : "are", open.size() == 1 ? "1 other call can" : "other calls can",
                     family.what, open.size() == 1 ? "is" : "are", fmt::join(open, ", ")));
  }

  void multiplexed(Architecture architecture) {
    for (const Multiplexer& multiplexer : multiplexers_of(architecture)) {
      const Syscall* call = find_syscall(multiplexer.name);
      if (call == nullptr || !number_of(*call, architecture) || !lets_through(ask_.call(*call, architecture))) continue;
      std::vector<std::string> closed;
      for (const std::string_view name : names_in(multiplexer.calls))
        if (const auto outcome = denied_by_name(name, architecture))
          closed.push_back(always_denies(*outcome) ? std::string(name) : by_argument(name));
      if (!closed.empty())
        note(true, "multiplexer",
             fmt::format("as {}, {} is let through, and does what is denied: {}", info(architecture).name,
                         multiplexer.name, some_of(closed)));
    }
  }

  // Ints whose upper half, which the kernel does not read, lets a denied call through.
  void upper_halves() {
    std::vector<std::string> open;
    for (const Syscall& call : syscalls()) {
      if (!number_of(call, own_)) continue;
      const Outcome outcome = ask_.call(call, own_);
      if (!outcome.complete || !restricts(outcome)) continue;
      for (unsigned argument = 0; argument < 6; ++argument)
        if ((outcome.arguments & (1u << argument)) != 0 && is_int_argument(call.name, argument))
          if (const auto value = hidden_by_upper_half(*number_of(call, own_), argument))
            open.push_back(fmt::format("{} with arg{} = {:#x}", call.name, argument, *value));
    }
    if (!open.empty())
      note(true, "upper-half",
           fmt::format("the kernel reads only the lower 32 bits of an int, the filter reads 64 and lets through: {}",
                       some_of(open)));
  }

  // A value that passes and would be denied if its upper half were 0, or the sign's.
  std::optional<std::uint64_t> hidden_by_upper_half(std::uint32_t number, unsigned argument) {
    constexpr std::size_t kMostTried = 64;
    std::size_t tried = 0;
    CallPattern pattern{.number = number, .architecture = info(own_).audit};
    const auto outcome_with = [&](std::uint32_t low, std::uint32_t high) {
      pattern.halves[2 * argument] = low;
      pattern.halves[2 * argument + 1] = high;
      return ask_.pattern(pattern);
    };
    for (const cbpf::Checked& filter : ask_.filters())
      for (const std::uint32_t low : ask_.held_against(filter, info(own_).audit, number, argument)) {
        if (++tried > kMostTried) return std::nullopt;
        const Outcome odd = outcome_with(low, 1);
        if (!lets_through(odd)) continue;
        for (const std::uint32_t high : {0u, 0xffffffffu}) {
          if (high != 0 && low < 0x80000000) continue;
          const Outcome usual = outcome_with(low, high);
          const bool lost = std::any_of(usual.actions.begin(), usual.actions.end(), [&](Action action) {
            return !permits(action) && std::find(odd.actions.begin(), odd.actions.end(), action) == odd.actions.end();
          });
          if (lost && odd.complete) return std::uint64_t{1} << 32 | low;
        }
      }
    return std::nullopt;
  }

  void unknown_actions() {
    for (const ArchitectureSummary& summary : ask_.summaries())
      for (const ArchitectureSummary::Group& group : summary.groups)
        for (const Action action : group.outcome.actions)
          if (write_action(action).find("unknown") != std::string::npos) {
            note(false, "unknown-action",
                 fmt::format("the action {:#x} is unknown: the kernel kills the process", action.value));
            return;
          }
  }

  Questions ask_;
  Architecture own_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<ArchitectureSummary> explain(std::span<const cbpf::Checked> filters) {
  return Questions(filters, kEffortForAll).summaries();
}

std::vector<ArchitectureSummary> explain(const cbpf::Checked& program) { return explain({&program, 1}); }

std::vector<Finding> audit(const cbpf::Checked& program, Architecture architecture) {
  return audit({&program, 1}, architecture);
}

std::vector<Finding> audit(std::span<const cbpf::Checked> filters, Architecture architecture) {
  std::vector<Finding> together = Auditor(filters, architecture, kEffortForAll).run();
  if (filters.size() < 2) return together;
  const Effort each{kEffortForAll.left / filters.size()};
  for (std::size_t i = 0; i < filters.size(); ++i) {
    const std::vector<Finding> alone = Auditor(filters.subspan(i, 1), architecture, each).run();
    for (Finding& finding : together)
      if (std::any_of(alone.begin(), alone.end(), [&](const Finding& one) { return one.kind == finding.kind; }))
        finding.filters.push_back(i);
  }
  return together;
}

}  // namespace weir::kernel
