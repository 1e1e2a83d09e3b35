// Capabilities and users. Exports drop_capabilities, find_user, become.
#include <weir/kernel/privileges.h>

#include <cerrno>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir::kernel {

Status drop_capabilities(Keep keep) {
  // A program that root starts gets all capabilities back, unless this bit is set (capabilities(7)); that itself needs
  // a capability, so its failure without privilege is fine.
  (void)::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(system_failure("cannot give up privileges", errno));
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct wanted[_LINUX_CAPABILITY_U32S_3]{};
  if (keep == Keep::kFileAccess) {
    __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &header, now) != 0) return fail(system_failure("cannot ask for capabilities", errno));
    constexpr std::uint32_t kBit = std::uint32_t{1} << CAP_DAC_OVERRIDE;
    wanted[0].effective = wanted[0].permitted = now[0].permitted & kBit;
  }
  if (::syscall(SYS_capset, &header, wanted) != 0) return fail(system_failure("cannot give up capabilities", errno));
  return {};
}

Result<User> find_user(const std::string& name) {
  errno = 0;
  const passwd* found = ::getpwnam(name.c_str());
  if (found == nullptr)
    return fail(
        Error{.code = ErrorCode::kBadInput, .message = "there is no user '" + name + "'", .system_error = errno});
  return User{name, found->pw_uid, found->pw_gid};
}

Status become(const User& user) {
  if (::initgroups(user.name.c_str(), user.group) != 0 || ::setresgid(user.group, user.group, user.group) != 0 ||
      ::setresuid(user.user, user.user, user.user) != 0)
    return fail(system_failure("cannot become the user '" + user.name + "'", errno));
  return drop_capabilities();
}

}  // namespace weir::kernel
