// Extension loads from metadata. Exports load_extension.
#include "engine/extension_load.h"

#include <random>

namespace weir::engine {
namespace {

std::uint32_t random_word() {
  thread_local std::mt19937 generator{std::random_device{}()};
  return static_cast<std::uint32_t>(generator());
}

}  // namespace

std::uint32_t load_extension(cbpf::Extension extension, const packet::Packet& packet) {
  static constexpr packet::Metadata kUnknown{};
  const packet::Metadata& metadata = packet.metadata != nullptr ? *packet.metadata : kUnknown;
  switch (extension) {
    case cbpf::Extension::kProtocol: return metadata.protocol;
    case cbpf::Extension::kType: return metadata.type;
    case cbpf::Extension::kInterfaceIndex: return metadata.interface_index;
    case cbpf::Extension::kMark: return metadata.mark;
    case cbpf::Extension::kQueue: return metadata.queue;
    case cbpf::Extension::kHardwareType: return metadata.hardware_type;
    case cbpf::Extension::kReceiveHash: return metadata.receive_hash;
    case cbpf::Extension::kCpu: return metadata.cpu;
    case cbpf::Extension::kVlanTci: return metadata.vlan_tci;
    case cbpf::Extension::kVlanPresent: return metadata.vlan_present;
    case cbpf::Extension::kVlanProtocol: return metadata.vlan_protocol;
    case cbpf::Extension::kRandom: return random_word();
    case cbpf::Extension::kNetlinkAttribute:
    case cbpf::Extension::kNetlinkNested:
    case cbpf::Extension::kPayloadOffset:
    case cbpf::Extension::kXorX:  // not a load: the interpreter computes A ^ X
      return 0;
  }
  return 0;
}

}  // namespace weir::engine
