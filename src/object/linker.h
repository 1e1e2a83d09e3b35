// What the parts of the reader and of the writer share. Exports is_variables_name, read_btf_map,
// read_extra_types.
#pragma once

#include <map>
#include <set>

#include <weir/object/object.h>

#include "object/elf.h"

namespace weir::object {

inline constexpr std::uint32_t kReadOnlyProgram = 1u << 7;  // BPF_F_RDONLY_PROG: maps of constants

// Whether a section of this name holds variables: .data, .rodata, .bss, and .data.mine and the like.
bool is_variables_name(std::string_view name);

struct BtfMap {
  ebpf::MapDefinition definition{};
  MapFacts facts{};
  std::optional<std::uint64_t> slots_at{};  // where in the variable the array `values` begins, in bytes
};
// The map that a variable of the section ".maps" describes; an inner map's is added to `inner`.
Result<BtfMap> read_btf_map(const Btf& btf, const BtfType& variable, std::vector<BtfMap>& inner);

// The table of types of the section .BTF as a kernel takes it; empty for the other byte order.
std::vector<std::uint8_t> kernel_types(const Section& section, const Elf& elf, const Btf& btf);

struct LineRecord {
  std::uint32_t slot = 0;  // in its section
  ebpf::SourceLine line{};
};
// What .BTF.ext says, by section name.
struct ExtraTypes {
  std::map<std::string, std::vector<LineRecord>> lines{};
  std::map<std::string, std::set<std::uint32_t>> core{};  // slots that are relocated against the kernel's types
};
Result<ExtraTypes> read_extra_types(const Section& section, std::endian order, const Btf& btf);

inline tl::unexpected<Error> bad_at(std::uint64_t at, std::string message, std::string hint = {}) {
  return fail(std::move(message), OffsetPlace{at}, std::move(hint));
}

}  // namespace weir::object
