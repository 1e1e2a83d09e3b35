// pcapng files. Exports open_pcapng and is_pcapng.
//
// Source: draft-ietf-opsawg-pcapng. Blocks with their length before and behind; a section header sets the byte order
// and forgets the interfaces of the section before. Packets come from enhanced, simple and obsolete packet blocks; all
// other blocks are handed on as they are, in order.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "capture/pcap_source.h"

namespace weir::capture {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kObsoletePacket = 2;
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::size_t kLongestBlock = 256u << 20;
constexpr std::size_t kBlockHeader = 8;   // type and length
constexpr std::size_t kBlockTrailer = 4;  // length again

std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

class PcapngSource final : public Source {
 public:
  PcapngSource(std::unique_ptr<Window> window, Compression compression, std::string name) : window_(std::move(window)) {
    compression_ = compression;
    name_ = std::move(name);
  }

  Format format() const override { return Format::kPcapng; }
  std::endian byte_order() const override { return order_; }

  Result<std::size_t> read(RecordBatch& batch) override {
    batch.clear();
    if (pending_error_) return fail(*pending_error_);
    WEIR_CHECK(window_->fill(kBlockHeader));
    while (batch.packets.empty() && !pending_error_) {
      if (window_->bytes().empty()) return 0;
      const std::size_t needed = take_blocks(batch);
      if (pending_error_ || !batch.packets.empty()) break;
      // Blocks already taken point into the window: they must be handed on before it moves.
      if (!batch.blocks.empty() && window_->bytes().size() < needed && !window_->ended()) {
        keep(batch);
      }
      const std::size_t had = window_->bytes().size();
      WEIR_CHECK(window_->fill(needed));
      if (window_->bytes().empty() && window_->ended()) break;
      if (window_->bytes().size() == had && had < needed) {
        pending_error_ = error(fmt::format("the capture ends inside of a block: {} of {} bytes", had, needed), had);
      }
    }
    if (batch.packets.empty() && pending_error_) return fail(*pending_error_);
    return batch.packets.size();
  }

  // The first section header.
  Status read_header() {
    WEIR_CHECK(window_->fill(12));
    if (window_->bytes().size() < 12)
      return fail(error(fmt::format("the section header is cut short: {} bytes", window_->bytes().size()),
                        window_->bytes().size()));
    if (!order_of(window_->bytes())) return fail(error("the byte-order magic of the section header is wrong", 8));
    return {};
  }

 private:
  struct Section {
    std::size_t first_interface = 0;  // index into interfaces_
  };

  Error error(std::string message, std::uint64_t at) const {
    return Error{.message = std::move(message), .place = OffsetPlace{window_->offset() + at}, .source = name_};
  }

  // Copies the bytes of the batch's blocks, so that the window may move.
  void keep(RecordBatch& batch) {
    kept_.emplace_back();
    std::size_t total = 0;
    for (const Block& block : batch.blocks) total += block.raw.size();
    kept_.back().reserve(total);
    for (Block& block : batch.blocks) {
      const std::size_t at = kept_.back().size();
      kept_.back().insert(kept_.back().end(), block.raw.begin(), block.raw.end());
      block.raw = ByteSpan(kept_.back()).subspan(at, block.raw.size());
    }
  }

  static std::optional<std::endian> order_of(ByteSpan block) {
    for (const std::endian order : {std::endian::little, std::endian::big})
      if (load<std::uint32_t>(block.data() + 8, order) == kByteOrderMagic) return order;
    return std::nullopt;
  }

