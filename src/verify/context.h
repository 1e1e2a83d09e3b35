// What programs of each kind see through r1, and what they may return. Exports find_layout.
//
// A Layout is a structure with named fields, or flat memory that is read in aligned pieces. Source: <linux/bpf.h>;
// net/core/filter.c, bpf_skb_is_valid_access and those around it; kernel/trace/bpf_trace.c.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <weir/ebpf/program.h>

namespace weir::verify {

enum class FieldKind : std::uint8_t { kNumber, kData, kDataEnd, kDataMeta };

struct Field {
  std::string_view name;
  std::uint16_t offset;
  std::uint16_t size;     // bytes
  std::uint16_t element;  // what a store writes at a time, and the widest load
  FieldKind kind;
  bool whole;             // only loads of all bytes
  std::uint16_t readers;  // kinds of programs, a bit each (context.cpp)
  std::uint16_t writers;
};

struct Layout {
  std::string_view name;  // "struct xdp_md"
  std::span<const Field> fields{};
  std::uint16_t family = 0;  // the bit of this kind of program in readers and writers
  std::uint32_t flat_begin = 0;
  std::uint32_t flat_end = 0;                      // flat memory where it is not 0
  std::optional<std::uint64_t> greatest_result{};  // r0 at exit, from 0 on
  bool packet_loads = false;                       // ldabs and ldind
  bool packet_writable = false;
};

// Null: programs of this type are not known here.
const Layout* find_layout(ebpf::ProgramType type);

// The kinds of programs that may call a helper of the kernel; false where the helper is not for this one.
bool may_call(ebpf::ProgramType type, std::int32_t helper);

}  // namespace weir::verify
