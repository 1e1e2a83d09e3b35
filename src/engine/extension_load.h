// What an extension load reads from a packet's metadata: one meaning for every engine.
//
// Source: net/core/filter.c, convert_bpf_extensions. A packet of a capture file has no metadata, and all reads give 0.
// nla, nlan and poff are computed from the packet's bytes (payload_offset.h); rand gives a new number each time.
#pragma once

#include <cstdint>

#include <weir/cbpf/instruction.h>
#include <weir/packet/packet.h>

namespace weir::engine {

// a and x: the registers, which nla and nlan read.
std::uint32_t load_extension(cbpf::Extension extension, const packet::Packet& packet, std::uint32_t a, std::uint32_t x);

// Where in packet::Metadata an extension is kept; -1 for those that are computed.
std::int32_t metadata_offset(cbpf::Extension extension);

}  // namespace weir::engine
