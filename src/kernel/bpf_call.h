// bpf(2) with its errors. Exports bpf_call, open_object, pin_object. The only caller of this system call in the
// library.
#pragma once

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <weir/base/error.h>
#include <weir/base/file.h>

namespace weir::kernel {

inline bpf_attr empty_attributes() {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  return attributes;
}
inline std::uint64_t pointer_of(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

// The result, or the error with the command's name.
inline Result<int> bpf_call(int command, bpf_attr& attributes, const char* name) {
  long result;
  do {
    result = syscall(SYS_bpf, command, &attributes, sizeof attributes);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return fail(system_failure(name, errno));
  return static_cast<int>(result);
}

inline Result<FileDescriptor> open_object(const std::string& path) {
  bpf_attr attributes = empty_attributes();
  attributes.pathname = pointer_of(path.c_str());
  WEIR_TRY(const int descriptor, bpf_call(BPF_OBJ_GET, attributes, "BPF_OBJ_GET"));
  return FileDescriptor(descriptor);
}

inline Status pin_object(int descriptor, const std::string& path) {
  bpf_attr attributes = empty_attributes();
  attributes.pathname = pointer_of(path.c_str());
  attributes.bpf_fd = static_cast<std::uint32_t>(descriptor);
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_OBJ_PIN, attributes, "BPF_OBJ_PIN"));
  return {};
}

}  // namespace weir::kernel
