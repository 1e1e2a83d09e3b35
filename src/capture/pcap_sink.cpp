// pcap files, in the byte order of this host. Exports make_pcap_sink.
//
// Runs of matching records that lie side by side in the source are copied in one piece.
#include "capture/pcap_sink.h"

#include <fmt/format.h>

namespace weir::capture {
namespace {

__extension__ using Wide = unsigned __int128;  // products of 64-bit numbers

class PcapSink final : public Sink {
 public:
  PcapSink(Output output, bool nanoseconds)
      : output_(std::move(output)), ticks_per_second_(nanoseconds ? 1000000000 : 1000000) {}

  Status begin(const Source& source) override {
    source_ = &source;
    copy_ = source.format() == Format::kPcap && source.byte_order() == std::endian::native &&
            source.interfaces().front().ticks_per_second == ticks_per_second_;
    // A pcapng source may not have told its interfaces yet: then the first packet decides.
    if (!source.interfaces().empty()) return take_interface(source.interfaces().front());
    return {};
  }

  Status write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts) override {
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      if (verdicts[i] == 0) continue;
      const Record& record = batch.records[i];
      if (!copy_ || record.raw.empty()) {
        WEIR_CHECK(take_interface(source_->interfaces()[record.interface]));
        WEIR_CHECK(write_anew(batch.packets[i], record));
        continue;
      }
      ByteSpan run = record.raw;
      while (i + 1 < verdicts.size() && verdicts[i + 1] != 0 &&
             batch.records[i + 1].raw.data() == run.data() + run.size())
        run = {run.data(), run.size() + batch.records[++i].raw.size()};
      WEIR_CHECK(output_.append(run));
    }
    return {};
  }

  Status commit() override {
    // An input without any packet or interface: an empty Ethernet capture is better than an empty file.
    if (!started_) WEIR_CHECK(take_interface(Interface{.link_type = packet::LinkType::kEthernet}));
    return output_.commit();
  }

 private:
  Status take_interface(const Interface& interface) {
    if (!started_) {
      started_ = true;
      link_type_ = interface.link_type;
      std::vector<std::uint8_t> header;
      append_number<std::uint32_t>(header, ticks_per_second_ == 1000000 ? 0xa1b2c3d4 : 0xa1b23c4d);
      append_number<std::uint16_t>(header, 2);
      append_number<std::uint16_t>(header, 4);
      append_number<std::uint32_t>(header, 0);
      append_number<std::uint32_t>(header, 0);
      append_number<std::uint32_t>(header, interface.snap_length);
      append_number<std::uint32_t>(header, static_cast<std::uint32_t>(interface.link_type));
      return output_.append(header);
    }
    if (interface.link_type == link_type_) return {};
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("a pcap file holds one link type: {} does not fit to {}",
                                             packet::name_of(interface.link_type), packet::name_of(link_type_)),
                      .source = source_ != nullptr ? source_->name() : "",
                      .hint = "write pcapng with --format pcapng"});
  }

  Status write_anew(const packet::Packet& packet, const Record& record) {
    const Interface& interface = source_->interfaces()[record.interface];
    const std::uint64_t seconds =
        record.ticks / interface.ticks_per_second + static_cast<std::uint64_t>(interface.offset_seconds);
    const auto fraction = static_cast<std::uint64_t>(static_cast<Wide>(record.ticks % interface.ticks_per_second) *
                                                     ticks_per_second_ / interface.ticks_per_second);
    std::vector<std::uint8_t> header;
    append_number<std::uint32_t>(header, static_cast<std::uint32_t>(seconds));
    append_number<std::uint32_t>(header, static_cast<std::uint32_t>(fraction));
    append_number<std::uint32_t>(header, packet.length);
    append_number<std::uint32_t>(header, packet.wire_length);
    WEIR_CHECK(output_.append(header));
    return output_.append(packet.bytes());
  }

  Output output_;
  std::uint64_t ticks_per_second_;
  const Source* source_ = nullptr;
  bool copy_ = false;
  bool started_ = false;
  packet::LinkType link_type_{};
};

}  // namespace

std::unique_ptr<Sink> make_pcap_sink(Output output, bool nanoseconds) {
  return std::make_unique<PcapSink>(std::move(output), nanoseconds);
}

}  // namespace weir::capture
