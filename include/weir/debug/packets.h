// The packets of a session: copies of a capture's records, any of them at hand at any time.
//
// Bytes lie in large chunks that never move, so a packet stays valid as long as the list. Costs the captured bytes and
// some 64 bytes a packet. Not synchronised while it grows; afterwards safe to read from many threads.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::debug {

struct PacketInfo {
  packet::LinkType link_type = packet::LinkType::kEthernet;
  std::uint32_t interface = 0;  // index into the capture's interfaces
};

class PacketList {
 public:
  // Copies the packet, its bytes and its metadata.
  void add(const packet::Packet& packet, const PacketInfo& info = {});

  std::size_t size() const { return packets_.size(); }
  bool empty() const { return packets_.empty(); }
  // From 0.
  const packet::Packet& operator[](std::size_t index) const { return packets_[index]; }
  const PacketInfo& info(std::size_t index) const { return infos_[index]; }

 private:
  std::uint8_t* room_for(std::size_t size);
  std::vector<packet::Packet> packets_;
  std::vector<PacketInfo> infos_;
  std::deque<packet::Metadata> metadata_;
  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
  std::size_t left_ = 0;  // bytes free at the end of the last chunk
  std::uint8_t* free_ = nullptr;
};

}  // namespace weir::debug
