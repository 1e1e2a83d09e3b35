// The packets that benchmarks of engines filter: the first bytes of a capture's packets, side by side.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <weir/capture/source.h>
#include <weir/packet/columns.h>

namespace weir::bench {

struct Traffic {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> lengths;
  std::vector<std::uint32_t> wire_lengths;

  packet::Columns columns() const {
    return {bytes.data(), offsets.data(), lengths.data(), wire_lengths.data(), nullptr, offsets.size()};
  }
};

// Up to `count` packets, `snap` bytes of each.
inline Result<Traffic> read_traffic(const std::string& path, std::size_t count, std::uint32_t snap) {
  WEIR_TRY(const auto source, capture::open(path));
  Traffic traffic;
  capture::RecordBatch batch;
  while (traffic.offsets.size() < count) {
    WEIR_TRY(const capture::Read read, source->read(batch));
    if (read == capture::Read::kEnd) break;
    for (const packet::Packet& packet : batch.packets) {
      if (traffic.offsets.size() == count) break;
      const std::uint32_t length = packet.length < snap ? packet.length : snap;
      traffic.offsets.push_back(static_cast<std::uint32_t>(traffic.bytes.size()));
      traffic.lengths.push_back(length);
      traffic.wire_lengths.push_back(packet.wire_length);
      traffic.bytes.insert(traffic.bytes.end(), packet.data, packet.data + length);
    }
  }
  return traffic;
}

}  // namespace weir::bench
