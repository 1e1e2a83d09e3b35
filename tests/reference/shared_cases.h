// Cases that real systems answered, kept outside of the source tree (environment variable WEIR_SHARED, default
// ../shared beside the source directory). Tests skip, and say why, when the folder is absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>


namespace weir::reference {

// The folder `data` of the cases; empty when there is none.
std::optional<std::filesystem::path> shared_data();

// A table of tab-separated values with a header row and \n, \t, \\ escaped: one map from column to value a row.
using Row = std::map<std::string, std::string>;
std::vector<Row> read_table(const std::filesystem::path& path);

// The packets of a capture file (pcap in either byte order, or pcapng), as far as it is well formed.
struct CapturedPacket {
  std::vector<std::uint8_t> bytes;
  std::uint32_t wire_length = 0;
};
struct Capture {
  std::uint32_t link_type = 0;  // LINKTYPE_ number
  std::uint32_t snap_length = 0;
  bool swapped = false;
  std::vector<CapturedPacket> packets;
};
std::optional<Capture> read_capture(const std::filesystem::path& path);

}  // namespace weir::reference
