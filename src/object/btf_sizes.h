// How long the types of a BTF table are: 12 bytes, and what their kind adds. Source: Documentation/bpf/btf.rst.
#pragma once

#include <cstdint>

#include <weir/object/btf.h>

namespace weir::object {

inline constexpr std::uint64_t kBtfTypeSize = 12;

// Whether a type has as many entries as it counts, and not one at the most.
constexpr bool repeats(BtfKind kind) {
  return kind == BtfKind::kStruct || kind == BtfKind::kUnion || kind == BtfKind::kEnum || kind == BtfKind::kPrototype ||
         kind == BtfKind::kDataSection || kind == BtfKind::kEnum64;
}

constexpr std::uint64_t entry_size(BtfKind kind) {
  switch (kind) {
    case BtfKind::kInt:
    case BtfKind::kVariable:
    case BtfKind::kDeclarationTag: return 4;
    case BtfKind::kEnum:
    case BtfKind::kPrototype: return 8;
    case BtfKind::kArray:
    case BtfKind::kStruct:
    case BtfKind::kUnion:
    case BtfKind::kDataSection:
    case BtfKind::kEnum64: return 12;
    default: return 0;
  }
}

// Behind the first 12 bytes.
constexpr std::uint64_t entries_size(BtfKind kind, std::uint32_t count) {
  return repeats(kind) ? entry_size(kind) * count : entry_size(kind);
}

}  // namespace weir::object