  // Takes all whole blocks of the window; returns how many bytes the next one needs.
  std::size_t take_blocks(RecordBatch& batch) {
    if (batch.blocks.empty()) kept_.clear();
    const ByteSpan bytes = window_->bytes();
    std::size_t at = 0;
    std::size_t needed = kBlockHeader;
    while (!pending_error_ && bytes.size() - at >= kBlockHeader) {
      const ByteSpan rest = bytes.subspan(at);
      const bool section = load<std::uint32_t>(rest.data(), std::endian::little) == kSectionHeader;  // a palindrome
      if (section && rest.size() < 12) {
        needed = 12;
        break;
      }
      std::endian order = order_;
      if (section) {
        const std::optional<std::endian> found = order_of(rest);
        if (!found) {
          pending_error_ = error("the byte-order magic of the section header is wrong", at + 8);
          break;
        }
        order = *found;
      }
      const std::size_t length = load<std::uint32_t>(rest.data() + 4, order);
      if (length < kBlockHeader + kBlockTrailer || length % 4 != 0 || length > kLongestBlock) {
        pending_error_ = error(fmt::format("a block length of {} is impossible", length), at + 4);
        break;
      }
      needed = length;
      if (rest.size() < length) break;
      if (load<std::uint32_t>(rest.data() + length - 4, order) != length) {
        pending_error_ =
            error(fmt::format("the length behind the block is not the {} before it", length), at + length - 4);
        break;
      }
      order_ = order;
      if (!take_block(rest.first(length), at, batch)) break;
      at += length;
      needed = kBlockHeader;
    }
    window_->skip(at);
    return needed;
  }

  std::uint32_t word(ByteSpan block, std::size_t at) const { return load<std::uint32_t>(block.data() + at, order_); }

  bool take_block(ByteSpan block, std::size_t at, RecordBatch& batch) {
    const std::uint32_t type = word(block, 0);
    switch (type) {
      case kEnhancedPacket: return enhanced(block, at, batch);
      case kSimplePacket: return simple(block, at, batch);
      case kObsoletePacket: return obsolete(block, at, batch);
      case kSectionHeader:
        if (block.size() < 28) return refuse("a section header is too short", at);
        section_.first_interface = interfaces_.size();
        ++sections_;
        break;
      case kInterfaceDescription:
        if (!interface(block, at)) return false;
        break;
      default: break;
    }
    batch.blocks.push_back({batch.packets.size(), block});
    return true;
  }

  bool refuse(std::string message, std::size_t at) {
    pending_error_ = error(std::move(message), at);
    return false;
  }

  bool interface(ByteSpan block, std::size_t at) {
    if (block.size() < 20) return refuse("an interface description is too short", at);
    Interface out;
    out.link_type = canonical_link_type(load<std::uint16_t>(block.data() + 8, order_));
    out.snap_length = word(block, 12);
    if (out.snap_length == 0 || out.snap_length > 0x7fffffff) out.snap_length = kLongestRecord;
    const ByteSpan options = block.subspan(16, block.size() - 20);
    for (std::size_t i = 0; i + 4 <= options.size();) {
      const auto code = load<std::uint16_t>(options.data() + i, order_);
      const auto size = load<std::uint16_t>(options.data() + i + 2, order_);
      if (code == 0) break;
      if (size > options.size() - i - 4) return refuse("an option reaches beyond its block", at + 16 + i);
      const std::uint8_t* value = options.data() + i + 4;
      if (code == 2) out.name.assign(reinterpret_cast<const char*>(value), size);
      if (code == 9 && size == 1 && !resolution(*value, out))
        return refuse(fmt::format("a timestamp resolution of {:#x} is impossible", *value), at + 20 + i);
      if (code == 14 && size == 8) out.offset_seconds = static_cast<std::int64_t>(load<std::uint64_t>(value, order_));
      i += 4 + padded(size);
    }
    out.number = static_cast<std::uint32_t>(interfaces_.size() - section_.first_interface);
    interfaces_.push_back(std::move(out));
    return true;
  }

  // Powers of ten, or of two with the top bit set.
  static bool resolution(std::uint8_t value, Interface& out) {
    const unsigned power = value & 0x7f;
    if ((value & 0x80) != 0) {
      if (power > 63) return false;
      out.ticks_per_second = std::uint64_t{1} << power;
      return true;
    }
    if (power > 19) return false;
    out.ticks_per_second = 1;
    for (unsigned i = 0; i < power; ++i) out.ticks_per_second *= 10;
    return true;
  }

