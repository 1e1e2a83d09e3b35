// Streams of plain bytes, and the window that readers look through. Exports file_stream, memory_stream and Window.
//
// A window keeps what is unread at the front of one buffer and reads behind it in large pieces: one system call and one
// copy a 256 KiB, the fastest way to read a file that need not be mapped (and the only one for pipes).
#include "capture/byte_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <unistd.h>

namespace weir::capture {
namespace {

class FileStream final : public ByteStream {
 public:
  FileStream(FileDescriptor file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), at_start_(::lseek(file_.get(), 0, SEEK_CUR) == 0) {
    // A pipe holds 64 KiB, and whoever writes it waits as often; more is only asked for, and refused for other files.
    ::fcntl(file_.get(), F_SETPIPE_SZ, 1 << 20);
  }

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    for (;;) {
      const ssize_t got = ::read(file_.get(), into.data(), into.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail(system_failure("cannot read " + name_, errno));
    }
  }

  Status seek(std::uint64_t offset) override {
    if (::lseek(file_.get(), static_cast<off_t>(offset), SEEK_SET) >= 0) return {};
    return fail(system_failure("cannot read " + name_, errno));
  }

  bool would_wait() const override {
    pollfd wait{file_.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 0;
  }

  std::unique_ptr<Mapping> map() override { return at_start_ ? Mapping::map(file_.get()) : nullptr; }

 private:
  FileDescriptor file_;
  std::string name_;
  bool at_start_;  // when it was opened: standard input may have been read before
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
  bool borrows() const override { return true; }

 private:
  ByteSpan bytes_;
};

}  // namespace

std::unique_ptr<ByteStream> file_stream(FileDescriptor file, std::string name) {
  return std::make_unique<FileStream>(std::move(file), std::move(name));
}

std::unique_ptr<ByteStream> memory_stream(ByteSpan bytes) { return std::make_unique<MemoryStream>(bytes); }

Status ByteStream::seek(std::uint64_t) { return fail("this stream cannot be read from another place"); }

void Window::move_to_front() {
  if (begin_ > 0 && end_ > begin_) std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

// With what is unread at the front. The system moves large buffers without a copy of them beside.
void Window::resize(std::size_t capacity) {
  void* const other = std::realloc(buffer_.get(), capacity);
  if (other == nullptr) throw std::bad_alloc();
  static_cast<void>(buffer_.release());
  buffer_.reset(static_cast<std::uint8_t*>(other));
  capacity_ = capacity;
}

// Nothing more will come: what is no longer needed is let go. A mapping needs its file.
void Window::end() {
  ended_ = true;
  if (mapping_ == nullptr) stream_.reset();
  if (begin_ == end_) {
    begin_ = end_ = 0;
    buffer_.reset();
  }
}

bool Window::more() {
  if (ended_) return false;
  if (moved_) {
    moved_ = false;
    if (Status status = stream_->seek(offset_); !status) {
      failure_ = status.error();
      end();
      return false;
    }
  }
  move_to_front();
  if (capacity_ > std::max(kKept, usual_) && end_ < usual_) resize(usual_);
  if (end_ == capacity_) return true;
  const Result<std::size_t> got = stream_->read({buffer_.get() + end_, capacity_ - end_});
  if (!got) {
    failure_ = got.error();
    if (std::holds_alternative<std::monostate>(failure_->place)) failure_->place = OffsetPlace{offset_ + end_};
  }
  if (!got || *got == 0) {
    end();
    return false;
  }
  end_ += *got;
  return true;
}

bool Window::fill(std::size_t wanted) {
  while (end_ - begin_ < wanted) {
    // Grows with the bytes that come, not with what a length field claims.
    if (begin_ == 0 && end_ == capacity_) resize(std::min(2 * capacity_, wanted + usual_));
    if (!more()) return false;
  }
  return true;
}

void Window::skip_region(std::uint64_t count) {
  if (count <= end_ - begin_) return skip(static_cast<std::size_t>(count));
  begin_ = end_ = 0;
  offset_ += count;
  moved_ = true;
}

}  // namespace weir::capture
