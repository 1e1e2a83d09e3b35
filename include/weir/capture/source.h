// Captures to read: pcap and pcapng, plain or compressed, from a file or a pipe.
//
//   auto source = weir::capture::open("in.pcapng.zst");
//   weir::capture::RecordBatch batch;
//   while (auto count = (*source)->read(batch)) { if (*count == 0) break; ... batch.packets ... }
//
// The format and the compression are found by content. A source hands out batches; all that a batch points to is valid
// until the next read() or the source's end. Where a capture is damaged, the packets before the damage come first and
// the error, with its offset, on the read() after them. Not synchronised: one thread reads a source.
// Formats: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html, draft-ietf-opsawg-pcapng-03.html.
#pragma once

#include <bit>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::capture {

enum class Format : std::uint8_t { kPcap, kPcapng };
enum class Compression : std::uint8_t { kNone, kGzip, kZstd, kLz4 };

// Longest record taken, as in libpcap; a few link types carry more.
inline constexpr std::uint32_t kLongestRecord = 262144;

// Where packets were captured; a pcap file has exactly one.
struct Interface {
  packet::LinkType link_type{};
  std::uint32_t snap_length = kLongestRecord;  // bytes kept of each packet, at most
  std::uint64_t ticks_per_second = 1000000;    // resolution of timestamps
  std::int64_t offset_seconds = 0;             // added to each timestamp (pcapng if_tsoffset)
  std::string name{};                          // pcapng if_name
  std::uint32_t number = 0;                    // within its pcapng section
};

// What a record holds beside the packet.
struct Record {
  std::uint64_t ticks = 0;      // since 1970, in units of the interface's resolution
  std::uint32_t interface = 0;  // index into Source::interfaces()
  ByteSpan raw{};               // the record as it stands in the capture; empty when it cannot be copied as it is
};

// A block of a pcapng capture that is no packet: section headers, interfaces, names, statistics, ...
struct Block {
  std::size_t before = 0;  // it stands before packets[before]
  ByteSpan raw{};
};

struct RecordBatch {
  std::vector<packet::Packet> packets;
  std::vector<Record> records;  // one a packet
  std::vector<Block> blocks;    // pcapng only
  void clear() {
    packets.clear();
    records.clear();
    blocks.clear();
  }
};

class Source {
 public:
  virtual ~Source() = default;

  // Fills the batch with the next records, at least one unless the capture ends (then 0 packets; blocks may remain).
  virtual Result<std::size_t> read(RecordBatch& batch) = 0;

  virtual Format format() const = 0;
  virtual std::endian byte_order() const = 0;  // of the section read last
  // Interfaces met so far; grows while reading pcapng. Elements keep their place.
  const std::deque<Interface>& interfaces() const { return interfaces_; }
  std::uint32_t sections() const { return sections_; }
  Compression compression() const { return compression_; }
  const std::string& name() const { return name_; }
  // What is odd but can be read: a record longer than the snap length. One of a kind.
  const Warnings& warnings() const { return warnings_; }

 protected:
  std::deque<Interface> interfaces_;
  std::uint32_t sections_ = 0;
  Compression compression_ = Compression::kNone;
  std::string name_;
  Warnings warnings_;
};

// "-" is standard input.
Result<std::unique_ptr<Source>> open(const std::string& path);

std::string_view name_of(Format format);
std::string_view name_of(Compression compression);

}  // namespace weir::capture
