// pcapng files. Exports make_pcapng_sink and create.
//
// From a pcapng source all blocks but the packets that do not match are copied as they are, so sections, byte orders,
// interfaces, options, names and statistics stay. Two things cannot: the length of a section, which is no longer true
// and becomes "not known", and custom blocks that ask not to be copied (draft-ietf-opsawg-pcapng, 4.8). A pcap source
// becomes a section of its own with one interface, in the byte order of this host.
#include <algorithm>

#include "capture/pcap_sink.h"
#include "capture/pcapng_blocks.h"

namespace weir::capture {
namespace {

class PcapngSink final : public Sink {
 public:
  explicit PcapngSink(Output output) : output_(std::move(output)) {}

  Status begin(const Source& source) override {
    source_ = &source;
    copy_ = source.format() == Format::kPcapng;
    started_ = true;
    if (copy_) return {};
    WEIR_CHECK(write_section());
    return write_interface(source.interfaces().front());
  }

  Status write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts) override {
    std::size_t next_block = 0;
    const auto blocks_before = [&](std::size_t packet) -> Status {
      while (next_block < batch.blocks.size() && batch.blocks[next_block].before <= packet)
        WEIR_CHECK(copy_block(batch.blocks[next_block++].raw));
      return {};
    };
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      WEIR_CHECK(blocks_before(i));
      if (verdicts[i] == 0) continue;
      if (copy_) WEIR_CHECK(output_.append(batch.records[i].raw));
      else WEIR_CHECK(write_packet(batch.packets[i], batch.records[i]));
    }
    return blocks_before(static_cast<std::size_t>(-1));
  }

  bool copies(const Source&) const override { return copy_; }

  Status append(const std::uint8_t* base, std::span<const Range> records) override {
    return output_.append(base, records, *source_);
  }

  Status flush() override { return output_.can_patch() ? Status{} : output_.flush(); }

  Status commit() override {
    if (!started_) WEIR_CHECK(write_section());
    return output_.commit();
  }

 private:
  static constexpr std::uint64_t kUnknownLength = ~std::uint64_t{0};
  static constexpr std::size_t kSectionLengthField = 16;

  Status copy_block(ByteSpan block) {
    // A section header reads the same in either byte order, so it is told before the order is known.
    if (load<std::uint32_t>(block.data(), std::endian::native) == kSectionHeader) {
      byte_order_ = section_byte_order(block).value_or(std::endian::native);
      std::vector<std::uint8_t> changed(block.begin(), block.end());
      store(changed.data() + kSectionLengthField, kUnknownLength, byte_order_);
      return output_.append(changed);
    }
    if (load<std::uint32_t>(block.data(), byte_order_) == kPrivateCustom) return {};
    return output_.append(block);
  }

  // Type, body padded to four bytes, and the length before and behind.
  Status write_block(std::uint32_t type, std::vector<std::uint8_t> body) {
    body.resize((body.size() + 3) / 4 * 4);
    std::vector<std::uint8_t> head;
    const auto length = static_cast<std::uint32_t>(kBlockHeader + body.size() + kBlockTrailer);
    append_number(head, type);
    append_number(head, length);
    append_number(body, length);
    WEIR_CHECK(output_.append(head));
    return output_.append(body);
  }

  Status write_section() {
    std::vector<std::uint8_t> body;
    append_number<std::uint32_t>(body, kByteOrderMagic);
    append_number<std::uint16_t>(body, 1);
    append_number<std::uint16_t>(body, 0);
    append_number<std::uint64_t>(body, kUnknownLength);
    return write_block(kSectionHeader, std::move(body));
  }

  // Of a pcap source: microseconds, which pcapng takes as given, or nanoseconds.
  Status write_interface(const Interface& interface) {
    std::vector<std::uint8_t> body;
    append_number<std::uint16_t>(body, static_cast<std::uint16_t>(interface.link_type));
    append_number<std::uint16_t>(body, 0);
    append_number<std::uint32_t>(body, interface.snap_length);
    const bool nanoseconds = interface.ticks_per_second == 1000000000;
    // pcap (draft-ietf-opsawg-pcap, 4): bit 26 says that bits 28 to 31 hold the length of the frame check sequence, in
    // units of 16 bits.
    const bool has_check_sequence = (interface.link_bits & 1u << 26) != 0;
    if (nanoseconds) append_option(body, kTimestampResolution, 9);
    if (has_check_sequence)
      append_option(body, kCheckSequenceLength, static_cast<std::uint8_t>((interface.link_bits >> 28) * 2));
    if (nanoseconds || has_check_sequence) append_number<std::uint32_t>(body, kEndOfOptions);
    return write_block(kInterfaceDescription, std::move(body));
  }

  static void append_option(std::vector<std::uint8_t>& body, std::uint16_t code, std::uint8_t value) {
    append_number<std::uint16_t>(body, code);
    append_number<std::uint16_t>(body, 1);
    body.insert(body.end(), {value, 0, 0, 0});
  }

  Status write_packet(const packet::Packet& packet, const Record& record) {
    std::vector<std::uint8_t> body;
    body.reserve(20 + packet.length + 8);
    append_number<std::uint32_t>(body, 0);  // sections written here have one interface
    append_number<std::uint32_t>(body, static_cast<std::uint32_t>(record.ticks >> 32));
    append_number<std::uint32_t>(body, static_cast<std::uint32_t>(record.ticks));
    append_number<std::uint32_t>(body, packet.length);
    append_number<std::uint32_t>(body, packet.wire_length);
    body.insert(body.end(), packet.data, packet.data + packet.length);
    return write_block(kEnhancedPacket, std::move(body));
  }

  Output output_;
  const Source* source_ = nullptr;
  std::endian byte_order_ = std::endian::native;  // of the section copied last
  bool copy_ = false;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Sink> make_pcapng_sink(Output output) { return std::make_unique<PcapngSink>(std::move(output)); }

Result<std::unique_ptr<Sink>> create(const std::string& path, const SinkOptions& options) {
  WEIR_TRY(ReplacingFile file, ReplacingFile::create(path));
  Output output(std::move(file));
  if (options.format == Format::kPcapng) return make_pcapng_sink(std::move(output));
  return make_pcap_sink(std::move(output), options);
}

}  // namespace weir::capture
