// pcapng files. Exports open_pcapng and is_pcapng.
//
// Source: draft-ietf-opsawg-pcapng. Blocks with their length before and behind; a section header sets the byte order
// and forgets the interfaces of the section before. Packets come from enhanced, simple and obsolete packet blocks; all
// other blocks are handed on as they are, in order. What libpcap refuses in a block is refused (sf-pcapng.c); what it
// refuses between blocks (sections of different byte orders, interfaces of different link types or snap lengths) is
// read.
#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "capture/pcap_source.h"
#include "capture/pcapng_blocks.h"
#include "capture/pseudo_header.h"

namespace weir::capture {
namespace {

// Of a batch: more than a window of the usual size holds, so that a larger one makes no larger batches.
constexpr std::size_t kMostBlocks = 32768;

class PcapngSource final : public Source {
 public:
  PcapngSource(std::unique_ptr<Window> window, Compression compression, std::string name) : window_(std::move(window)) {
    compression_ = compression;
    name_ = std::move(name);
  }

  // The first section header, and what is already there of the blocks before the first packet: mostly all interfaces.
  Status open() {
    while (leading_.blocks.empty() && !failure_) {
      const std::size_t needed = take_blocks(leading_, true);
      if (leading_.blocks.empty() && !failure_ && !window_->fill(needed)) fail_at_end(needed);
    }
    if (leading_.blocks.empty()) return fail(*failure_);
    return {};
  }

  Format format() const override { return Format::kPcapng; }

  std::optional<Region> region() override {
    if (failure_ || !leading_.blocks.empty() || first_interface_ == interfaces_.size()) return std::nullopt;
    if (window_->mapping() == nullptr && !has_whole_block() && !window_->more()) return std::nullopt;
    Region region{window_->region(), window_->offset(), {}, window_->mapping() != nullptr};
    if (region.mapped) region.descriptor = window_->mapping()->descriptor();
    // The layout tells of each interface: where there are many and little to walk, that would be all the work.
    constexpr std::size_t kFew = 64;
    constexpr std::size_t kBytesForEach = 256;
    const std::size_t described = interfaces_.size() - first_interface_;
    if (region.bytes.empty() || (described > kFew && region.bytes.size() / kBytesForEach < described))
      return std::nullopt;
    region.layout = {.format = Format::kPcapng,
                     .swapped = byte_order_ != std::endian::native,
                     .limits = {},
                     .first_interface = static_cast<std::uint32_t>(first_interface_)};
    for (std::size_t i = first_interface_; i < interfaces_.size(); ++i) {
      const Interface& interface = interfaces_[i];
      if (region.layout.swapped && has_host_order(interface.link_type)) return std::nullopt;
      region.layout.limits.push_back(std::min(longest_packet(interface.link_type), interface.snap_length));
    }
    return region;
  }
  void consume(std::uint64_t size) override { window_->skip_region(size); }
  bool would_wait() const override { return window_->would_wait(); }
  Status check_region() const override { return check_mapping(*window_, name_); }

  Result<Read> read(RecordBatch& batch) override {
    batch.clear();
    if (!leading_.blocks.empty()) {
      std::swap(batch.blocks, leading_.blocks);  // the window has not moved since open()
      return Read::kMore;
    }
    while (!failure_) {
      const std::size_t needed = take_blocks(batch, false);
      if (!batch.packets.empty() || !batch.blocks.empty()) return Read::kMore;
      if (failure_ || window_->fill(needed)) continue;
      if (window_->bytes().empty() && !window_->failure()) return Read::kEnd;
      fail_at_end(needed);
    }
    return fail(*failure_);
  }

 private:
  bool has_whole_block() const {
    const ByteSpan bytes = window_->bytes();
    return bytes.size() >= kBlockHeader && bytes.size() >= word(bytes, 4);
  }

  Error error(std::string message, std::uint64_t at) const {
    return {.message = std::move(message), .place = OffsetPlace{window_->offset() + at}, .source = name_};
  }

  // Says why the stream ended before the block at the window's front was whole.
  void fail_at_end(std::size_t needed) {
    failure_ = window_->failure();
    if (failure_) failure_->source = name_;
    else
      failure_ =
          error(fmt::format("the capture ends inside of a block: {} of {} bytes", window_->bytes().size(), needed), 0);
  }

  bool refuse(std::string message, std::size_t at) {
    failure_ = error(std::move(message), at);
    return false;
  }

