// bpf(2) with its errors. Exports what bpf_call.h declares. Source: bpf(2); kernel/bpf/syscall.c.
#include "kernel/bpf_call.h"

#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

namespace weir::kernel {

Result<int> bpf_call(int command, bpf_attr& attributes, const char* name) {
  long result;
  do {
    result = syscall(SYS_bpf, command, &attributes, sizeof attributes);
  } while (result < 0 && errno == EINTR);
  if (result >= 0) return static_cast<int>(result);
  Error error = system_failure(name, errno);
  constexpr int kNotSupported = 524;  // ENOTSUPP, the kernel's own number
  if (errno == EPERM || errno == EACCES) error.hint = "bpf(2) needs CAP_BPF, often CAP_NET_ADMIN too (root has them)";
  if (error.system_error == ENOSYS) error.hint = "this kernel has no bpf(2)";
  if (error.system_error == kNotSupported) error.message = fmt::format("{}: Operation not supported", name);
  return fail(std::move(error));
}

Result<FileDescriptor> open_object(const std::string& path) {
  bpf_attr attributes = empty_attributes();
  attributes.pathname = pointer_of(path.c_str());
  Result<int> descriptor = bpf_call(BPF_OBJ_GET, attributes, "BPF_OBJ_GET");
  if (descriptor) return FileDescriptor(*descriptor);
  Error error = std::move(descriptor).error();
  error.source = path;
  if (error.system_error == EACCES) error.hint = "a pin lies in a file system of type bpf, usually /sys/fs/bpf";
  return fail(std::move(error));
}

Status pin_object(int descriptor, const std::string& path) {
  // Else EINVAL, as for a path outside of a BPF file system.
  if (descriptor < 0) return fail(system_failure("BPF_OBJ_PIN", EBADF));
  bpf_attr attributes = empty_attributes();
  attributes.pathname = pointer_of(path.c_str());
  attributes.bpf_fd = static_cast<std::uint32_t>(descriptor);
  Result<int> done = bpf_call(BPF_OBJ_PIN, attributes, "BPF_OBJ_PIN");
  if (done) return {};
  Error error = std::move(done).error();
  error.source = path;
  const std::string name = path.substr(path.rfind('/') + 1);
  struct statfs system {};
  const bool there = statfs(path.substr(0, path.size() - name.size()).c_str(), &system) == 0;
  if (error.system_error == EPERM && there && system.f_type == BPF_FS_MAGIC && name.find('.') != std::string::npos)
    error.hint = "names in a BPF file system have no dots";
  else if (error.system_error == EPERM || error.system_error == EINVAL)
    error.hint = "pins need a file system of type bpf: mount -t bpf bpf /sys/fs/bpf";
  return fail(std::move(error));
}

Result<FileDescriptor> object_by_id(int command, std::uint32_t id, const char* name) {
  bpf_attr attributes = empty_attributes();
  attributes.map_id = id;
  WEIR_TRY(const int descriptor, bpf_call(command, attributes, name));
  return FileDescriptor(descriptor);
}

std::map<std::string, std::string> fd_info(int descriptor) {
  std::map<std::string, std::string> lines;
  std::ifstream file(fmt::format("/proc/self/fdinfo/{}", descriptor));
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    const std::size_t value = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    if (value != std::string::npos) lines[line.substr(0, colon)] = line.substr(value);
  }
  return lines;
}

void copy_name(char (&to)[BPF_OBJ_NAME_LEN], std::string_view name) {
  for (std::size_t i = 0; i < name.size() && i + 1 < sizeof to; ++i) {
    const char c = name[i];
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    to[i] = good ? c : '_';
  }
}

std::uint32_t running_kernel() {
  utsname name{};
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%u.%u.%u", &major, &minor, &patch) < 2) return 0;
  return kernel_version(major, minor) | std::min(patch, 255u);
}

std::string last_words(std::string_view log) {
  std::string_view last;
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    const std::string_view line = log.substr(0, end);
    if (!line.empty() && line.substr(0, 9) != "processed" && line.substr(0, 17) != "verification time") last = line;
    log = end == std::string_view::npos ? std::string_view() : log.substr(end + 1);
  }
  return std::string(last);
}

}  // namespace weir::kernel
