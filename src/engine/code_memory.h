// Memory that holds machine code. Exports CodeMemory.
//
// Code is copied into fresh pages that are writable and not executable, and then made executable and not writable:
// never both at once. The pages live as long as the object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <weir/base/error.h>

namespace weir::engine {

class CodeMemory {
 public:
  CodeMemory() = default;
  ~CodeMemory();
  CodeMemory(CodeMemory&& other) noexcept : pages_(std::exchange(other.pages_, nullptr)), size_(other.size_) {}
  CodeMemory& operator=(CodeMemory&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(size_, other.size_);
    return *this;
  }

  const void* start() const { return pages_; }
  std::size_t size() const { return size_; }

  // Writable pages of at least `size` bytes, for the caller to fill; seal() makes them executable.
  static Result<CodeMemory> allocate(std::size_t size);
  void* writable() { return pages_; }
  Status seal();

 private:
  void* pages_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace weir::engine
