// Filters of processes. Exports install and filters_of_process.
#include <weir/kernel/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace weir::kernel {

Status install(const cbpf::Checked& program, const InstallOptions& options) {
  if (program.target() != cbpf::Target::kSeccomp) {
    std::vector<Error> broken = cbpf::violations(program.program(), {.target = cbpf::Target::kSeccomp});
    if (!broken.empty()) return fail(std::move(broken.front()));
  }
  std::vector<sock_filter> code;
  for (const cbpf::Instruction& i : program.program()) code.push_back({i.code, i.jt, i.jf, i.k});
  sock_fprog given{};
  given.len = static_cast<unsigned short>(code.size());
  given.filter = code.data();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(system_failure("cannot set no_new_privs", errno));
  unsigned flags = options.log ? SECCOMP_FILTER_FLAG_LOG : 0;
  if (options.all_threads) flags |= SECCOMP_FILTER_FLAG_TSYNC;
  const long refused = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &given);
  if (refused == 0) return {};
  if (refused > 0)
    return fail(Error{.code = ErrorCode::kSystem,
                      .message = fmt::format("the filter does not fit to that of thread {}", refused)});
  Error error = system_failure("the kernel refuses the filter", errno);
  if (error.system_error == ENOMEM) error.hint = "all filters of a process together have at most 32768 instructions";
  return fail(std::move(error));
}

namespace {

// A process that is stopped until this goes: it gets the signal at which it stopped, and one that was stopped before
// stays so. PTRACE_ATTACH would send a SIGSTOP, which could come after the stop for another signal.
class Stopped {
 public:
  static Result<Stopped> stop(int process, const std::string& what) {
    if (::ptrace(PTRACE_SEIZE, process, nullptr, nullptr) != 0 ||
        ::ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr) != 0)
      return fail(system_failure(what, errno));
    int status = 0;
    while (::waitpid(process, &status, __WALL) < 0)
      if (errno != EINTR) return fail(system_failure(what, errno));
    if (!WIFSTOPPED(status)) return fail(Error{.code = ErrorCode::kSystem, .message = what + ": it ended"});
    return Stopped(process, status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status));
  }
  ~Stopped() {
    if (process_ != 0) (void)::ptrace(PTRACE_DETACH, process_, nullptr, reinterpret_cast<void*>(signal_));
  }
  Stopped(Stopped&& other) noexcept : process_(std::exchange(other.process_, 0)), signal_(other.signal_) {}
  Stopped& operator=(Stopped&&) = delete;

 private:
  Stopped(int process, std::intptr_t signal) : process_(process), signal_(signal) {}
  int process_;
  std::intptr_t signal_;
};

}  // namespace

Result<std::vector<cbpf::Program>> filters_of_process(int process) {
  constexpr auto kGetFilter = static_cast<__ptrace_request>(0x420c);  // PTRACE_SECCOMP_GET_FILTER
  const std::string what = fmt::format("cannot read the filters of process {}", process);
  WEIR_TRY(const Stopped stopped, Stopped::stop(process, what));
  std::vector<cbpf::Program> filters;
  int error = 0;
  for (std::uintptr_t index = 0;; ++index) {
    const long count = ::ptrace(kGetFilter, process, reinterpret_cast<void*>(index), nullptr);
    if (count < 0) {
      // ENOENT: there are no more; EINVAL: the process has none.
      if (errno != ENOENT && !(errno == EINVAL && index == 0)) error = errno;
      break;
    }
    std::vector<sock_filter> code(static_cast<std::size_t>(count));
    if (::ptrace(kGetFilter, process, reinterpret_cast<void*>(index), code.data()) < 0) {
      error = errno;
      break;
    }
    std::vector<cbpf::Instruction> instructions;
    for (const sock_filter& i : code) instructions.push_back({i.code, i.jt, i.jf, i.k});
    filters.emplace_back(std::move(instructions));
  }
  // The kernel counts from the oldest.
  std::reverse(filters.begin(), filters.end());
  if (error == 0) return filters;
  Error made = system_failure(what, error);
  if (error == EACCES || error == EPERM) made.hint = "it needs CAP_SYS_ADMIN, and no filter of its own";
  return fail(std::move(made));
}

}  // namespace weir::kernel
