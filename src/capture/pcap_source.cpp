// pcap files. Exports open_pcap and is_pcap.
//
// Source: draft-ietf-opsawg-pcap. A 24-byte header, then records of a 16-byte header and the bytes. The magic number
// tells byte order and resolution; a third magic (from patched libpcaps of the 1990s) has 24-byte record headers.
// What libpcap reads is read: a record longer than the snap length is cut to it.
#include "capture/pcap_source.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace weir::capture {
namespace {

constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kPatched = 0xa1b2cd34;
constexpr std::size_t kFileHeader = 24;
constexpr std::size_t kRecordHeader = 16;
constexpr std::size_t kPatchedRecordHeader = 24;

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
    WEIR_CHECK(window_->fill(kFileHeader));
    const ByteSpan header = window_->bytes();
    if (header.size() < kFileHeader)
      return fail(error(fmt::format("the file header is cut short: {} of {} bytes", header.size(), kFileHeader),
                        header.size()));
    const Magic magic = *magic_of(header);
    order_ = magic.order;
    record_header_ = magic.number == kPatched ? kPatchedRecordHeader : kRecordHeader;
    const auto major = load<std::uint16_t>(header.data() + 4, order_);
    if (major != 2 && major != 543)
      return fail(error(fmt::format("version {} of the pcap format is unknown", major), 4));
    Interface interface;
    interface.link_type = canonical_link_type(load<std::uint32_t>(header.data() + 20, order_) & 0xffff);
    interface.snap_length = load<std::uint32_t>(header.data() + 16, order_);
    if (interface.snap_length == 0 || interface.snap_length > 0x7fffffff) interface.snap_length = kLongestRecord;
    interface.ticks_per_second = magic.number == kNanoseconds ? 1000000000 : 1000000;
    copyable_ = magic.number != kPatched;
    longest_ = std::max(longest_record(interface.link_type), std::min(interface.snap_length, kLongestRecord));
    interfaces_.push_back(interface);
    sections_ = 1;
    window_->skip(kFileHeader);
    return {};
  }

  Format format() const override { return Format::kPcap; }
  std::endian byte_order() const override { return order_; }

  Result<std::size_t> read(RecordBatch& batch) override {
    batch.clear();
    if (pending_error_) return fail(*pending_error_);
    WEIR_CHECK(window_->fill(record_header_));
    while (batch.packets.empty()) {
      if (window_->bytes().empty()) return 0;
      const std::size_t needed = take_records(batch);
      if (pending_error_ || !batch.packets.empty()) break;
      const std::size_t had = window_->bytes().size();
      WEIR_CHECK(window_->fill(needed));
      if (window_->bytes().size() == had) truncated(needed);
    }
    if (batch.packets.empty() && pending_error_) return fail(*pending_error_);
    return batch.packets.size();
  }

 private:
  Error error(std::string message, std::uint64_t at) const {
    return Error{.message = std::move(message), .place = OffsetPlace{window_->offset() + at}, .source = name_};
  }

  void truncated(std::size_t needed) {
    const std::size_t have = window_->bytes().size();
    pending_error_ =
        have < record_header_
            ? error(fmt::format("the capture ends inside of a record header: {} of {} bytes", have, record_header_),
                    have)
            : error(fmt::format("the capture ends inside of a packet: {} of {} bytes", have - record_header_,
                                needed - record_header_),
                    have);
  }

  // Takes all whole records of the window; returns how many bytes the next one needs.
  std::size_t take_records(RecordBatch& batch) {
    const Interface& interface = interfaces_.front();
    const ByteSpan bytes = window_->bytes();
    std::size_t at = 0;
    std::size_t needed = record_header_;
    while (bytes.size() - at >= record_header_) {
      const std::uint8_t* header = bytes.data() + at;
      const auto captured = load<std::uint32_t>(header + 8, order_);
      if (captured > longest_) {
        pending_error_ = error(fmt::format("a record of {} bytes is longer than {}", captured, longest_), at + 8);
        break;
      }
      needed = record_header_ + captured;
      if (bytes.size() - at < needed) break;
      std::uint32_t length = captured;
      ByteSpan raw = copyable_ ? bytes.subspan(at, needed) : ByteSpan{};
      if (captured > interface.snap_length) {
        if (warnings_.empty()) {
          warnings_.push_back(error(
              fmt::format("a record of {} bytes is longer than the snap length of {}", captured, interface.snap_length),
              at + 8));
          warnings_.back().severity = Severity::kWarning;
          warnings_.back().hint = "such records are cut to the snap length";
        }
        length = interface.snap_length;
        raw = {};
      }
      batch.packets.push_back({header + record_header_, length, load<std::uint32_t>(header + 12, order_), nullptr});
      const std::uint64_t seconds = load<std::uint32_t>(header, order_);
      batch.records.push_back({seconds * interface.ticks_per_second + load<std::uint32_t>(header + 4, order_), 0, raw});
      at += needed;
      needed = record_header_;
    }
    window_->skip(at);
    return needed;
  }

  std::unique_ptr<Window> window_;
  std::endian order_ = std::endian::native;
  std::size_t record_header_ = kRecordHeader;
  std::uint32_t longest_ = kLongestRecord;
  bool copyable_ = true;
  std::optional<Error> pending_error_;
};

}  // namespace

bool is_pcap(ByteSpan start) { return magic_of(start).has_value(); }

Result<std::unique_ptr<Source>> open_pcap(std::unique_ptr<Window> window, Compression compression, std::string name) {
  auto source = std::make_unique<PcapSource>(std::move(window), compression, std::move(name));
  WEIR_CHECK(source->read_header());
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace weir::capture
