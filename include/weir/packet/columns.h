// Many packets as columns: what the walker of a mapped capture has at hand, and what machine code takes as it is.
//
// Packet i is the lengths[i] bytes at base + offsets[i]. All columns have `count` entries. Each packet ends
// kColumnBytes behind base at the most, so that vector code can use signed indices: a longer mapping is taken in
// windows, each with its own base (base may lie before the first packet, even outside of the mapping: only packets are
// read).
//
// Nothing outside of a packet's own bytes is read, whatever the engine. Columns borrows all that it points to.
// Plain values: no synchronisation needed to read.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/packet/packet.h>

namespace weir::packet {

inline constexpr std::uint32_t kColumnBytes = 0x7fffffff;

struct Columns {
  const std::uint8_t* base = nullptr;
  const std::uint32_t* offsets = nullptr;
  const std::uint32_t* lengths = nullptr;       // captured bytes
  const std::uint32_t* wire_lengths = nullptr;  // bytes on the wire; null: the same as lengths
  const Metadata* const* metadata = nullptr;    // null, or one a packet, each of which may be null
  std::size_t count = 0;

  Packet operator[](std::size_t i) const {
    return {base + offsets[i], lengths[i], (wire_lengths != nullptr ? wire_lengths : lengths)[i],
            metadata != nullptr ? metadata[i] : nullptr};
  }
};

}  // namespace weir::packet
