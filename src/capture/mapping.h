// A file in memory that may become shorter while it is read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <weir/base/bytes.h>

namespace weir::capture {

class Mapping {
 public:
  // A regular, readable, not empty file; null where it cannot be mapped. The descriptor stays the caller's and must be
  // open as long as the mapping lives.
  static std::unique_ptr<Mapping> map(int descriptor);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  ByteSpan bytes() const { return bytes_; }
  int descriptor() const { return descriptor_; }
  // False once the file is shorter than it was: bytes behind its new end read as zero. Thread-safe.
  bool is_intact() const;

 private:
  Mapping() = default;

  ByteSpan bytes_;
  int descriptor_ = -1;
  std::size_t slot_ = 0;
};

}  // namespace weir::capture
