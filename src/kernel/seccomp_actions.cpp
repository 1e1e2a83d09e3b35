// The names of actions, read and written. Exports read_action and write_action.
//
// Each action has one name that is written, and the kernel's and libseccomp's spellings are read too.
#include <weir/kernel/seccomp.h>

#include <cerrno>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "seccomp_actions.h"
#include "seccomp_number.h"

namespace weir::kernel {
namespace {

struct ErrorName {
  std::string_view name;
  std::uint32_t number;
};
constexpr ErrorName kErrors[] = {
#define WEIR_ERRNO(name) {#name, name},
#include "errno_names.def"
#undef WEIR_ERRNO
};

struct ActionName {
  std::string_view name;
  Action action;
  bool has_data;
};
// The first name of a value is the one that is written.
constexpr ActionName kActions[] = {
    {"kill", kKillProcess, false},
    {"kill-thread", kKillThread, false},
    {"trap", kTrap, false},
    {"errno", kErrno, true},
    {"notify", kNotify, false},
    {"trace", kTrace, true},
    {"log", kLog, false},
    {"allow", kAllow, false},
    {"kill-process", kKillProcess, false},
    {"kill_process", kKillProcess, false},
    {"kill_thread", kKillThread, false},
    {"user_notif", kNotify, false},
    {"user-notif", kNotify, false},
    {"user-notify", kNotify, false},
};

Result<std::uint32_t> error_number(std::string_view inside) {
  for (const ErrorName& error : kErrors)
    if (error.name == inside) return error.number;
  const Result<PolicyNumber> read = read_policy_number(inside);
  if (read && !read->negative && read->value <= 4095) return static_cast<std::uint32_t>(read->value);  // MAX_ERRNO
  std::vector<std::string_view> names;
  for (const ErrorName& error : kErrors) names.push_back(error.name);
  std::string hint = inside.starts_with('E') ? did_you_mean(inside, names) : std::string();
  return fail(fmt::format("'{}' is no number up to 4095", inside), {},
              hint.empty() ? "or a name: EPERM" : std::move(hint));
}

}  // namespace

std::string write_action(Action action) {
  // kernel/seccomp.c: what it does not know kills the process.
  const std::uint32_t data = action.value & kActionData;
  for (const ActionName& one : kActions) {
    if (one.action != without_data(action)) continue;
    if (!one.has_data) return std::string(one.name);
    if (one.name == "errno")
      for (const ErrorName& error : kErrors)
        if (error.number == data) return fmt::format("errno({})", error.name);
    return fmt::format("{}({})", one.name, data);
  }
  return fmt::format("kill (unknown action {:#x})", action.value);
}

Result<Action> read_action(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::string_view name = text.substr(0, open);
  for (const ActionName& one : kActions) {
    if (one.name != name) continue;
    if (!one.has_data) {
      if (open != std::string_view::npos) return fail(fmt::format("'{}' takes no number", name));
      return one.action;
    }
    if (open == std::string_view::npos || !text.ends_with(')'))
      return fail(fmt::format("'{}' needs a number in brackets", name), {}, fmt::format("{}(1)", name));
    const std::string_view inside = text.substr(open + 1, text.size() - open - 2);
    if (one.name == "errno") {
      WEIR_TRY(const std::uint32_t error, error_number(inside));
      return Action{one.action.value | error};
    }
    const Result<PolicyNumber> data = read_policy_number(inside);
    if (!data || data->negative || data->value > kActionData)
      return fail(fmt::format("'{}' is no number up to 65535", inside));
    return Action{one.action.value | static_cast<std::uint32_t>(data->value)};
  }
  std::vector<std::string_view> names;
  for (const ActionName& one : kActions) names.push_back(one.name);
  std::string hint = did_you_mean(name, names);
  return fail(fmt::format("unknown action '{}'", text), {}, hint.empty() ? kActionHint : std::move(hint));
}

}  // namespace weir::kernel
