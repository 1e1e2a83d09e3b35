// Memory of one pass: the first kilobytes lie on the stack, so that small programs cost no allocations.
//
// Nothing is given back before the end, so vectors that grow step by step are better kept elsewhere.
#pragma once

#include <array>
#include <cstddef>
#include <memory_resource>
#include <vector>

namespace weir {

template <typename T>
using ScratchVector = std::pmr::vector<T>;

class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <typename T>
  operator std::pmr::polymorphic_allocator<T>() {  // NOLINT: for any vector
    return &arena_;
  }

 private:
  alignas(std::max_align_t) std::array<std::byte, 12288> bytes_;
  std::pmr::monotonic_buffer_resource arena_{bytes_.data(), bytes_.size()};
};

}  // namespace weir
