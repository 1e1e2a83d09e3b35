// Bytes from a file, decompressed where they are compressed, and a window over them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/capture/source.h>

#include "capture/mapping.h"

namespace weir::capture {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills the front of `into` (not empty); 0 at the end. Bytes before damage come before the error.
  virtual Result<std::size_t> read(std::span<std::uint8_t> into) = 0;
  // Reads on from this offset; only for streams that are a regular file.
  virtual Status seek(std::uint64_t offset);
  // The file in memory, where the stream is a regular file from its start.
  virtual std::unique_ptr<Mapping> map() { return nullptr; }
  // Whether read() would wait for somebody else to write.
  virtual bool would_wait() const { return false; }
  // Whether it reads memory of the caller's, which no other thread may touch once the stream is gone.
  virtual bool borrows() const { return false; }
};

std::unique_ptr<ByteStream> file_stream(FileDescriptor file, std::string name);
std::unique_ptr<ByteStream> memory_stream(ByteSpan bytes);  // borrows
// Reads ahead on a thread of its own.
std::unique_ptr<ByteStream> threaded_stream(std::unique_ptr<ByteStream> stream);

struct OpenedStream {
  std::unique_ptr<ByteStream> stream;
  Compression compression = Compression::kNone;
};
// Decompresses when the first bytes tell a compression.
Result<OpenedStream> decompressed(std::unique_ptr<ByteStream> stream);

// The unread part of a stream, as contiguous bytes.
class Window {
 public:
  // Stays inside of a core's second-level cache.
  static constexpr std::size_t kCapacity = 256 * 1024;
  // Kept of what one long record has made it grow to.
  static constexpr std::size_t kKept = 4 * 1024 * 1024;

  explicit Window(std::unique_ptr<ByteStream> stream, std::size_t capacity = kCapacity)
      : stream_(std::move(stream)),
        capacity_(capacity),
        usual_(capacity),
        buffer_(static_cast<std::uint8_t*>(std::malloc(capacity))) {
    if (buffer_ == nullptr) throw std::bad_alloc();
  }

  ByteSpan bytes() const { return {buffer_.get() + begin_, end_ - begin_}; }
  std::uint64_t offset() const { return offset_; }  // of bytes().front() in the decompressed stream
  void skip(std::size_t count) {
    begin_ += count;
    offset_ += count;
  }
  // Reads on until `wanted` bytes are there; false when the stream ends or fails before. Moves unread bytes, so old
  // views die.
  bool fill(std::size_t wanted);
  // Reads once more behind what is there, if there is room; false when the stream ends or fails. Old views die.
  bool more();
  bool would_wait() const { return mapping_ == nullptr && stream_ != nullptr && stream_->would_wait(); }
  // From now on region() is the rest of this mapping, and fill() reads where skip_region() has led to.
  void use(std::unique_ptr<Mapping> mapping) { mapping_ = std::move(mapping); }
  const Mapping* mapping() const { return mapping_.get(); }
  // What follows, as far as it is in memory.
  ByteSpan region() const {
    return mapping_ ? mapping_->bytes().subspan(std::min<std::uint64_t>(offset_, mapping_->bytes().size())) : bytes();
  }
  void skip_region(std::uint64_t count);
  // Why the stream gave no more bytes: nothing for its plain end.
  const std::optional<Error>& failure() const { return failure_; }
  std::size_t capacity() const { return capacity_; }

 private:
  struct Free {
    void operator()(std::uint8_t* at) const { std::free(at); }
  };

  void move_to_front();
  void resize(std::size_t capacity);
  void end();

  std::unique_ptr<ByteStream> stream_;
  std::size_t capacity_;
  std::size_t usual_;                             // capacity
  std::unique_ptr<std::uint8_t[], Free> buffer_;  // not zeroed: of a mapped file it stays unused
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;
  bool ended_ = false;
  bool moved_ = false;  // the stream must be led to offset_ before it is read
  std::unique_ptr<Mapping> mapping_;
  std::optional<Error> failure_;
};

}  // namespace weir::capture
