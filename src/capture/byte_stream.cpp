// Streams of plain bytes, and the window that readers look through. Exports file_stream, memory_stream and Window.
//
// A window keeps what is unread at the front of one buffer and reads behind it in large pieces: one system call and one
// copy a 256 KiB, the fastest way to read a file that need not be mapped (and the only one for pipes).
#include "capture/byte_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace weir::capture {
namespace {

class FileStream final : public ByteStream {
 public:
  FileStream(FileDescriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    for (;;) {
      const ssize_t got = ::read(file_.get(), into.data(), into.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail(system_failure("cannot read " + name_, errno));
    }
  }

 private:
  FileDescriptor file_;
  std::string name_;
};

class MemoryStream final : public ByteStream {
 public:
  explicit MemoryStream(ByteSpan bytes) : bytes_(bytes) {}
  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    const std::size_t count = std::min(into.size(), bytes_.size());
    if (count > 0) std::memcpy(into.data(), bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  ByteSpan bytes_;
};

}  // namespace

std::unique_ptr<ByteStream> file_stream(FileDescriptor file, std::string name) {
  return std::make_unique<FileStream>(std::move(file), std::move(name));
}

std::unique_ptr<ByteStream> memory_stream(ByteSpan bytes) { return std::make_unique<MemoryStream>(bytes); }

bool Window::fill(std::size_t wanted) {
  if (end_ - begin_ >= wanted) return true;
  if (ended_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ < wanted) {
    // Grows with the bytes that come, not with what a length field claims.
    if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
    const Result<std::size_t> got = stream_->read(std::span(buffer_).subspan(end_));
    if (!got) {
      failure_ = got.error();
      if (std::holds_alternative<std::monostate>(failure_->place)) failure_->place = OffsetPlace{offset_ + end_};
    }
    if (!got || *got == 0) {
      ended_ = true;
      return false;
    }
    end_ += *got;
  }
  return true;
}

}  // namespace weir::capture
