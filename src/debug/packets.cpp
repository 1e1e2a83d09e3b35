// Packets kept for a session. Exports PacketList.
#include <weir/debug/packets.h>

#include <algorithm>
#include <cstring>

namespace weir::debug {

inline constexpr std::size_t kChunk = std::size_t{1} << 20;

std::uint8_t* PacketList::room_for(std::size_t size) {
  if (size > left_) {
    left_ = std::max(size, kChunk);
    chunks_.push_back(std::make_unique<std::uint8_t[]>(left_));
    free_ = chunks_.back().get();
  }
  std::uint8_t* const room = free_;
  free_ += size;
  left_ -= size;
  return room;
}

void PacketList::add(const packet::Packet& packet, const PacketInfo& info) {
  packet::Packet copy = packet;
  if (packet.length > 0) {
    std::uint8_t* const bytes = room_for(packet.length);
    std::memcpy(bytes, packet.data, packet.length);
    copy.data = bytes;
  }
  if (packet.metadata != nullptr) copy.metadata = &metadata_.emplace_back(*packet.metadata);
  packets_.push_back(copy);
  infos_.push_back(info);
}

}  // namespace weir::debug
