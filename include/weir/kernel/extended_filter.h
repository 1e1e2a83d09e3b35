// Classic programs that are too long for the kernel, run in it all the same: as extended programs with a map.
//
// The kernel takes 4096 classic instructions, and a million extended ones. Long runs of comparisons of one value with
// constants, which is what makes filters long, become one lookup in a hash map. The verdict is the same, bit by bit.
// It needs CAP_BPF (or kernel.unprivileged_bpf_disabled = 0). Movable; closes its descriptors when it goes: attach
// first (weir/kernel/socket_filter.h, attach_extended), the socket keeps the program.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/cbpf/program.h>

namespace weir::kernel {

class ExtendedFilter {
 public:
  // ErrorCode::kUnsupported for loads that have no equal (nla, poff, hatype); kLimit where jumps get too long.
  static Result<ExtendedFilter> load(const cbpf::Checked& program);

  int descriptor() const { return program_.get(); }
  std::size_t instructions() const { return instructions_; }
  std::size_t map_entries() const { return map_entries_; }

 private:
  ExtendedFilter() = default;
  FileDescriptor program_;
  std::vector<FileDescriptor> maps_;
  std::size_t instructions_ = 0;
  std::size_t map_entries_ = 0;
};

}  // namespace weir::kernel
