// The choice of a reader by content. Exports open, open_memory, and the names of formats.
#include <weir/capture/source.h>

#include <fmt/format.h>

#include "capture/pcap_source.h"

namespace weir::capture {
namespace {

Result<std::unique_ptr<Source>> open_window(std::unique_ptr<Window> window, Compression compression, std::string name) {
  if (Status status = window->fill(4); !status) {
    status.error().source = name;
    return fail(std::move(status).error());
  }
  const ByteSpan start = window->bytes();
  if (start.empty())
    return fail(Error{.message = "the file is empty", .place = OffsetPlace{0}, .source = std::move(name)});
  if (is_pcap(start)) return open_pcap(std::move(window), compression, std::move(name));
  if (is_pcapng(start)) return open_pcapng(std::move(window), compression, std::move(name));
  return fail(Error{.message = "neither a pcap nor a pcapng file",
                    .place = OffsetPlace{0},
                    .source = std::move(name),
                    .hint = start.size() < 4 ? "it has only a few bytes"
                                             : fmt::format("it starts with {:02x} {:02x} {:02x} {:02x}", start[0],
                                                           start[1], start[2], start[3])});
}

}  // namespace

Result<std::unique_ptr<Source>> open(const std::string& path) {
  std::string name = path == "-" ? "standard input" : path;
  Result<OpenedStream> stream = open_stream(path);
  if (!stream) return fail(std::move(stream).error());
  return open_window(std::make_unique<Window>(std::move(stream->stream)), stream->compression, std::move(name));
}

Result<std::unique_ptr<Source>> open_memory(ByteSpan bytes, std::string name) {
  return open_window(std::make_unique<Window>(memory_stream(bytes)), Compression::kNone, std::move(name));
}

std::uint32_t longest_record(packet::LinkType type) {
  // As libpcap: D-Bus messages and USB transfers are longer than packets.
  constexpr std::uint32_t kLongMessages = 128u << 20;
  constexpr auto kUsbPcap = static_cast<packet::LinkType>(249);
  constexpr auto kEbhscr = static_cast<packet::LinkType>(279);
  if (type == packet::LinkType::kDbus || type == kUsbPcap) return kLongMessages;
  if (type == kEbhscr) return 8u << 20;
  return kLongestRecord;
}

packet::LinkType canonical_link_type(std::uint32_t number) {
  // Files of some systems carry that system's own number for raw IP.
  if (number == 12 || number == 14) return packet::LinkType::kRaw;
  return static_cast<packet::LinkType>(number);
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
