// Captures to read: pcap and pcapng, plain or compressed, from a file or a pipe.
//
//   auto source = weir::capture::open("in.pcapng.zst");
//   weir::capture::RecordBatch batch;
//   for (;;) {
//     WEIR_TRY(const weir::capture::Read read, (*source)->read(batch));
//     if (read == weir::capture::Read::kEnd) break;
//     for (const weir::packet::Packet& packet : batch.packets) ...   // may be none: blocks only
//   }
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
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::capture {

enum class Format : std::uint8_t { kPcap, kPcapng };
enum class Compression : std::uint8_t { kNone, kGzip, kZstd, kLz4 };

// Longest packet taken, as in libpcap; see longest_packet() for the link types that carry more.
inline constexpr std::uint32_t kLongestPacket = 262144;

// Where packets were captured; a pcap file has exactly one.
struct Interface {
  packet::LinkType link_type{};
  std::uint32_t snap_length = kLongestPacket;    // bytes kept of each packet, at most; never 0
  std::uint64_t ticks_per_second = 1000000;      // resolution of timestamps; never 0
  std::int64_t offset_seconds = 0;               // added to each timestamp (pcapng if_tsoffset)
  std::string name{};                            // pcapng if_name
  std::uint32_t section = 0;                     // which pcapng section, from 0
  std::uint32_t number = 0;                      // within its section, from 0
  std::endian byte_order = std::endian::native;  // of the file, or of the section
  std::uint32_t link_bits = 0;                   // pcap only: what stands above the link type in its field
                                                 // (length of a frame check sequence), in place
};

// What a record holds beside the packet.
struct Record {
  std::uint64_t ticks = 0;      // since 1970, in units of the interface's resolution
  std::uint32_t interface = 0;  // index into Source::interfaces()
  bool as_is = true;            // raw may be copied to a capture of the same format, byte order and resolution
  ByteSpan raw{};               // the record (pcapng: block) as it stands in the capture
};

// A time since 1970 in nanoseconds; finer resolutions are cut.
struct Time {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;  // below 1,000,000,000
  auto operator<=>(const Time&) const = default;
};
Time time_of(const Record& record, const Interface& interface);

// A block of a pcapng capture that is no packet: section headers, interfaces, names, statistics, ...
struct Block {
  std::size_t before = 0;  // it stands before packets[before]
  ByteSpan raw{};
};

struct RecordBatch {
  std::vector<packet::Packet> packets;
  std::vector<Record> records;  // one a packet
  std::vector<Block> blocks;    // pcapng only
  // Packets that are not as the capture has them: host-order fields of a capture from a host of the other byte order.
  std::deque<std::vector<std::uint8_t>> changed;
  void clear() {
    changed.clear();
    packets.clear();
    records.clear();
    blocks.clear();
  }
};

// How the plain records of a region lie: those that a source would hand out as they are.
struct Layout {
  Format format = Format::kPcap;
  bool swapped = false;               // numbers are not in the byte order of this host
  std::vector<std::uint32_t> limits;  // longest packet of each interface of the section that is not cut
  std::uint32_t first_interface = 0;  // index into Source::interfaces() of the section's first
  std::uint32_t fraction_limit = 0;   // pcap: ticks in a second
};

// Bytes of the capture that are in memory: the next record starts at the front.
struct Region {
  ByteSpan bytes;
  std::uint64_t offset = 0;  // of the front, in the capture
  Layout layout;
  bool mapped = false;  // all the rest of a file; else what has been read so far
  int descriptor = -1;  // of the file that is mapped
};

// What read() came to. It is no number: how many packets there are, only the batch says.
enum class Read : std::uint8_t {
  kMore,  // the batch holds packets, or other blocks, or both
  kEnd,   // the capture has ended; the batch is empty
};

class Source {
 public:
  virtual ~Source() = default;

  // Empties the batch and fills it with the next packets and blocks, at least one of them unless the capture ends or
  // fails. Of pcapng there may be blocks alone. Reading on gives the same end or error again.
  [[nodiscard]] virtual Result<Read> read(RecordBatch& batch) = 0;

  // Beside read(), for capture/walk.h: the bytes that follow, when plain records lie at their front. Reads on where not
  // one whole record is there. Nothing for formats without plain records and at the end: then read() goes on.
  virtual std::optional<Region> region() { return std::nullopt; }
  // The first `size` bytes of the region last given, whole plain records, were taken.
  virtual void consume(std::uint64_t size) { static_cast<void>(size); }
  // Whether what region() gave is still what the file holds; an error when the file became shorter.
  virtual Status check_region() const { return {}; }

  // Whether the next bytes are not there yet: a pipe that is empty, and open still. False where that is not known, as
  // of compressed captures.
  virtual bool would_wait() const { return false; }

  virtual Format format() const = 0;
  // Interfaces met so far; grows while reading pcapng. Elements keep their place.
  const std::deque<Interface>& interfaces() const { return interfaces_; }
  std::endian byte_order() const { return byte_order_; }  // of the file, or of the section read last
  std::uint32_t sections() const { return sections_; }    // met so far; 1 in pcap
  Compression compression() const { return compression_; }
  const std::string& name() const { return name_; }  // the path, or "standard input"
  // What is odd but can be read, one of a kind: a packet longer than the snap length.
  const Warnings& warnings() const { return warnings_; }

 protected:
  std::deque<Interface> interfaces_;
  std::endian byte_order_ = std::endian::native;
  std::uint32_t sections_ = 0;
  Compression compression_ = Compression::kNone;
  std::string name_;
  Warnings warnings_;
};

// "-" is standard input.
Result<std::unique_ptr<Source>> open(const std::string& path);

// The same over bytes in memory, which must outlive the source.
Result<std::unique_ptr<Source>> open_memory(ByteSpan bytes, std::string name);

// The longest packet that a capture may hold: a longer one is taken for damage.
std::uint32_t longest_packet(packet::LinkType type);

std::string_view name_of(Format format);
std::string_view name_of(Compression compression);

}  // namespace weir::capture
