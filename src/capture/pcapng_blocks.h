// Numbers of the pcapng format (draft-ietf-opsawg-pcapng) that its reader and its writer share.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <weir/base/bytes.h>

namespace weir::capture {

inline constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;  // the same in either byte order
inline constexpr std::uint32_t kInterfaceDescription = 1;
inline constexpr std::uint32_t kObsoletePacket = 2;
inline constexpr std::uint32_t kSimplePacket = 3;
inline constexpr std::uint32_t kEnhancedPacket = 6;
inline constexpr std::uint32_t kPrivateCustom = 0x40000bad;  // a custom block that may not be copied to another file

inline constexpr std::uint16_t kEndOfOptions = 0;
inline constexpr std::uint16_t kInterfaceName = 2;
inline constexpr std::uint16_t kTimestampResolution = 9;
inline constexpr std::uint16_t kCheckSequenceLength = 13;
inline constexpr std::uint16_t kTimestampOffset = 14;

inline constexpr std::size_t kBlockHeader = 8;   // type and length
inline constexpr std::size_t kBlockTrailer = 4;  // length again
inline constexpr std::size_t kShortestSectionHeader = 28;
inline constexpr std::size_t kByteOrderEnd = 12;  // of a section header: the byte-order magic stands before

// As libpcap: a longer block is taken for damage, but where a link type has longer packets.
inline constexpr std::size_t kLongestBlock = 16u << 20;

inline constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;

// The byte order of a section header (its first kByteOrderEnd bytes at least).
inline std::optional<std::endian> section_byte_order(ByteSpan block) {
  for (const std::endian order : {std::endian::little, std::endian::big})
    if (load<std::uint32_t>(block.data() + kBlockHeader, order) == kByteOrderMagic) return order;
  return std::nullopt;
}

}  // namespace weir::capture