  // Takes all whole blocks of the window, or those before the first packet; returns how many bytes the next one needs.
  std::size_t take_blocks(RecordBatch& batch, bool stop_at_packet) {
    const ByteSpan bytes = window_->bytes();
    std::size_t at = 0;
    std::size_t needed = kBlockHeader;
    while (bytes.size() - at >= kBlockHeader && batch.packets.size() + batch.blocks.size() < kMostBlocks) {
      const ByteSpan rest = bytes.subspan(at);
      const std::optional<std::size_t> length = block_length(rest, at);
      if (!length) break;
      needed = *length;
      if (rest.size() < needed) break;
      if (load<std::uint32_t>(rest.data() + needed - kBlockTrailer, byte_order_) != needed) {
        refuse(fmt::format("a block of {} bytes does not repeat its length at its end", needed), at);
        break;
      }
      if (stop_at_packet && is_packet(word(rest, 0))) break;
      if (!take_block(rest.first(needed), at, batch)) break;
      at += needed;
      needed = kBlockHeader;
    }
    window_->skip(at);
    return needed;
  }

  // The length of the block that starts here; a section header's first 12 bytes also set the byte order. Nothing when
  // the block is refused. `rest` holds kBlockHeader bytes at least.
  std::optional<std::size_t> block_length(ByteSpan rest, std::size_t at) {
    if (load<std::uint32_t>(rest.data(), std::endian::native) == kSectionHeader) {
      if (rest.size() < kByteOrderEnd) return kByteOrderEnd;
      const std::optional<std::endian> order = section_byte_order(rest);
      if (!order) {
        refuse("the byte-order magic of a section header is wrong", at + kBlockHeader);
        return std::nullopt;
      }
      byte_order_ = *order;
    }
    const std::size_t length = word(rest, 4);
    if (length >= kBlockHeader + kBlockTrailer && length % 4 == 0 && length <= longest_block_) return length;
    refuse(length > longest_block_
               ? fmt::format("a block of {} bytes is longer than the {} that can be", length, longest_block_)
               : fmt::format("a block length of {} is impossible", length),
           at + 4);
    return std::nullopt;
  }

  static bool is_packet(std::uint32_t type) {
    return type == kEnhancedPacket || type == kSimplePacket || type == kObsoletePacket;
  }

  std::uint32_t word(ByteSpan block, std::size_t at) const {
    return load<std::uint32_t>(block.data() + at, byte_order_);
  }
  std::uint16_t half(ByteSpan block, std::size_t at) const {
    return load<std::uint16_t>(block.data() + at, byte_order_);
  }

  bool take_block(ByteSpan block, std::size_t at, RecordBatch& batch) {
    switch (word(block, 0)) {
      case kEnhancedPacket:
      case kObsoletePacket: return timed_packet(block, at, batch);
      case kSimplePacket: return simple_packet(block, at, batch);
      case kSectionHeader:
        if (!section(block, at)) return false;
        break;
      case kInterfaceDescription:
        if (!interface(block, at)) return false;
        break;
      default: break;
    }
    batch.blocks.push_back({batch.packets.size(), block});
    return true;
  }

  bool section(ByteSpan block, std::size_t at) {
    if (block.size() < kShortestSectionHeader) return refuse("a section header is too short", at);
    // 1.2 is 1.0 by another name (draft-ietf-opsawg-pcapng, 4.1).
    const unsigned major = half(block, 12);
    const unsigned minor = half(block, 14);
    if (major != 1 || (minor != 0 && minor != 2))
      return refuse(fmt::format("version {}.{} of the pcapng format is unknown", major, minor), at + 12);
    first_interface_ = interfaces_.size();
    longest_block_ = kLongestBlock;
    ++sections_;
    return true;
  }

  bool interface(ByteSpan block, std::size_t at) {
    constexpr std::size_t kOptions = 16;
    if (block.size() < kOptions + kBlockTrailer) return refuse("an interface description is too short", at);
    Interface out;
    out.byte_order = byte_order_;
    out.link_type = link_type_of(half(block, 8));
    out.snap_length = snap_length_of(word(block, 12), out.link_type);
    out.section = sections_ - 1;
    out.number = static_cast<std::uint32_t>(interfaces_.size() - first_interface_);
    const std::size_t end = block.size() - kBlockTrailer;
    Once once;
    for (std::size_t i = kOptions; i < end;) {
      if (end - i < 4) return refuse("an option of an interface description is cut short", at + i);
      const std::uint16_t code = half(block, i);
      const std::uint16_t size = half(block, i + 2);
      const std::size_t padded = (std::size_t{size} + 3) / 4 * 4;
      if (padded > end - i - 4) return refuse("an option of an interface description reaches beyond its block", at + i);
      if (code == kEndOfOptions) break;
      if (!option(code, block.subspan(i + 4, size), at + i, out, once)) return false;
      i += 4 + padded;
    }
    // Room for options is left beside such a packet.
    if (const std::size_t longest = longest_packet(out.link_type); longest >= kLongestBlock)
      longest_block_ = std::max(longest_block_, longest + kLongestBlock);
    interfaces_.push_back(std::move(out));
    return true;
  }

  // Options that may stand once, of which one was met.
  struct Once {
    bool resolution = false;
    bool offset = false;
  };

