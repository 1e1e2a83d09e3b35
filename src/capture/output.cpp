// Ranges of a mapped capture on their way to a file. Exports Output::append.
//
// A long range becomes an element of writev and is written from where it lies; short ones are copied into a buffer
// first, since an element costs about as much as copying a few hundred bytes. The bound is an estimate.
// copy_file_range, which would spare the copy for nearly total matches, is not used.
#include "capture/output.h"

#include <algorithm>
#include <array>

#include <sys/uio.h>

namespace weir::capture {
namespace {

constexpr std::size_t kWorthAnElement = 256;  // bytes
constexpr std::size_t kElements = 1024;       // IOV_MAX of Linux

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

}  // namespace

Status Output::append(const std::uint8_t* base, std::span<const Range> ranges) {
  std::size_t total = 0;
  for (const Range& range : ranges) total += range.end - range.begin;
  if (total < ranges.size() * kWorthAnElement || total < kCapacity / 8) {
    for (const Range& range : ranges) WEIR_CHECK(append(ByteSpan(base + range.begin, range.end - range.begin)));
    return {};
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

}  // namespace weir::capture
