// A filter as a whole. Exports explain and audit.
//
// A hole is a way around what the filter evidently wants: a call that it denies under its own architecture's number is
// let through under another number or architecture that the same kernel serves.
#include <weir/kernel/seccomp_analysis.h>

#include <algorithm>

#include <fmt/format.h>

namespace weir::kernel {
namespace {

constexpr std::uint32_t kNoSuchCall = 0x3ffffff0;  // no architecture has it; without x32's bit
constexpr std::uint32_t kNoSuchArchitecture = 0x1234;

bool permits(Action action) {
  const std::uint32_t kind = action.value & 0xffff0000;
  return kind == kAllow.value || kind == 0x7ffc0000;  // allow, log
}
bool may_permit(const Outcome& outcome) {
  return !outcome.complete || std::any_of(outcome.actions.begin(), outcome.actions.end(), permits);
}
bool always_denies(const Outcome& outcome) { return !may_permit(outcome); }
// Some arguments are denied, others may pass.
bool restricts(const Outcome& outcome) {
  return outcome.arguments != 0 && may_permit(outcome) &&
         !std::all_of(outcome.actions.begin(), outcome.actions.end(), permits);
}
bool never_denies(const Outcome& outcome) {
  return outcome.complete && std::all_of(outcome.actions.begin(), outcome.actions.end(), permits);
}

std::uint32_t unnamed_number(Architecture architecture) { return kNoSuchCall | info(architecture).number_bits; }

Outcome outcome_of_call(const cbpf::Checked& program, const Syscall& call, Architecture architecture) {
  return outcome_of(program, info(architecture).audit, *number_of(call, architecture));
}

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
  Auditor(const cbpf::Checked& program, Architecture architecture) : program_(program), own_(architecture) {}

  std::vector<Finding> run() {
    other_architectures();
    unchecked_architecture();
    ways_around();
    if (may_permit(outcome_of(program_, info(own_).audit, unnamed_number(own_))))
      note(false, "open-default",
           "calls that the filter does not name are let through: new ones of later kernels are among them");
    unknown_actions();
    return std::move(findings_);
  }

 private:
  void note(bool hole, std::string kind, std::string message) {
    findings_.push_back({hole, std::move(kind), std::move(message)});
  }

  // The name, with a note when only some arguments are denied; empty when none are.
  std::string denied(std::string_view name) const {
    const Syscall* call = find_syscall(name);
    if (call == nullptr || !number_of(*call, own_)) return {};
    const Outcome outcome = outcome_of_call(program_, *call, own_);
    return always_denies(outcome) ? std::string(name) : restricts(outcome) ? by_argument(name) : std::string();
  }
  static std::string by_argument(std::string_view name) { return std::string(name) + " (by argument)"; }
  bool permitted(std::string_view name) const {
    const Syscall* call = find_syscall(name);
    return call != nullptr && number_of(*call, own_) && may_permit(outcome_of_call(program_, *call, own_));
  }

  // Calls that are denied here and pass under the number of a sibling.
  void other_architectures() {
    for (const Architecture sibling : siblings(own_)) {
      std::vector<std::string> through;
      for (const Syscall& call : syscalls()) {
        if (!number_of(call, own_) || !number_of(call, sibling)) continue;
        const Outcome here = outcome_of_call(program_, call, own_);
        const Outcome there = outcome_of_call(program_, call, sibling);
        if (always_denies(here) && may_permit(there)) through.emplace_back(call.name);
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
      if (!number || !may_permit(outcome_of(program_, kNoSuchArchitecture, *number))) continue;
      note(true, "architecture", "calls of an unknown architecture are let through: the filter does not check it");
      return;
    }
  }

  void ways_around() {
    std::vector<std::string> denied_calls;
    for (const char* name : {"openat", "open", "connect", "socket", "sendmsg", "unlinkat", "renameat"})
      if (std::string found = denied(name); !found.empty()) denied_calls.push_back(std::move(found));
    if (!denied_calls.empty() && permitted("io_uring_setup") && permitted("io_uring_enter"))
      note(true, "io_uring",
           fmt::format("io_uring is let through, and does without a call what is denied: {}", some_of(denied_calls)));
    const Syscall* clone = find_syscall("clone");
    if (number_of(*clone, own_) && permitted("clone3") && !denied("clone").empty())
      note(true, "clone3", "clone is restricted, but clone3 is let through: its flags are in memory, out of reach");
  }

  void unknown_actions() {
    for (const ArchitectureSummary& summary : explain(program_))
      for (const ArchitectureSummary::Group& group : summary.groups)
        for (const Action action : group.outcome.actions)
          if (write_action(action).find("unknown") != std::string::npos) {
            note(false, "unknown-action",
                 fmt::format("the action {:#x} is unknown: the kernel kills the process", action.value));
            return;
          }
  }

  const cbpf::Checked& program_;
  Architecture own_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<ArchitectureSummary> explain(const cbpf::Checked& program) {
  std::vector<ArchitectureSummary> all;
  for (const ArchitectureInfo& one : architectures()) {
    ArchitectureSummary summary{.architecture = one.architecture,
                                .unnamed = outcome_of(program, one.audit, unnamed_number(one.architecture))};
    for (const Syscall& call : syscalls()) {
      if (!number_of(call, one.architecture)) continue;
      Outcome outcome = outcome_of_call(program, call, one.architecture);
      if (outcome == summary.unnamed) continue;
      auto group = std::find_if(summary.groups.begin(), summary.groups.end(),
                                [&](const auto& known) { return known.outcome == outcome; });
      if (group == summary.groups.end()) group = summary.groups.insert(group, {std::move(outcome), {}});
      group->syscalls.emplace_back(call.name);
    }
    all.push_back(std::move(summary));
  }
  return all;
}

std::vector<Finding> audit(const cbpf::Checked& program, Architecture architecture) {
  return Auditor(program, architecture).run();
}

}  // namespace weir::kernel
