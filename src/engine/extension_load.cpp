// Extension loads from metadata. Exports load_extension.
#include "engine/extension_load.h"

#include <cstddef>
#include <cstring>
#include <random>

#include "engine/payload_offset.h"

namespace weir::engine {
namespace {

std::uint32_t random_word() {
  thread_local std::mt19937 generator{std::random_device{}()};
  return static_cast<std::uint32_t>(generator());
}

}  // namespace

std::int32_t metadata_offset(cbpf::Extension extension) {
  using packet::Metadata;
  switch (extension) {
    case cbpf::Extension::kProtocol: return offsetof(Metadata, protocol);
    case cbpf::Extension::kType: return offsetof(Metadata, type);
    case cbpf::Extension::kInterfaceIndex: return offsetof(Metadata, interface_index);
    case cbpf::Extension::kMark: return offsetof(Metadata, mark);
    case cbpf::Extension::kQueue: return offsetof(Metadata, queue);
    case cbpf::Extension::kHardwareType: return offsetof(Metadata, hardware_type);
    case cbpf::Extension::kReceiveHash: return offsetof(Metadata, receive_hash);
    case cbpf::Extension::kCpu: return offsetof(Metadata, cpu);
    case cbpf::Extension::kVlanTci: return offsetof(Metadata, vlan_tci);
    case cbpf::Extension::kVlanPresent: return offsetof(Metadata, vlan_present);
    case cbpf::Extension::kVlanProtocol: return offsetof(Metadata, vlan_protocol);
    case cbpf::Extension::kRandom:
    case cbpf::Extension::kNetlinkAttribute:
    case cbpf::Extension::kNetlinkNested:
    case cbpf::Extension::kPayloadOffset:
    case cbpf::Extension::kXorX: return -1;
  }
  return -1;
}

std::uint32_t load_extension(cbpf::Extension extension, const packet::Packet& packet, std::uint32_t a,
                             std::uint32_t x) {
  switch (extension) {
    case cbpf::Extension::kRandom: return random_word();
    case cbpf::Extension::kXorX: return a ^ x;
    case cbpf::Extension::kNetlinkAttribute: return find_attribute(packet, a, x);
    case cbpf::Extension::kNetlinkNested: return find_nested_attribute(packet, a, x);
    case cbpf::Extension::kPayloadOffset: return payload_offset(packet);
    default: break;
  }
  const std::int32_t offset = metadata_offset(extension);
  if (offset < 0 || packet.metadata == nullptr) return 0;
  std::uint32_t value = 0;
  std::memcpy(&value, reinterpret_cast<const std::uint8_t*>(packet.metadata) + offset, sizeof value);
  return value;
}

}  // namespace weir::engine
