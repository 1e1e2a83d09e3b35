// The packets that benchmarks of engines filter: the first bytes of a capture's packets, side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
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

// A trace of `count` packets drawn at random from the first `distinct` ones: it stays in the caches, and it is too long
// for a branch predictor to learn.
inline Traffic shuffle(const Traffic& from, std::size_t distinct, std::size_t count) {
  std::mt19937 random(1);
  Traffic out;
  distinct = std::min(distinct, from.offsets.size());
  const std::size_t last = distinct - 1;
  out.bytes.assign(from.bytes.begin(), from.bytes.begin() + from.offsets[last] + from.lengths[last]);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t pick = random() % distinct;
    out.offsets.push_back(from.offsets[pick]);
    out.lengths.push_back(from.lengths[pick]);
    out.wire_lengths.push_back(from.wire_lengths[pick]);
  }
  return out;
}

}  // namespace weir::bench
