// Keys and values that some read while others write them. Exports read_word, write_word, write_words.
//
// A word of 8 bytes at a time and without order, so that words are never torn; values may be, as in the kernel.
#pragma once

#include <cstdint>
#include <cstring>

#include <weir/base/bytes.h>

namespace weir::runtime {

using Word __attribute__((may_alias)) = std::uint64_t;
using HalfWord __attribute__((may_alias)) = std::uint32_t;

inline std::uint64_t read_word(const void* at) {
  return __atomic_load_n(static_cast<const Word*>(at), __ATOMIC_RELAXED);
}
inline void write_word(void* at, std::uint64_t word) {
  __atomic_store_n(static_cast<Word*>(at), word, __ATOMIC_RELAXED);
}
inline std::uint64_t partial_word(const std::uint8_t* from, std::uint32_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}
// `to` has room for whole words.
inline void write_words(std::uint8_t* to, const void* from, std::uint32_t size) {
  const auto* bytes = static_cast<const std::uint8_t*>(from);
  for (; size >= 8; size -= 8, to += 8, bytes += 8) write_word(to, load<std::uint64_t>(bytes, std::endian::native));
  if (size != 0) write_word(to, partial_word(bytes, size));
}

}  // namespace weir::runtime
