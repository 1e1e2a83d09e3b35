// Captures to write: pcap and pcapng.
//
// A file appears under its name only when commit() succeeds; what cannot be replaced (see weir/base/file.h; "-" is
// standard output) is written as it goes, and no byte of it is changed later. Records of a source in the same format
// are copied byte for byte (pcapng with its sections, interfaces and other blocks), others are written anew: in pcapng
// with their timestamps at the source's resolution, in pcap at that of the file. Not synchronised.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <weir/base/error.h>
#include <weir/capture/source.h>

namespace weir::capture {

struct SinkOptions {
  Format format = Format::kPcap;
  bool nanoseconds = false;  // pcap only: timestamps in nanoseconds; pcapng keeps the source's resolution
  // pcap only: of all sources that will be written; none: not known. Outputs that are written as they go announce it,
  // or the longest packet that the link type may have; of others the header is corrected by commit().
  std::optional<std::uint32_t> longest_snap_length{};
};

// Whole records that lie side by side, [begin, end) from some base.
struct Range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // Before the first write from each source.
  virtual Status begin(const Source& source) = 0;
  // Writes the packets of the batch whose verdict is not 0, and all its blocks that the format can hold.
  virtual Status write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts) = 0;
  // Whether records of this source, for which begin() was called, can be written as they are.
  virtual bool copies(const Source& source) const = 0;
  // Writes records of such a source.
  virtual Status append(const std::uint8_t* base, std::span<const Range> records) = 0;
  // Writes what was gathered, where the output is written as it goes; other files have nobody who waits for it.
  virtual Status flush() = 0;
  // Everything is on its way to the disk and the file has its name.
  virtual Status commit() = 0;
};

Result<std::unique_ptr<Sink>> create(const std::string& path, const SinkOptions& options);

}  // namespace weir::capture
