// pcap files. Exports open_pcap and is_pcap.
//
// Source: draft-ietf-opsawg-pcap. A 24-byte header, then records of a 16-byte header and the bytes. The magic number
// tells byte order and resolution; a third magic (patched libpcaps of the 1990s) has 24-byte record headers. What
// libpcap reads is read, and as it reads it (sf-pcap.c): versions 2.0 to 2.4 and 543.0, the older ones with the two
// lengths of a record the other way round; a packet longer than the snap length is cut to it.
#include "capture/pcap_source.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "capture/pseudo_header.h"

namespace weir::capture {
namespace {

constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kPatched = 0xa1b2cd34;
constexpr std::size_t kFileHeader = 24;
constexpr std::size_t kRecordHeader = 16;
constexpr std::size_t kPatchedRecordHeader = 24;
constexpr std::uint32_t kLinkTypeBits = 0xffff;
constexpr std::uint32_t kReservedLinkBits = 0x03ff0000;
// Of a batch: more than a window of the usual size holds, so that a larger one makes no larger batches.
constexpr std::size_t kMostRecords = 32768;

struct Magic {
  std::uint32_t number;
  std::endian order;
};

std::optional<Magic> magic_of(ByteSpan start) {
  if (start.size() < 4) return std::nullopt;
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    const auto number = load<std::uint32_t>(start.data(), order);
    if (number == kMicroseconds || number == kNanoseconds || number == kPatched) return Magic{number, order};
  }
  return std::nullopt;
}

class PcapSource final : public Source {
 public:
  PcapSource(std::unique_ptr<Window> window, Compression compression, std::string name) : window_(std::move(window)) {
    compression_ = compression;
    name_ = std::move(name);
  }

  Status read_header() {
    if (!window_->fill(kFileHeader)) {
      const std::size_t have = window_->bytes().size();
      return fail(stopped(fmt::format("the file header is cut short: {} of {} bytes", have, kFileHeader)));
    }
    const std::uint8_t* header = window_->bytes().data();
    const Magic magic = *magic_of(window_->bytes());
    byte_order_ = magic.order;
    WEIR_CHECK(
        take_version(load<std::uint16_t>(header + 4, byte_order_), load<std::uint16_t>(header + 6, byte_order_)));
    const auto link_field = load<std::uint32_t>(header + 20, byte_order_);
    if ((link_field & kReservedLinkBits) != 0)
      return fail(error(fmt::format("a link type of {:#x} has bits that mean nothing", link_field), 20));
    Interface interface;
    interface.byte_order = byte_order_;
    interface.link_type = link_type_of(link_field & kLinkTypeBits);
    interface.link_bits = link_field & ~kLinkTypeBits;
    interface.snap_length = snap_length_of(load<std::uint32_t>(header + 16, byte_order_), interface.link_type);
    interface.ticks_per_second = magic.number == kNanoseconds ? 1000000000 : 1000000;
    if (magic.number == kPatched) {
      record_header_ = kPatchedRecordHeader;
      // Cooked captures of such systems put an Ethernet header before the bytes that the snap length had cut.
      if (interface.link_type == packet::LinkType::kEthernet && interface.snap_length <= 0x7fffffff - 14)
        interface.snap_length += 14;
    }
    as_is_ = record_header_ == kRecordHeader && lengths_ == Lengths::kCapturedFirst;
    longest_ = longest_packet(interface.link_type);
    interfaces_.push_back(interface);
    sections_ = 1;
    window_->skip(kFileHeader);
    return {};
  }

  Format format() const override { return Format::kPcap; }

  std::optional<Region> region() override {
    const bool changes = byte_order_ != std::endian::native && has_host_order(interfaces_.front().link_type);
    if (failure_ || !as_is_ || changes) return std::nullopt;
    if (window_->mapping() == nullptr && !has_whole_record() && !window_->more()) return std::nullopt;
    Region region{window_->region(), window_->offset(), {}, window_->mapping() != nullptr};
    if (region.mapped) region.descriptor = window_->mapping()->descriptor();
    if (region.bytes.size() < kRecordHeader) return std::nullopt;
    const Interface& interface = interfaces_.front();
    region.layout = {.format = Format::kPcap,
                     .swapped = byte_order_ != std::endian::native,
                     .limits = {std::min(longest_, interface.snap_length)},
                     .fraction_limit = static_cast<std::uint32_t>(interface.ticks_per_second)};
    return region;
  }
  void consume(std::uint64_t size) override { window_->skip_region(size); }
  bool would_wait() const override { return window_->would_wait(); }
  Status check_region() const override { return check_mapping(*window_, name_); }

