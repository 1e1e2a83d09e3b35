// Memory for many values of one size: one mapping, fixed places. Exports Slab and round_up.
//
// The values of a map lie in one stretch of memory that is never moved, so pointers stay valid and one comparison tells
// whether an address is in it. Pages come from the system when first touched.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <utility>

namespace weir::runtime {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

class Slab {
 public:
  // `count` places of `stride` bytes, all 0. Check data() for null: there may be no memory.
  Slab(std::uint64_t count, std::uint64_t stride) : stride_(stride) {
    if (__builtin_mul_overflow(count, stride, &bytes_)) return;
    if (bytes_ == 0) bytes_ = 8;
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    data_ = memory == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(memory);
    // Large tables are looked up all over: large pages, where the system has them, spare walks through page tables.
    if (data_ != nullptr && bytes_ >= kLarge) madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  ~Slab() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  std::uint8_t* data() const { return data_; }
  std::uint8_t* at(std::uint64_t index) const { return data_ + index * stride_; }
  std::uint64_t stride() const { return stride_; }
  // Whether [address, address + size) lies in the part [from, from + length) of one place.
  bool contains(std::uint64_t address, std::uint64_t size, std::uint64_t from, std::uint64_t length) const {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(data_);
    if (offset >= bytes_ || stride_ == 0) return false;
    const std::uint64_t inside = offset % stride_;
    return inside >= from && inside - from <= length && size <= length - (inside - from);
  }

 private:
  static constexpr std::uint64_t kLarge = 1u << 21;
  std::uint64_t stride_;
  std::uint64_t bytes_ = 0;
  std::uint8_t* data_ = nullptr;
};

}  // namespace weir::runtime
