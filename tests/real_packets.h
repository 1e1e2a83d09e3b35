// The first packets of each shared capture, by link type, so that a filter sees what it was written for.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "reference/capture_reader.h"
#include "reference/steered_packets.h"

namespace weir::tests {

class RealPackets {
 public:
  // `data`: the folder with `captures` and `pcap-filter/captures`; none where they are absent.
  explicit RealPackets(const std::filesystem::path& data) {
    for (const char* folder : {"captures", "pcap-filter/captures"}) {
      if (!std::filesystem::exists(data / folder)) continue;
      std::vector<std::filesystem::path> paths;
      for (const auto& entry : std::filesystem::directory_iterator(data / folder)) paths.push_back(entry.path());
      std::sort(paths.begin(), paths.end());
      for (const std::filesystem::path& path : paths) add(path);
    }
  }
  const std::vector<reference::Bytes>& of(packet::LinkType type) { return packets_[type]; }

 private:
  void add(const std::filesystem::path& path) {
    const auto capture = reference::read_capture(path);
    if (!capture) return;
    std::vector<reference::Bytes>& kept = packets_[capture->link_type];
    for (std::size_t i = 0; i < capture->packets.size() && i < 2; ++i) kept.push_back(capture->packets[i].bytes);
  }

  std::map<packet::LinkType, std::vector<reference::Bytes>> packets_;
};

}  // namespace weir::tests
