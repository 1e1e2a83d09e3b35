// Packets of small capture files, for tests of modules below the one that reads captures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::reference {

struct CapturedPacket {
  std::vector<std::uint8_t> bytes;
  std::uint32_t wire_length = 0;

  packet::Packet view() const { return {bytes.data(), static_cast<std::uint32_t>(bytes.size()), wire_length, nullptr}; }
};

struct CaptureFile {
  packet::LinkType link_type{};
  std::uint32_t snap_length = 0;
  bool swapped = false;  // written on a host of the other byte order
  std::vector<CapturedPacket> packets;
};

// pcap in either byte order, or pcapng, as far as it is well formed; empty for anything else.
std::optional<CaptureFile> read_capture(const std::filesystem::path& path);

}  // namespace weir::reference
