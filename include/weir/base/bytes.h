// Bytes and numbers in them.
//
// ByteSpan borrows: whoever makes one keeps the bytes alive. The loads do not check bounds; callers have.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace weir {

using ByteSpan = std::span<const std::uint8_t>;

template <typename T>
constexpr T byte_swap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(value));
}

// Reads a T that lies in memory in the given byte order, at any alignment.
template <typename T>
inline T load(const std::uint8_t* at, std::endian order) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return order == std::endian::native ? value : byte_swap(value);
}

template <typename T>
inline void store(std::uint8_t* at, T value, std::endian order) {
  if (order != std::endian::native) value = byte_swap(value);
  std::memcpy(at, &value, sizeof value);
}

inline std::uint16_t load_be16(const std::uint8_t* at) { return load<std::uint16_t>(at, std::endian::big); }
inline std::uint32_t load_be32(const std::uint8_t* at) { return load<std::uint32_t>(at, std::endian::big); }

}  // namespace weir
