// Maps that BTF describes, and source lines. Exports read_btf_map, read_extra_types.
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

namespace {

// One table of .BTF.ext: records of one length, by section. `header`: where its place and length stand.
class Table {
 public:
  Table(const Section& section, std::endian order, const Btf& btf, std::uint64_t header)
      : section_(section), order_(order), btf_(btf), header_(header) {}

  // Calls `use(section name, record's place)` for each record; they have at least `least` bytes.
  template <typename Use>
  Status each(std::string_view what, std::uint32_t least, const Use& use) const {
    const std::uint64_t begin = u32(4) + std::uint64_t{u32(header_)};
    const std::uint64_t end = begin + u32(header_ + 4);
    const auto bad = [&](std::uint64_t at, std::string_view why) {
      return bad_at(section_.offset + at, fmt::format("the {} {}", what, why));
    };
    if (end > section_.bytes.size()) return bad(header_, "lies outside of its section");
    if (end - begin < 4) return {};
    const std::uint64_t size = u32(begin);
    if (size < least || size > 256)
      return bad_at(section_.offset + begin, fmt::format("{} records of {} bytes are unknown", what, size));
    for (std::uint64_t at = begin + 4; at < end;) {
      if (end - at < 8) return bad(at, "is cut off");
      const std::string name(btf_.text(u32(at)));
      const std::uint64_t count = u32(at + 4);
      at += 8;
      if (count > (end - at) / size) return bad(at - 4, "is cut off");
      for (std::uint64_t i = 0; i < count; ++i, at += size) use(name, at);
    }
    return {};
  }

  std::uint32_t u32(std::uint64_t at) const { return load<std::uint32_t>(section_.bytes.data() + at, order_); }

 private:
  const Section& section_;
  const std::endian order_;
  const Btf& btf_;
  const std::uint64_t header_;
};

}  // namespace

Result<ExtraTypes> read_extra_types(const Section& section, std::endian order, const Btf& btf) {
  constexpr std::uint64_t kLines = 16, kCore = 24;  // in the header
  const ByteSpan bytes = section.bytes;
  if (bytes.size() < 24 || load<std::uint16_t>(bytes.data(), order) != 0xeb9f)
    return bad_at(section.offset, "this is no BTF.ext");
  ExtraTypes out;
  const Table lines(section, order, btf, kLines);
  const std::uint64_t length = lines.u32(4);
  if (length < 24) return bad_at(section.offset + 4, "the BTF.ext header is cut off");
  WEIR_CHECK(lines.each("line information", 16, [&](const std::string& name, std::uint64_t at) {
    const std::uint32_t where = lines.u32(at + 12);
    out.lines[name].push_back({lines.u32(at) / 8,
                               {0, where >> 10, where & 0x3ff, std::string(btf.text(lines.u32(at + 4))),
                                std::string(btf.text(lines.u32(at + 8)))}});
  }));
  if (length < 32 || bytes.size() < 32) return out;
  const Table core(section, order, btf, kCore);
  WEIR_CHECK(core.each("CO-RE relocation", 16,
                       [&](const std::string& name, std::uint64_t at) { out.core[name].insert(core.u32(at) / 8); }));
  return out;
}

}  // namespace weir::object