  Result<Read> read(RecordBatch& batch) override {
    batch.clear();
    while (!failure_) {
      const std::size_t needed =
          byte_order_ == std::endian::native ? take_records<std::endian::native>(batch) : take_records<kForeign>(batch);
      if (!batch.packets.empty()) return Read::kMore;
      if (failure_ || window_->fill(needed)) continue;
      const std::size_t have = window_->bytes().size();
      if (have == 0 && !window_->failure()) return Read::kEnd;
      failure_ =
          stopped(have < record_header_
                      ? fmt::format("the capture ends inside of a record header: {} of {} bytes", have, record_header_)
                      : fmt::format("the capture ends inside of a packet: {} of {} bytes", have - record_header_,
                                    needed - record_header_));
    }
    return fail(*failure_);
  }

 private:
  // The order of a record's two lengths: files before version 2.3 have the wire length first, those of 2.3 either.
  enum class Lengths : std::uint8_t { kCapturedFirst, kWireFirst, kSmallerIsCaptured };

  static constexpr std::endian kForeign =
      std::endian::native == std::endian::little ? std::endian::big : std::endian::little;

  bool has_whole_record() const {
    const ByteSpan bytes = window_->bytes();
    return bytes.size() >= kRecordHeader &&
           bytes.size() - kRecordHeader >= load<std::uint32_t>(bytes.data() + 8, byte_order_);
  }

  Error error(std::string message, std::uint64_t at) const {
    return {.message = std::move(message), .place = OffsetPlace{window_->offset() + at}, .source = name_};
  }

  // Why reading stopped before the record at the window's front was whole: the stream's own failure, else `message`.
  Error stopped(std::string message) const {
    if (!window_->failure()) return error(std::move(message), 0);
    Error failure = *window_->failure();
    failure.source = name_;
    return failure;
  }

  Status take_version(unsigned major, unsigned minor) {
    if (!(major == 2 && minor <= 4) && !(major == 543 && minor == 0))
      return fail(error(fmt::format("version {}.{} of the pcap format is unknown", major, minor), 4));
    if (major == 543 || minor < 3) lengths_ = Lengths::kWireFirst;
    else if (minor == 3) lengths_ = Lengths::kSmallerIsCaptured;
    return {};
  }

  // Takes all whole records of the window; returns how many bytes the next one needs.
  template <std::endian order>
  std::size_t take_records(RecordBatch& batch) {
    const Interface& interface = interfaces_.front();
    const ByteSpan bytes = window_->bytes();
    std::size_t at = 0;
    std::size_t needed = record_header_;
    while (bytes.size() - at >= record_header_ && batch.packets.size() < kMostRecords) {
      const std::uint8_t* header = bytes.data() + at;
      auto captured = load<std::uint32_t>(header + 8, order);
      auto wire = load<std::uint32_t>(header + 12, order);
      if (lengths_ != Lengths::kCapturedFirst && (lengths_ == Lengths::kWireFirst || captured > wire))
        std::swap(captured, wire);
      if (captured > longest_) {
        failure_ = error(fmt::format("a packet of {} bytes is longer than the {} that can be", captured, longest_), at);
        break;
      }
      needed = record_header_ + captured;
      if (bytes.size() - at < needed) break;
      const std::uint64_t seconds = load<std::uint32_t>(header, order);
      const std::uint64_t ticks = seconds * interface.ticks_per_second + load<std::uint32_t>(header + 4, order);
      bool as_is = as_is_;
      if (captured > interface.snap_length) {
        if (warnings_.empty())
          warnings_.push_back(longer_than_snap_length(*this, captured, interface.snap_length, window_->offset() + at,
                                                      "such packets are cut to the snap length"));
        captured = interface.snap_length;
        as_is = false;
      }
      batch.packets.push_back({header + record_header_, captured, wire, nullptr});
      batch.records.push_back({ticks, 0, as_is, bytes.subspan(at, needed)});
      if constexpr (order == kForeign) convert_last(batch, interface);
      at += needed;
      needed = record_header_;
    }
    window_->skip(at);
    return needed;
  }

  std::unique_ptr<Window> window_;
  std::size_t record_header_ = kRecordHeader;
  std::uint32_t longest_ = kLongestPacket;
  Lengths lengths_ = Lengths::kCapturedFirst;
  bool as_is_ = true;
  std::optional<Error> failure_;
};

}  // namespace

bool is_pcap(ByteSpan start) { return magic_of(start).has_value(); }

Result<std::unique_ptr<Source>> open_pcap(std::unique_ptr<Window> window, Compression compression, std::string name) {
  auto source = std::make_unique<PcapSource>(std::move(window), compression, std::move(name));
  WEIR_CHECK(source->read_header());
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace weir::capture
