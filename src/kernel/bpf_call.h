// bpf(2) with its errors. Exports bpf_call, object_info, open_object, pin_object, fd_info. The only caller of this
// system call in the library, beside program_image.cpp.
#pragma once

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include <weir/base/error.h>
#include <weir/base/file.h>

namespace weir::kernel {

// All bytes 0, those between and behind the members included: the kernel refuses structures where they are not.
template <typename T>
void set_zero(T& structure) {
  std::memset(&structure, 0, sizeof structure);
}
inline bpf_attr empty_attributes() {
  bpf_attr attributes;
  set_zero(attributes);
  return attributes;
}
inline std::uint64_t pointer_of(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

// The result, or the error with the command's name, and for missing privileges what would help.
Result<int> bpf_call(int command, bpf_attr& attributes, const char* name);

// BPF_OBJ_GET_INFO_BY_FD into this struct.
template <typename Info>
Status object_info(int descriptor, Info& info) {
  // Else EBADFD, which no other call gives.
  if (descriptor < 0) return fail(system_failure("BPF_OBJ_GET_INFO_BY_FD", EBADF));
  bpf_attr attributes = empty_attributes();
  attributes.info.bpf_fd = static_cast<std::uint32_t>(descriptor);
  attributes.info.info_len = sizeof info;
  attributes.info.info = pointer_of(&info);
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_OBJ_GET_INFO_BY_FD, attributes, "BPF_OBJ_GET_INFO_BY_FD"));
  return {};
}

Result<FileDescriptor> open_object(const std::string& path);
Status pin_object(int descriptor, const std::string& path);
Result<FileDescriptor> object_by_id(int command, std::uint32_t id, const char* name);

// The lines "key: value" of /proc/self/fdinfo for this descriptor.
std::map<std::string, std::string> fd_info(int descriptor);

// Letters, digits, '_' and '.' stay, anything else becomes '_': what the kernel takes for names; cut to 15 bytes.
void copy_name(char (&to)[BPF_OBJ_NAME_LEN], std::string_view name);

// LINUX_VERSION_CODE of the running kernel; 0 where it does not tell.
std::uint32_t running_kernel();
constexpr std::uint32_t kernel_version(unsigned major, unsigned minor) { return major << 16 | minor << 8; }

// The last line of a verifier's log that is not its summary.
std::string last_words(std::string_view log);

}  // namespace weir::kernel
