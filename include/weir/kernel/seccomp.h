// Seccomp policies: text, compiled to classic programs, installed.
//
//   # what a policy looks like; the first rule that fits decides
//   arch x86_64 i386                       default: this machine's; other architectures get `mismatch`
//   default errno(EPERM)                   what no rule names; kill when missing
//   mismatch kill                          kill when missing
//   allow read write exit_group
//   allow ioctl if arg1:32 == 0x5401 or arg1:32 == 0x5413
//   errno(EACCES) socket if arg0:32 == AF_NETLINK and (arg1 & 0xf == SOCK_RAW or arg2:32 > 0)
//
// Actions: kill, kill-thread, trap, errno(N or name), notify, trace(N), log, allow. Arguments are 64 bits, unsigned;
// `argN:32` is the lower half, all that the kernel reads of an int. The comparisons == != < <= > >= may stand behind
// `argN & MASK`. `and` binds tighter than `or`. Values: plain data.
// Thread-safe: no state. Source: seccomp(2), <linux/seccomp.h>.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/kernel/syscalls.h>

namespace weir::kernel {

struct Action {
  std::uint32_t value = 0x80000000;  // SECCOMP_RET_* with its data
  friend bool operator==(const Action&, const Action&) = default;
};
inline constexpr Action kKillProcess{0x80000000};
inline constexpr Action kKillThread{0};
inline constexpr Action kTrap{0x00030000};
inline constexpr Action kErrno{0x00050000};  // with the error's number
inline constexpr Action kNotify{0x7fc00000};
inline constexpr Action kTrace{0x7ff00000};  // with what the tracer is told
inline constexpr Action kLog{0x7ffc0000};
inline constexpr Action kAllow{0x7fff0000};

inline constexpr std::uint32_t kActionData = 0xffff;
constexpr Action without_data(Action action) { return {action.value & ~kActionData}; }
// Whether the call is made.
constexpr bool permits(Action action) { return without_data(action) == kAllow || without_data(action) == kLog; }

// "errno(EPERM)". Values that the kernel does not know read as "kill (unknown action 0x...)": that is what it does.
std::string write_action(Action action);
Result<Action> read_action(std::string_view text);

enum class Comparison : std::uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

inline constexpr std::uint64_t kLower32 = 0xffffffff;  // the mask of argN:32

struct ArgumentTest {
  std::uint8_t argument = 0;  // 0 to 5
  std::uint64_t mask = ~std::uint64_t{0};
  Comparison comparison = Comparison::kEqual;
  std::uint64_t value = 0;
  friend bool operator==(const ArgumentTest&, const ArgumentTest&) = default;
};

struct Rule {
  Action action{};
  std::vector<std::string> syscalls{};
  // Fits when all tests of one of the lists hold; no lists: always.
  std::vector<std::vector<ArgumentTest>> any_of{};
  Span place{};  // in the policy's text, for warnings; not compared
  friend bool operator==(const Rule& a, const Rule& b) {
    return a.action == b.action && a.syscalls == b.syscalls && a.any_of == b.any_of;
  }
};

struct Policy {
  std::vector<Architecture> architectures{};  // none: the native one
  Action otherwise = kKillProcess;
  Action mismatch = kKillProcess;
  std::vector<Rule> rules{};
  friend bool operator==(const Policy&, const Policy&) = default;
};

// What is said of a policy with neither a default nor rules, in any form.
inline constexpr const char* kEmptyPolicy = "the policy says nothing: it would kill at every call";

// Errors have a Span into the text.
Result<Policy> parse_policy(std::string_view text);
// parse_policy() reads it back as the same policy.
std::string write_policy(const Policy& policy);
std::string write_rule(const Rule& rule);          // without the end of line
std::string write_test(const ArgumentTest& test);  // "arg0:32 == 0x10"
// A number as policies have it: decimal, 0x..., octal, negative (two's complement), or a constant's name.
Result<std::uint64_t> read_number(std::string_view text);
// The comparison's name in policies: "==".
std::string_view name_of(Comparison comparison);

struct CompiledPolicy {
  cbpf::Checked program;  // for Target::kSeccomp
  // Calls that no architecture has, rules that never act, and rules that a call gets around; places are spans of the
  // text that the policy was read from.
  Warnings warnings;
};
// Numbers are found by a balanced search, so a policy of n calls costs log n tests.
Result<CompiledPolicy> compile_policy(const Policy& policy);

struct InstallOptions {
  bool log = false;         // SECCOMP_FILTER_FLAG_LOG: actions but allow are logged
  bool all_threads = true;  // SECCOMP_FILTER_FLAG_TSYNC
};
// Installs the filter for this process, for good. Sets no_new_privs, so it needs no privilege.
Status install(const cbpf::Checked& program, const InstallOptions& options = {});

// The filters of a running process, the newest first (PTRACE_SECCOMP_GET_FILTER): needs CAP_SYS_ADMIN.
Result<std::vector<cbpf::Program>> filters_of_process(int process);

}  // namespace weir::kernel
