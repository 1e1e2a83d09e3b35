// bpf(2) for tests that ask the running kernel. The library's own wrappers are not used, so that they can be tested
// too.
#pragma once

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace weir::tests {

// The result, or a negative errno.
inline int bpf(int command, bpf_attr& attributes) {
  const long result = syscall(SYS_bpf, command, &attributes, sizeof attributes);
  return result < 0 ? -errno : static_cast<int>(result);
}

inline bpf_attr no_attributes() {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  return attributes;
}

inline int make_kernel_map(unsigned type, unsigned key, unsigned value, unsigned entries, unsigned flags = 0) {
  bpf_attr attributes = no_attributes();
  attributes.map_type = type;
  attributes.key_size = key;
  attributes.value_size = value;
  attributes.max_entries = entries;
  attributes.map_flags = flags;
  return bpf(BPF_MAP_CREATE, attributes);
}

inline std::uint64_t pointer(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

// A descriptor of the loaded program, or a negative errno; the log where it was refused.
inline int load_kernel_program(unsigned type, const void* slots, unsigned count, std::string* log = nullptr) {
  bpf_attr attributes = no_attributes();
  static const char kLicense[] = "GPL";
  attributes.prog_type = type;
  attributes.insns = pointer(slots);
  attributes.insn_cnt = count;
  attributes.license = pointer(kLicense);
  std::vector<char> text(log != nullptr ? 1 << 16 : 0);
  if (log != nullptr) {
    attributes.log_buf = pointer(text.data());
    attributes.log_size = static_cast<unsigned>(text.size());
    attributes.log_level = 1;
  }
  const int result = bpf(BPF_PROG_LOAD, attributes);
  if (log != nullptr) *log = text.data();
  return result;
}

// Runs a loaded program over a packet: 0 or a negative errno, and its result.
inline int test_run(int program, const void* packet, unsigned size, std::uint32_t& result) {
  bpf_attr attributes = no_attributes();
  attributes.test.prog_fd = static_cast<unsigned>(program);
  attributes.test.data_in = pointer(packet);
  attributes.test.data_size_in = size;
  const int status = bpf(BPF_PROG_TEST_RUN, attributes);
  result = attributes.test.retval;
  return status;
}

}  // namespace weir::tests

// Skips the running test where the kernel does not let us make a map.
#define WEIR_REQUIRE_KERNEL_BPF()                                                             \
  if (const int probe = weir::tests::make_kernel_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1); probe < 0) \
    GTEST_SKIP() << "no bpf(2): " << std::strerror(-probe);                                   \
  else close(probe)
