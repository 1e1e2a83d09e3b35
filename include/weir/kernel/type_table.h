// Types in the running kernel (BTF): what programs and maps refer to, so that the kernel can name them.
//
// The bytes are those of a section .BTF; weir/object/btf.h reads them. A table lives as long as a descriptor, a program
// or a map refers to it. Movable, not copyable; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/ebpf/program.h>

namespace weir::kernel {

class TypeTable {
 public:
  // The kernel checks the bytes; the last line of its log is the error's hint.
  static Result<TypeTable> load(ByteSpan bytes);
  static Result<TypeTable> open_id(std::uint32_t id);

  int descriptor() const { return descriptor_.get(); }
  Result<std::uint32_t> id() const;
  Result<std::string> name() const;  // "vmlinux" or a module's name for the kernel's own, else empty
  // The bytes as they were loaded.
  Result<std::vector<std::uint8_t>> bytes() const;

 private:
  explicit TypeTable(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

// The smallest table that lets a program carry the names of its functions and its source lines: every function takes
// nothing and returns int. `functions` and `lines` are the kernel's records for them (struct bpf_func_info, struct
// bpf_line_info: four words each).
struct ProgramTypes {
  std::vector<std::uint8_t> bytes{};
  std::vector<std::uint32_t> functions{};  // two words each
  std::vector<std::uint32_t> lines{};      // four words each
};
ProgramTypes types_of(const ebpf::Program& program);

}  // namespace weir::kernel
