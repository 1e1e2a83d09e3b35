// Memory that holds machine code. Exports CodeMemory.
//
// Code is copied into pages that are writable and not executable, which are then made executable and not writable:
// never both at once. They belong to the object as long as it lives. Pages for small code are taken from chunks that
// are mapped once and used again, since mapping and unmapping takes as long as making a small filter's code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <weir/base/error.h>

namespace weir::engine {

struct CodeChunk;

// Any thread may make and destroy objects.
class CodeMemory {
 public:
  CodeMemory() = default;
  ~CodeMemory();
  CodeMemory(CodeMemory&& other) noexcept
      : pages_(std::exchange(other.pages_, nullptr)), size_(other.size_), chunk_(other.chunk_) {}
  CodeMemory& operator=(CodeMemory&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(size_, other.size_);
    std::swap(chunk_, other.chunk_);
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
  CodeChunk* chunk_ = nullptr;  // where the pages are from; null: from a mapping of their own
};

}  // namespace weir::engine
