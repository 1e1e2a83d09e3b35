// Buffered output to a file that gets its name at the end.
#pragma once

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <weir/base/bytes.h>
#include <weir/base/file.h>
#include <weir/capture/sink.h>

namespace weir::capture {

class Output {
 public:
  explicit Output(ReplacingFile file)
      : file_(std::move(file)), buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(kCapacity + kSlack)) {
    struct stat status {};
    is_device_ = ::fstat(file_.descriptor(), &status) == 0 && S_ISCHR(status.st_mode);
  }

  Status append(ByteSpan bytes) {
    if (bytes.size() > kCapacity - size_) {
      WEIR_CHECK(flush());
      if (bytes.size() >= kCapacity) return write_all(file_.descriptor(), bytes, file_.path());
    }
    if (!bytes.empty()) std::memcpy(buffer_.get() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
    return {};
  }

  // Ranges of bytes of the source's region, in order. Long ones are written from where they are, many in one call;
  // short ones are gathered first, since each costs the system more than a copy. Where the source's file became shorter
  // meanwhile that is the error, and nothing of the ranges is written: to what cannot be changed later go copies that
  // were looked at once more.
  Status append(const std::uint8_t* base, std::span<const Range> ranges, const Source& source);

  // Whether bytes already written can be changed: only in a file of our own. A stream that was handed in may be a pipe,
  // append only, or hold what others wrote before.
  bool can_patch() const { return file_.is_new(); }

  // Overwrites bytes at `offset`, which were appended before. Only when can_patch().
  Status patch(std::uint64_t offset, ByteSpan bytes) {
    WEIR_CHECK(flush());
    const ssize_t written = ::pwrite(file_.descriptor(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written == static_cast<ssize_t>(bytes.size())) return {};
    return fail(system_failure("cannot write '" + file_.path() + "'", written < 0 ? errno : ENOSPC));
  }

  Status flush() {
    const Status status = write_all(file_.descriptor(), ByteSpan(buffer_.get(), size_), file_.path());
    size_ = 0;
    return status;
  }

  Status commit() {
    WEIR_CHECK(flush());
    return file_.commit();
  }

 private:
  static constexpr std::size_t kCapacity = 256 * 1024;
  static constexpr std::size_t kSlack = 128;  // behind it, which a copy in large pieces may write
  Status append(const std::uint8_t* base, std::span<const Range> ranges);
  Status append_copies(const std::uint8_t* base, std::span<const Range> ranges, const Source& source);
  Status gather(const std::uint8_t* base, std::span<const Range> ranges);
  void take_back(std::uint64_t end);
  ReplacingFile file_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t size_ = 0;    // of what is in it
  bool is_device_ = false;  // /dev/null, a terminal
};

// Numbers appended to bytes, in the byte order of this host: what both formats are written in.
template <typename T>
void append_number(std::vector<std::uint8_t>& to, T value) {
  std::uint8_t bytes[sizeof value];
  store(bytes, value, std::endian::native);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

}  // namespace weir::capture