  bool packet(ByteSpan block, std::size_t at, RecordBatch& batch, std::uint32_t interface_number, std::size_t data,
              std::uint32_t captured, std::uint32_t wire, std::uint64_t ticks) {
    const std::size_t index = section_.first_interface + interface_number;
    if (index >= interfaces_.size())
      return refuse(fmt::format("a packet of interface {}, but {} are described", interface_number,
                                interfaces_.size() - section_.first_interface),
                    at);
    if (captured > block.size() - data - kBlockTrailer)
      return refuse(fmt::format("a packet of {} bytes reaches beyond its block", captured), at);
    const Interface& of = interfaces_[index];
    if (captured > std::max(longest_record(of.link_type), std::min(of.snap_length, kLongestRecord)))
      return refuse(fmt::format("a record of {} bytes is longer than {}", captured, longest_record(of.link_type)), at);
    ByteSpan raw = block;
    if (captured > of.snap_length) {
      if (warnings_.empty()) {
        warnings_.push_back(error(
            fmt::format("a record of {} bytes is longer than the snap length of {}", captured, of.snap_length), at));
        warnings_.back().severity = Severity::kWarning;
        warnings_.back().hint = "such records are cut to the snap length";
      }
      captured = of.snap_length;
      raw = {};
    }
    batch.packets.push_back({block.data() + data, captured, wire, nullptr});
    batch.records.push_back({ticks, static_cast<std::uint32_t>(index), raw});
    return true;
  }

  bool enhanced(ByteSpan block, std::size_t at, RecordBatch& batch) {
    constexpr std::size_t kData = 28;
    if (block.size() < kData + kBlockTrailer) return refuse("a packet block is too short", at);
    const std::uint64_t ticks = std::uint64_t{word(block, 12)} << 32 | word(block, 16);
    return packet(block, at, batch, word(block, 8), kData, word(block, 20), word(block, 24), ticks);
  }

  bool obsolete(ByteSpan block, std::size_t at, RecordBatch& batch) {
    constexpr std::size_t kData = 28;
    if (block.size() < kData + kBlockTrailer) return refuse("a packet block is too short", at);
    const std::uint64_t ticks = std::uint64_t{word(block, 12)} << 32 | word(block, 16);
    return packet(block, at, batch, load<std::uint16_t>(block.data() + 8, order_), kData, word(block, 20),
                  word(block, 24), ticks);
  }

  // Without a captured length and a time: the first interface's snap length tells the one, the other is 0.
  bool simple(ByteSpan block, std::size_t at, RecordBatch& batch) {
    constexpr std::size_t kData = 12;
    if (block.size() < kData + kBlockTrailer) return refuse("a packet block is too short", at);
    if (section_.first_interface >= interfaces_.size()) return refuse("a packet before any interface", at);
    const std::uint32_t wire = word(block, 8);
    const std::uint32_t captured = std::min(wire, interfaces_[section_.first_interface].snap_length);
    return packet(block, at, batch, 0, kData, captured, wire, 0);
  }

  std::unique_ptr<Window> window_;
  std::endian order_ = std::endian::native;
  Section section_;
  std::deque<std::vector<std::uint8_t>> kept_;
  std::optional<Error> pending_error_;
};

}  // namespace

bool is_pcapng(ByteSpan start) {
  return start.size() >= 4 && load<std::uint32_t>(start.data(), std::endian::big) == kSectionHeader;
}

Result<std::unique_ptr<Source>> open_pcapng(std::unique_ptr<Window> window, Compression compression, std::string name) {
  auto source = std::make_unique<PcapngSource>(std::move(window), compression, std::move(name));
  WEIR_CHECK(source->read_header());
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace weir::capture
