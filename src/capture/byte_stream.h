// Bytes from a file, decompressed where they are compressed, and a window over them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/capture/source.h>

namespace weir::capture {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills the front of `into`; 0 at the end.
  virtual Result<std::size_t> read(std::span<std::uint8_t> into) = 0;
};

struct OpenedStream {
  std::unique_ptr<ByteStream> stream;
  Compression compression = Compression::kNone;
};
Result<OpenedStream> open_stream(const std::string& path);
std::unique_ptr<ByteStream> memory_stream(ByteSpan bytes);  // borrows

// The unread part of a stream, as contiguous bytes.
class Window {
 public:
  explicit Window(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)), buffer_(kCapacity) {}

  ByteSpan bytes() const { return {buffer_.data() + begin_, end_ - begin_}; }
  std::uint64_t offset() const { return offset_; }  // of bytes().front() in the decompressed stream
  void skip(std::size_t count) {
    begin_ += count;
    offset_ += count;
  }
  // Reads on until `wanted` bytes are there or the stream ends; moves unread bytes, so old views die.
  Status fill(std::size_t wanted);
  bool ended() const { return ended_; }

 private:
  static constexpr std::size_t kCapacity = 256 * 1024;  // stays inside of a core's second-level cache
  std::unique_ptr<ByteStream> stream_;
  std::vector<std::uint8_t> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;
  bool ended_ = false;
};

}  // namespace weir::capture
