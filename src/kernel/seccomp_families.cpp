// The table of families. Exports families, names_in, multiplexers_of.
//
// A filter that denies one member and lets another through has denied nothing. Names that an architecture does not
// have are passed over. Sources: the calls' manual pages; ipc(2), socketcall(2).
#include "seccomp_families.h"

#include <algorithm>

namespace weir::kernel {
namespace {

constexpr Family kFamilies[] = {
    {"open files", "open openat openat2 creat open_by_handle_at"},
    {"run programs", "execve execveat"},
    {"make processes", "clone clone3", "fork vfork"},
    {"send signals", "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal"},
    {"send messages", "sendto sendmsg sendmmsg send"},
    {"receive messages", "recvfrom recvmsg recvmmsg recvmmsg_time64 recv"},
    {"reach another process's memory", "ptrace process_vm_readv process_vm_writev"},
    {"rename files", "rename renameat renameat2"},
    {"remove files", "unlink unlinkat"},
    {"remove directories", "rmdir unlinkat"},
    {"change modes of files", "chmod fchmod fchmodat fchmodat2"},
    {"change owners of files", "chown fchown lchown fchownat chown32 fchown32 lchown32"},
    {"make hard links", "link linkat"},
    {"make symbolic links", "symlink symlinkat"},
    {"make directories", "mkdir mkdirat"},
    {"make device files", "mknod mknodat"},
    {"mount file systems", "mount fsmount move_mount open_tree open_tree_attr fsopen fspick fsconfig mount_setattr"},
    {"unmount file systems", "umount umount2"},
    {"change user identities", "setuid setreuid setresuid setfsuid setuid32 setreuid32 setresuid32 setfsuid32"},
    {"change group identities", "setgid setregid setresgid setfsgid setgid32 setregid32 setresgid32 setfsgid32"},
    {"set supplementary groups", "setgroups setgroups32"},
    {"read files", "read readv pread64 preadv preadv2"},
    {"write files", "write writev pwrite64 pwritev pwritev2"},
    {"copy between files", "sendfile sendfile64 splice copy_file_range"},
    {"duplicate descriptors", "dup dup2 dup3"},
    {"accept connections", "accept accept4"},
    {"truncate files", "truncate truncate64"},
    {"set extended attributes", "setxattr lsetxattr fsetxattr setxattrat"},
    {"remove extended attributes", "removexattr lremovexattr fremovexattr removexattrat"},
    {"set times of files", "utime utimes futimesat utimensat utimensat_time64"},
    {"list directories", "getdents getdents64"},
    {"map files", "mmap mmap2"},
    {"change protections of memory", "mprotect pkey_mprotect"},
    {"load kernel modules", "init_module finit_module"},
    {"load kernels", "kexec_load kexec_file_load"},
    {"set the clock", "settimeofday clock_settime clock_settime64 stime adjtimex clock_adjtime clock_adjtime64"},
    {"reach I/O ports", "ioperm iopl"},
    {"change limits", "setrlimit prlimit64"},
    {"change scheduling", "sched_setscheduler sched_setattr sched_setparam"},
    {"change niceness", "nice setpriority"},
    {"make pipes", "pipe pipe2"},
    // Pairs for times of 32 and 64 bits.
    {"read the clock", "clock_gettime clock_gettime64"},
    {"sleep", "clock_nanosleep clock_nanosleep_time64"},
    {"use futexes", "futex futex_time64"},
    {"use semaphores", "semtimedop semtimedop_time64 semop"},
    {"wait for signals", "rt_sigtimedwait rt_sigtimedwait_time64"},
    {"wait for events", "ppoll ppoll_time64"},
    {"wait for descriptors", "pselect6 pselect6_time64"},
    {"set timers", "timer_settime timer_settime64"},
    {"set timer descriptors", "timerfd_settime timerfd_settime64"},
    {"send to queues", "mq_timedsend mq_timedsend_time64"},
    {"receive from queues", "mq_timedreceive mq_timedreceive_time64"},
};

constexpr Multiplexer kMultiplexers[] = {
    {"socketcall",
     "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
     "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg recvmmsg_time64 sendmmsg"},
    {"ipc", "semop semget semctl semtimedop semtimedop_time64 msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl"},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

std::vector<std::string_view> names_in(std::string_view list) {
  std::vector<std::string_view> names;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (end > 0) names.push_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return names;
}

bool Multiplexer::carries(std::string_view call) const {
  const std::vector<std::string_view> all = names_in(calls);
  return std::find(all.begin(), all.end(), call) != all.end();
}

// arm's EABI has numbers for both in its headers, but no call behind them.
std::span<const Multiplexer> multiplexers_of(Architecture architecture) {
  if (architecture == Architecture::kI386) return kMultiplexers;
  return {};
}

}  // namespace weir::kernel
