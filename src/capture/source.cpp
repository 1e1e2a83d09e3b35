// The choice of a reader by content, and what readers share. Exports open, open_memory, time_of and names.
#include <weir/capture/source.h>

#include <fmt/format.h>

#include <weir/capture/open_file.h>

#include "capture/pcap_source.h"
#include "capture/pseudo_header.h"

namespace weir::capture {
namespace {

__extension__ using Wide = unsigned __int128;  // products of 64-bit numbers

// What an unreadable file may be, judged by its first bytes.
std::string hint_for(ByteSpan start) {
  struct Known {
    std::string_view magic;
    std::string_view what;
  };
  static constexpr Known kKnown[] = {
      {"\xfd"
       "7zXZ",
       "it is compressed with xz: decompress it first (xz -dc FILE | weir ... -)"},
      {"BZh", "it is compressed with bzip2: decompress it first (bzip2 -dc FILE | weir ... -)"},
      {"\x02\x21\x4c\x18", "it is compressed in lz4's legacy format: decompress it first (lz4 -dc FILE | weir ... -)"},
      {"PK\x03\x04", "it is a zip archive: unpack it first"},
      {"snoop\0\0\0", "it is a snoop capture: convert it first (editcap -F pcap FILE OUT)"},
  };
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  for (const Known& known : kKnown)
    if (text.substr(0, known.magic.size()) == known.magic) return std::string(known.what);
  if (start.size() < 4) return fmt::format("it has only {} byte{}", start.size(), start.size() == 1 ? "" : "s");
  return fmt::format("it starts with the bytes {:02x} {:02x} {:02x} {:02x}", start[0], start[1], start[2], start[3]);
}

}  // namespace

Result<std::unique_ptr<Source>> open_over(std::unique_ptr<ByteStream> stream, std::string name, std::size_t capacity) {
  Result<OpenedStream> opened = decompressed(std::move(stream));
  if (!opened) {
    opened.error().source = std::move(name);
    return fail(std::move(opened).error());
  }
  std::unique_ptr<Mapping> mapping;
  if (opened->compression == Compression::kNone) mapping = opened->stream->map();
  auto window = std::make_unique<Window>(std::move(opened->stream), capacity);
  window->use(std::move(mapping));
  window->fill(8);
  const ByteSpan start = window->bytes();
  if (is_pcap(start)) return open_pcap(std::move(window), opened->compression, std::move(name));
  if (is_pcapng(start)) return open_pcapng(std::move(window), opened->compression, std::move(name));
  Error error{.message = "neither a pcap nor a pcapng file", .place = OffsetPlace{0}};
  if (start.empty()) error.message = "the file is empty";
  else error.hint = hint_for(start);
  if (window->failure()) error = *window->failure();
  error.source = std::move(name);
  return fail(std::move(error));
}

Result<std::unique_ptr<Source>> open(const std::string& path) {
  WEIR_TRY(FileDescriptor file, open_for_reading(path));
  return open(std::move(file), path);
}

Result<std::unique_ptr<Source>> open(FileDescriptor file, const std::string& name) {
  const bool standard = name == "-";
  return open_over(file_stream(std::move(file), standard ? "standard input" : "'" + name + "'"),
                   standard ? "standard input" : name);
}

Result<std::unique_ptr<Source>> open_memory(ByteSpan bytes, std::string name) {
  return open_over(memory_stream(bytes), std::move(name));
}

Time time_of(const Record& record, const Interface& interface) {
  const std::uint64_t seconds = record.ticks / interface.ticks_per_second;
  const std::uint64_t rest = record.ticks % interface.ticks_per_second;
  // Sums wrap where if_tsoffset is nonsense, rather than overflow.
  return {static_cast<std::int64_t>(seconds + static_cast<std::uint64_t>(interface.offset_seconds)),
          static_cast<std::uint32_t>(static_cast<Wide>(rest) * 1000000000 / interface.ticks_per_second)};
}

std::uint32_t longest_packet(packet::LinkType type) {
  // As libpcap (pcap-common.c, max_snaplen_for_dlt): D-Bus messages, USB transfers and bus traces are longer.
  constexpr auto kUsbPcap = static_cast<packet::LinkType>(249);
  constexpr auto kEbhscr = static_cast<packet::LinkType>(279);
  if (type == packet::LinkType::kDbus) return 128u << 20;
  if (type == kUsbPcap) return 1u << 20;
  if (type == kEbhscr) return 8u << 20;
  return kLongestPacket;
}

packet::LinkType link_type_of(std::uint32_t number) {
  const auto type = static_cast<packet::LinkType>(number);
  if (packet::find(type) != nullptr) return type;
  // Old versions of libpcap wrote their system's own number, which is the same as Linux's but for OpenBSD's raw IP.
  if (number == 14) return packet::LinkType::kRaw;
  for (const packet::LinkTypeInfo& info : packet::link_types())
    if (info.dlt == number) return info.type;
  return type;
}

std::uint32_t snap_length_of(std::uint32_t field, packet::LinkType type) {
  return field == 0 || field > 0x7fffffff ? longest_packet(type) : field;
}

Status check_mapping(const Window& window, const std::string& name) {
  if (window.mapping() == nullptr || window.mapping()->is_intact()) return {};
  return fail(Error{.code = ErrorCode::kSystem,
                    .message = "the file became shorter while it was read",
                    .source = name,
                    .hint = "read a copy, or wait until nobody writes it"});
}

void convert_last(RecordBatch& batch, const Interface& interface) {
  if (interface.byte_order == std::endian::native || !has_host_order(interface.link_type)) return;
  packet::Packet& packet = batch.packets.back();
  batch.changed.emplace_back(packet.data, packet.data + packet.length);
  std::span<std::uint8_t> changed = batch.changed.back();
  // As libpcap: nor what lies behind the end of a packet that says it was shorter on the wire.
  swap_host_order(interface.link_type, changed.first(std::min<std::size_t>(changed.size(), packet.wire_length)));
  packet.data = batch.changed.back().data();
}

Diagnostic longer_than_snap_length(const Source& source, std::uint32_t captured, std::uint32_t snap_length,
                                   std::uint64_t offset, std::string hint) {
  return {.severity = Severity::kWarning,
          .message = fmt::format("a packet of {} bytes is longer than the snap length of {}", captured, snap_length),
          .place = OffsetPlace{offset},
          .source = source.name(),
          .hint = std::move(hint)};
}

std::string_view name_of(Format format) { return format == Format::kPcap ? "pcap" : "pcapng"; }

std::string_view name_of(Compression compression) {
  switch (compression) {
    case Compression::kNone: return "none";
    case Compression::kGzip: return "gzip";
    case Compression::kZstd: return "zstd";
    case Compression::kLz4: return "lz4";
  }
  return "";
}

}  // namespace weir::capture
