// Ranges of a mapped capture on their way to a file. Exports Output::append.
//
// A long range becomes an element of writev and is written from where it lies; short ones are copied into a buffer
// first, since an element costs about as much as copying a few hundred bytes. The bound is an estimate. A file of our
// own is cut again where the capture turns out to have become shorter; what goes into a pipe, which may take long to
// take it, is copied first.
// copy_file_range, which would spare the copy for nearly total matches, is not used.
#include "capture/output.h"

#include <algorithm>
#include <array>

#include <sys/uio.h>

namespace weir::capture {
namespace {

constexpr std::size_t kWorthAnElement = 256;  // bytes
constexpr std::size_t kElements = 1024;       // IOV_MAX of Linux

// The walk has seen these bytes, but since then a whole chunk: they lie in a far cache, or in none.
constexpr std::size_t kAhead = 12;          // ranges
constexpr std::uint32_t kPrefetched = 256;  // bytes of each; the processor finds the rest of a long one by itself

void prefetch(const std::uint8_t* base, const Range& range) {
  const std::uint32_t end = std::min(range.end, range.begin + kPrefetched);
  for (std::uint32_t at = range.begin; at < end; at += 64) __builtin_prefetch(base + at);
}

// Writes all elements, resuming after short writes and signals.
Status write_elements(int descriptor, std::span<iovec> elements, const std::string& path) {
  while (!elements.empty()) {
    const ssize_t written = ::writev(descriptor, elements.data(), static_cast<int>(elements.size()));
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail(system_failure("cannot write " + (path == "-" ? "standard output" : "'" + path + "'"), errno));
    }
    auto left = static_cast<std::size_t>(written);
    while (!elements.empty() && left >= elements.front().iov_len) {
      left -= elements.front().iov_len;
      elements = elements.subspan(1);
    }
    if (left > 0) {
      elements.front().iov_base = static_cast<std::uint8_t*>(elements.front().iov_base) + left;
      elements.front().iov_len -= left;
    }
  }
  return {};
}

// Copies whole pieces, of which the first is longer than most packets of a capture of short ones: a copy of just the
// bytes there are asks the processor to guess their number. Up to kSlack bytes behind the range are read and written.
void copy_pieces(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  std::memcpy(to, from, 128);
  for (std::size_t at = 128; at < size; at += 64) std::memcpy(to + at, from + at, 64);
}

}  // namespace

// Copies ranges into the buffer.
Status Output::gather(const std::uint8_t* base, std::span<const Range> ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (i + kAhead < ranges.size()) prefetch(base, ranges[i + kAhead]);
    const std::size_t size = ranges[i].end - ranges[i].begin;
    // What lies before the last range's end may be read.
    const bool in_pieces = size <= 1024 && std::uint64_t{ranges[i].end} + kSlack <= ranges.back().end;
    if (!in_pieces || size > kCapacity - size_) {
      WEIR_CHECK(append(ByteSpan(base + ranges[i].begin, size)));
      continue;
    }
    copy_pieces(buffer_.get() + size_, base + ranges[i].begin, size);
    size_ += size;
  }
  return {};
}

Status Output::append(const std::uint8_t* base, std::span<const Range> ranges) {
  std::size_t total = 0;
  for (const Range& range : ranges) total += range.end - range.begin;
  if (total < ranges.size() * kWorthAnElement || total < kCapacity / 8) {
    return gather(base, ranges);
  }
  WEIR_CHECK(flush());
  std::array<iovec, kElements> elements;
  while (!ranges.empty()) {
    const std::size_t count = std::min(ranges.size(), kElements);
    // writev reads through these pointers only; iovec serves readv too and so is not const.
    for (std::size_t i = 0; i < count; ++i)
      elements[i] = {const_cast<std::uint8_t*>(base + ranges[i].begin), ranges[i].end - ranges[i].begin};
    WEIR_CHECK(write_elements(file_.descriptor(), std::span(elements).first(count), file_.path()));
    ranges = ranges.subspan(count);
  }
  return {};
}

// Ends the output behind this many bytes: of what is in the file, or still in the buffer.
void Output::take_back(std::uint64_t end) {
  const auto written = static_cast<std::uint64_t>(::lseek(file_.descriptor(), 0, SEEK_CUR));
  if (end >= written) {
    size_ = static_cast<std::size_t>(end - written);
    return;
  }
  size_ = 0;
  if (::ftruncate(file_.descriptor(), static_cast<off_t>(end)) == 0)
    ::lseek(file_.descriptor(), static_cast<off_t>(end), SEEK_SET);
}

Status Output::append_copies(const std::uint8_t* base, std::span<const Range> ranges, const Source& source) {
  std::vector<std::uint8_t> large;
  while (!ranges.empty()) {
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (; count < ranges.size(); ++count) {
      const std::size_t size = ranges[count].end - ranges[count].begin;
      if (bytes + size > kCapacity - size_) break;
      bytes += size;
    }
    if (count == 0 && size_ != 0) {
      WEIR_CHECK(flush());
      continue;
    }
    if (count == 0) {  // larger than the buffer
      large.assign(base + ranges[0].begin, base + ranges[0].end);
      WEIR_CHECK(source.check_region());
      WEIR_CHECK(append(large));
      ranges = ranges.subspan(1);
      continue;
    }
    const std::size_t before = size_;
    WEIR_CHECK(gather(base, ranges.first(count)));
    if (const Status intact = source.check_region(); !intact) {
      size_ = before;
      return intact;
    }
    ranges = ranges.subspan(count);
  }
  return {};
}

Status Output::append(const std::uint8_t* base, std::span<const Range> ranges, const Source& source) {
  if (!can_patch() && !is_device_) return append_copies(base, ranges, source);
  const std::uint64_t end = static_cast<std::uint64_t>(::lseek(file_.descriptor(), 0, SEEK_CUR)) + size_;
  const Status written = append(base, ranges);
  const Status intact = source.check_region();
  if (intact) return written;
  if (can_patch()) take_back(end);
  return intact;
}

}  // namespace weir::capture
