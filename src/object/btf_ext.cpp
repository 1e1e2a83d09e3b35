// Maps that BTF describes, and source lines. Exports read_btf_map, read_lines.
//
// A map is a struct whose members are pointers: __uint(name, n) is a pointer to an array of n, __type(name, t) a
// pointer to t. Source: libbpf's bpf_helpers.h; Documentation/bpf/btf.rst, section 3.3 for .BTF.ext.
#include <fmt/format.h>

#include "object/linker.h"

namespace weir::object {
namespace {

// n of __uint(name, n).
std::optional<std::uint32_t> number_of(const Btf& btf, std::uint32_t id) {
  const BtfType* pointer = btf.type(btf.resolve(id));
  if (pointer == nullptr || pointer->kind != BtfKind::kPointer) return std::nullopt;
  const BtfType* array = btf.type(btf.resolve(pointer->type));
  if (array == nullptr || array->kind != BtfKind::kArray) return std::nullopt;
  return array->elements;
}

Result<BtfMap> from_struct(const Btf& btf, std::string name, std::uint32_t type, std::vector<BtfMap>& inner,
                           int depth) {
  const BtfType* body = btf.type(btf.resolve(type));
  if (body == nullptr || body->kind != BtfKind::kStruct || depth > 1)
    return fail(fmt::format("map '{}' is not described by a struct", name));
  BtfMap out{.definition = {.name = std::move(name)}};
  ebpf::MapDefinition& map = out.definition;
  for (const BtfMember& member : body->members) {
    const std::optional<std::uint32_t> number = number_of(btf, member.type);
    const auto bad = [&] {
      return fail(fmt::format("map '{}': member '{}' has no sensible type", map.name, member.name));
    };
    if (member.name == "values") {
      const BtfType* array = btf.type(btf.resolve(member.type));
      if (array == nullptr || array->kind != BtfKind::kArray) return bad();
      const BtfType* pointer = btf.type(btf.resolve(array->type));
      map.value_size = 4;
      out.slots_at = member.value / 8;
      if (pointer == nullptr || pointer->kind != BtfKind::kPointer) return bad();
      const BtfType* target = btf.type(btf.resolve(pointer->type));
      if (target != nullptr && target->kind == BtfKind::kStruct) {
        WEIR_TRY(BtfMap each, from_struct(btf, map.name + ".inner", pointer->type, inner, depth + 1));
        map.inner = each.definition.name;
        inner.push_back(std::move(each));
      }
      continue;
    }
    if (member.name == "key" || member.name == "value") {
      const BtfType* pointer = btf.type(btf.resolve(member.type));
      if (pointer == nullptr || pointer->kind != BtfKind::kPointer) return bad();
      const auto size = btf.size_of(pointer->type);
      if (!size || *size > UINT32_MAX) return bad();
      (member.name == "key" ? map.key_size : map.value_size) = static_cast<std::uint32_t>(*size);
      (member.name == "key" ? out.facts.key_type : out.facts.value_type) = pointer->type;
      continue;
    }
    std::uint32_t* field = member.name == "key_size"      ? &map.key_size
                           : member.name == "value_size"  ? &map.value_size
                           : member.name == "max_entries" ? &map.max_entries
                           : member.name == "map_flags"   ? &map.flags
                                                          : nullptr;
    if (member.name != "type" && member.name != "map_extra" && field == nullptr) continue;  // pinning, numa_node
    if (!number) return bad();
    if (member.name == "map_extra") {
      out.facts.extra = *number;
      continue;
    }
    if (field != nullptr) *field = *number;
    else map.type = static_cast<ebpf::MapType>(*number);
  }
  return out;
}

}  // namespace

Result<BtfMap> read_btf_map(const Btf& btf, const BtfType& variable, std::vector<BtfMap>& inner) {
  return from_struct(btf, std::string(variable.name), variable.type, inner, 0);
}

Result<std::map<std::string, std::vector<LineRecord>>> read_lines(const Section& section, std::endian order,
                                                                  const Btf& btf, bool& needs_core) {
  std::map<std::string, std::vector<LineRecord>> out;
  const ByteSpan bytes = section.bytes;
  const auto u32 = [&](std::uint64_t at) { return load<std::uint32_t>(bytes.data() + at, order); };
  if (bytes.size() < 24 || load<std::uint16_t>(bytes.data(), order) != 0xeb9f)
    return bad_at(section.offset, "this is no BTF.ext");
  const std::uint64_t length = u32(4);
  if (length < 24) return bad_at(section.offset + 4, "the BTF.ext header is cut off");
  const std::uint64_t begin = length + u32(16);
  const std::uint64_t end = begin + u32(20);
  if (end > bytes.size()) return bad_at(section.offset + 16, "the line information lies outside of its section");
  needs_core = length >= 32 && bytes.size() >= 32 && u32(28) > 4;
  if (end - begin < 4) return out;
  const std::uint64_t each = u32(begin);
  if (each < 16 || each > 256)
    return bad_at(section.offset + begin, fmt::format("line records of {} bytes are unknown", each));
  for (std::uint64_t at = begin + 4; at < end;) {
    if (end - at < 8) return bad_at(section.offset + at, "the line information is cut off");
    const std::string name(btf.text(u32(at)));
    const std::uint64_t count = u32(at + 4);
    at += 8;
    if (count > (end - at) / each) return bad_at(section.offset + at - 4, "the line information is cut off");
    for (std::uint64_t i = 0; i < count; ++i, at += each) {
      const std::uint32_t where = u32(at + 12);
      out[name].push_back(
          {u32(at) / 8,
           {0, where >> 10, where & 0x3ff, std::string(btf.text(u32(at + 4))), std::string(btf.text(u32(at + 8)))}});
    }
  }
  return out;
}

}  // namespace weir::object