  bool option(std::uint16_t code, ByteSpan value, std::size_t at, Interface& out, Once& once) {
    switch (code) {
      case kInterfaceName: out.name.assign(reinterpret_cast<const char*>(value.data()), value.size()); break;
      case kTimestampResolution:
        if (value.size() != 1)
          return refuse(fmt::format("a timestamp resolution of {} bytes, not 1", value.size()), at);
        if (std::exchange(once.resolution, true)) return refuse("a second timestamp resolution of an interface", at);
        return resolution(value[0], at, out);
      case kTimestampOffset:
        if (value.size() != 8) return refuse(fmt::format("a timestamp offset of {} bytes, not 8", value.size()), at);
        if (std::exchange(once.offset, true)) return refuse("a second timestamp offset of an interface", at);
        out.offset_seconds = static_cast<std::int64_t>(load<std::uint64_t>(value.data(), byte_order_));
        break;
      default: break;
    }
    return true;
  }

  // A negative power of ten, or of two with the top bit set; as far as its inverse fits 64 bits.
  bool resolution(std::uint8_t value, std::size_t at, Interface& out) {
    const unsigned power = value & 0x7f;
    const bool binary = (value & 0x80) != 0;
    if (power > (binary ? 63 : 19))
      return refuse(fmt::format("a timestamp resolution of {}^-{} is too fine", binary ? 2 : 10, power), at);
    out.ticks_per_second = 1;
    for (unsigned i = 0; i < power; ++i) out.ticks_per_second *= binary ? 2 : 10;
    return true;
  }

  // Enhanced and obsolete packet blocks differ in the interface's number: 32 bits, or 16 and 16 for a count of drops.
  bool timed_packet(ByteSpan block, std::size_t at, RecordBatch& batch) {
    constexpr std::size_t kData = 28;
    if (block.size() < kData + kBlockTrailer) return refuse("a packet block is too short", at);
    const std::uint32_t number = word(block, 0) == kEnhancedPacket ? word(block, 8) : half(block, 8);
    const std::uint64_t ticks = std::uint64_t{word(block, 12)} << 32 | word(block, 16);
    return packet(block, at, batch, number, block.subspan(kData), {nullptr, word(block, 20), word(block, 24), nullptr},
                  ticks);
  }

  // Simple blocks are of the first interface, have no time, and a captured length only by its snap length.
  bool simple_packet(ByteSpan block, std::size_t at, RecordBatch& batch) {
    constexpr std::size_t kData = 12;
    if (block.size() < kData + kBlockTrailer) return refuse("a packet block is too short", at);
    const std::uint32_t wire = word(block, 8);
    std::uint32_t captured = wire;
    if (first_interface_ < interfaces_.size()) captured = std::min(captured, interfaces_[first_interface_].snap_length);
    return packet(block, at, batch, 0, block.subspan(kData), {nullptr, captured, wire, nullptr}, 0);
  }

  // `out` lacks its bytes: they stand at the front of `rest`.
  bool packet(ByteSpan block, std::size_t at, RecordBatch& batch, std::uint32_t number, ByteSpan rest,
              packet::Packet out, std::uint64_t ticks) {
    const std::size_t described = interfaces_.size() - first_interface_;
    if (number >= described)
      return refuse(fmt::format("a packet of interface {}, but its section describes {}", number, described), at);
    if (out.length > rest.size() - kBlockTrailer)
      return refuse(fmt::format("a packet of {} bytes reaches beyond its block", out.length), at);
    const std::size_t index = first_interface_ + number;
    const Interface& of = interfaces_[index];
    if (out.length > longest_packet(of.link_type))
      return refuse(fmt::format("a packet of {} bytes is longer than the {} that can be", out.length,
                                longest_packet(of.link_type)),
                    at);
    if (out.length > of.snap_length) {
      if (warnings_.empty())
        warnings_.push_back(
            longer_than_snap_length(*this, out.length, of.snap_length, window_->offset() + at,
                                    "such packets are cut to the snap length, but copied whole to pcapng"));
      out.length = of.snap_length;
    }
    out.data = rest.data();
    batch.packets.push_back(out);
    batch.records.push_back({ticks, static_cast<std::uint32_t>(index), true, block});
    convert_last(batch, of);
    return true;
  }

  std::unique_ptr<Window> window_;
  RecordBatch leading_;              // what open() took: blocks only
  std::size_t first_interface_ = 0;  // of this section: index into interfaces_
  std::size_t longest_block_ = kLongestBlock;
  std::optional<Error> failure_;
};

}  // namespace

bool is_pcapng(ByteSpan start) {
  return start.size() >= 4 && load<std::uint32_t>(start.data(), std::endian::native) == kSectionHeader;
}

Result<std::unique_ptr<Source>> open_pcapng(std::unique_ptr<Window> window, Compression compression, std::string name) {
  auto source = std::make_unique<PcapngSource>(std::move(window), compression, std::move(name));
  WEIR_CHECK(source->open());
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace weir::capture
