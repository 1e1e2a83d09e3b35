// pcap files, in the byte order of this host. Exports make_pcap_sink.
//
// Runs of matching records that lie side by side in the source are copied in one piece. The header's snap length must
// hold for all packets, but inputs with a longer one may come later: in a file of our own it is corrected at the end,
// everywhere else the header promises at the start the longest that can come.
#include "capture/pcap_sink.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace weir::capture {
namespace {

__extension__ using Wide = unsigned __int128;  // products of 64-bit numbers

class PcapSink final : public Sink {
 public:
  PcapSink(Output output, const SinkOptions& options)
      : output_(std::move(output)),
        ticks_per_second_(options.nanoseconds ? 1000000000 : 1000000),
        longest_snap_length_(options.longest_snap_length) {}

  Status begin(const Source& source) override {
    source_ = &source;
    from_pcapng_ = source.format() == Format::kPcapng;
    copy_ = source.format() == Format::kPcap && source.byte_order() == std::endian::native &&
            source.interfaces().front().ticks_per_second == ticks_per_second_;
    for (const Interface& interface : source.interfaces()) expect(interface);
    return {};
  }

  Status write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts) override {
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      if (verdicts[i] == 0) continue;
      const Record& record = batch.records[i];
      WEIR_CHECK(take_interface(source_->interfaces()[record.interface]));
      if (!copy_ || !record.as_is) {
        WEIR_CHECK(write_anew(batch.packets[i], record));
        continue;
      }
      ByteSpan run = record.raw;
      while (i + 1 < verdicts.size() && verdicts[i + 1] != 0 && batch.records[i + 1].as_is &&
             batch.records[i + 1].raw.data() == run.data() + run.size())
        run = {run.data(), run.size() + batch.records[++i].raw.size()};
      WEIR_CHECK(output_.append(run));
    }
    return {};
  }

  bool copies(const Source&) const override { return copy_; }

  Status append(const std::uint8_t* base, std::span<const Range> records) override {
    WEIR_CHECK(take_interface(source_->interfaces().front()));
    return output_.append(base, records, *source_);
  }

  Status flush() override { return output_.can_patch() ? Status{} : output_.flush(); }

  Status commit() override {
    // An input without any interface: an empty Ethernet capture is better than an empty file.
    if (!started_) WEIR_CHECK(start(expected_.value_or(Interface{.link_type = packet::LinkType::kEthernet})));
    if (snap_length_ > written_snap_length_ && output_.can_patch()) {
      std::uint8_t field[4];
      store(field, snap_length_, std::endian::native);
      WEIR_CHECK(output_.patch(kSnapLengthField, field));
    }
    return output_.commit();
  }

 private:
  static constexpr std::uint64_t kSnapLengthField = 16;
  static constexpr std::uint32_t kHasCheckSequence = 1u << 26;

  // What the header says is the first interface's, but the snap length, which must hold for all packets.
  void expect(const Interface& interface) {
    if (!expected_) expected_ = interface;
    snap_length_ = std::max(snap_length_, interface.snap_length);
  }

  Status take_interface(const Interface& interface) {
    snap_length_ = std::max(snap_length_, interface.snap_length);
    if (!started_) return start(interface);
    if (interface.link_type == link_.link_type && interface.link_bits == link_.link_bits) return {};
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("a pcap file holds one link type: {} does not fit to {}",
                                             described(interface), described(link_)),
                      .source = source_->name(),
                      .hint = "write pcapng with --format pcapng"});
  }

  // The link type with what the header's field says beside it (draft-ietf-opsawg-pcap, 4).
  static std::string described(const Interface& interface) {
    std::string text(packet::name_of(interface.link_type));
    if (interface.link_bits == 0) return text;
    if ((interface.link_bits & kHasCheckSequence) == 0) return text + fmt::format(" (bits {:#x})", interface.link_bits);
    return text + fmt::format(" with a frame check sequence of {} bytes", (interface.link_bits >> 28) * 2);
  }

  Status start(const Interface& interface) {
    started_ = true;
    link_ = interface;
    snap_length_ = std::max(snap_length_, interface.snap_length);
    if (!output_.can_patch())
      snap_length_ = std::max(snap_length_, longest_snap_length_.value_or(longest_packet(interface.link_type)));
    written_snap_length_ = snap_length_;
    std::vector<std::uint8_t> header;
    append_number<std::uint32_t>(header, ticks_per_second_ == 1000000 ? 0xa1b2c3d4 : 0xa1b23c4d);
    append_number<std::uint16_t>(header, 2);
    append_number<std::uint16_t>(header, 4);
    append_number<std::uint32_t>(header, 0);
    append_number<std::uint32_t>(header, 0);
    append_number<std::uint32_t>(header, snap_length_);
    append_number<std::uint32_t>(header, static_cast<std::uint32_t>(interface.link_type) | interface.link_bits);
    return output_.append(header);
  }

  Status write_anew(const packet::Packet& packet, const Record& record) {
    const Interface& interface = source_->interfaces()[record.interface];
    std::uint64_t seconds =
        record.ticks / interface.ticks_per_second + static_cast<std::uint64_t>(interface.offset_seconds);
    auto fraction = static_cast<std::uint64_t>(static_cast<Wide>(record.ticks % interface.ticks_per_second) *
                                               ticks_per_second_ / interface.ticks_per_second);
    // A pcap record's time is kept as it stands there: its fraction may be a second and more.
    if (!from_pcapng_ && interface.ticks_per_second == ticks_per_second_) {
      seconds = load<std::uint32_t>(record.raw.data(), interface.byte_order);
      fraction = load<std::uint32_t>(record.raw.data() + 4, interface.byte_order);
    }
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
  std::optional<std::uint32_t> longest_snap_length_;
  const Source* source_ = nullptr;  // the one begun last; it may be gone when commit() comes
  bool from_pcapng_ = false;
  bool copy_ = false;
  bool started_ = false;
  Interface link_;                         // the first written: its link type is in the header
  std::uint32_t snap_length_ = 0;          // long enough for all packets so far
  std::uint32_t written_snap_length_ = 0;  // in the header
  std::optional<Interface> expected_;
};

}  // namespace

std::unique_ptr<Sink> make_pcap_sink(Output output, const SinkOptions& options) {
  return std::make_unique<PcapSink>(std::move(output), options);
}

}  // namespace weir::capture
