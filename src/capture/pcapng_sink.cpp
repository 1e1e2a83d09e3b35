// pcapng files. Exports make_pcapng_sink.
//
// From a pcapng source all blocks but the packets that do not match are copied as they are, so sections, interfaces,
// options, names and statistics stay. A pcap source becomes a section of its own with one interface.
#include "capture/pcap_sink.h"

namespace weir::capture {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;

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
        WEIR_CHECK(output_.append(batch.blocks[next_block++].raw));
      return {};
    };
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      WEIR_CHECK(blocks_before(i));
      if (verdicts[i] == 0) continue;
      const Record& record = batch.records[i];
      if (copy_ && !record.raw.empty()) WEIR_CHECK(output_.append(record.raw));
      else WEIR_CHECK(write_packet(batch.packets[i], record));
    }
    return blocks_before(static_cast<std::size_t>(-1));
  }

  Status commit() override {
    if (!started_) WEIR_CHECK(write_section());
    return output_.commit();
  }

 private:
  // Type, body padded to four bytes, and the length before and behind.
  Status write_block(std::uint32_t type, const std::vector<std::uint8_t>& body) {
    const std::size_t padding = (4 - body.size() % 4) % 4;
    std::vector<std::uint8_t> block;
    const auto length = static_cast<std::uint32_t>(12 + body.size() + padding);
    append(block, type);
    append(block, length);
    block.insert(block.end(), body.begin(), body.end());
    block.resize(block.size() + padding);
    append(block, length);
    return output_.append(block);
  }

  // In the byte order of the section that the block stands in.
  template <typename T>
  void append(std::vector<std::uint8_t>& to, T value) const {
    const std::endian order = copy_ && source_ != nullptr ? source_->byte_order() : std::endian::native;
    append_number(to, order == std::endian::native ? value : byte_swap(value));
  }

  Status write_section() {
    std::vector<std::uint8_t> body;
    append<std::uint32_t>(body, 0x1a2b3c4d);
    append<std::uint16_t>(body, 1);
    append<std::uint16_t>(body, 0);
    append<std::uint64_t>(body, ~std::uint64_t{0});  // section length: not known
    return write_block(kSectionHeader, body);
  }

  Status write_interface(const Interface& interface) {
    std::vector<std::uint8_t> body;
    append<std::uint16_t>(body, static_cast<std::uint16_t>(interface.link_type));
    append<std::uint16_t>(body, 0);
    append<std::uint32_t>(body, interface.snap_length);
    if (interface.ticks_per_second != 1000000) {
      append<std::uint16_t>(body, 9);  // if_tsresol: a power of ten
      append<std::uint16_t>(body, 1);
      body.insert(body.end(), {9, 0, 0, 0});
      append<std::uint32_t>(body, 0);  // end of options
    }
    return write_block(kInterfaceDescription, body);
  }

  Status write_packet(const packet::Packet& packet, const Record& record) {
    std::vector<std::uint8_t> body;
    // In a copied section the interface keeps the number it has there; sections written here have one interface.
    append<std::uint32_t>(body, copy_ ? source_->interfaces()[record.interface].number : 0);
    append<std::uint32_t>(body, static_cast<std::uint32_t>(record.ticks >> 32));
    append<std::uint32_t>(body, static_cast<std::uint32_t>(record.ticks));
    append<std::uint32_t>(body, packet.length);
    append<std::uint32_t>(body, packet.wire_length);
    body.insert(body.end(), packet.data, packet.data + packet.length);
    return write_block(kEnhancedPacket, body);
  }

  Output output_;
  const Source* source_ = nullptr;
  bool copy_ = false;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Sink> make_pcapng_sink(Output output) { return std::make_unique<PcapngSink>(std::move(output)); }

Result<std::unique_ptr<Sink>> create(const std::string& path, const SinkOptions& options) {
  WEIR_TRY(ReplacingFile file, ReplacingFile::create(path));
  Output output(std::move(file));
  if (options.format == Format::kPcapng) return make_pcapng_sink(std::move(output));
  return make_pcap_sink(std::move(output), options.nanoseconds);
}

}  // namespace weir::capture
