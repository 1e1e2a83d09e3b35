// The object writer. Exports write.
//
// Sections: the code, its relocations, "license", ".maps" and ".BTF" where there are maps, symbols and names.
// Little-endian.
#include <elf.h>

#include <cstring>

#include <fmt/format.h>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/object/object.h>

#ifndef EM_BPF
#define EM_BPF 247
#endif

namespace weir::object {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <typename T>
void put(Bytes& out, T value) {
  std::uint8_t bytes[sizeof(T)];
  store(bytes, value, std::endian::little);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

class Names {
 public:
  std::uint32_t add(std::string_view name) {
    const auto at = static_cast<std::uint32_t>(bytes_.size());
    bytes_.insert(bytes_.end(), name.begin(), name.end());
    bytes_.push_back(0);
    return at;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_{0};
};

// BTF for maps: each is a struct of pointers to arrays whose lengths are the numbers.
class MapTypes {
 public:
  Bytes make(const std::vector<ebpf::MapDefinition>& maps) {
    head("int", 1, 0, 4);  // 1: int
    put<std::uint32_t>(types_, 1u << 24 | 32);
    std::vector<std::uint32_t> variables;
    for (const ebpf::MapDefinition& map : maps) variables.push_back(one(map));
    head(".maps", 15, static_cast<std::uint32_t>(maps.size()), static_cast<std::uint32_t>(maps.size()) * kMapSize);
    for (std::uint32_t i = 0; i < variables.size(); ++i) {
      put(types_, variables[i]);
      put(types_, i * kMapSize);
      put(types_, kMapSize);
    }
    Bytes out;
    put<std::uint16_t>(out, 0xeb9f);
    put<std::uint16_t>(out, 1);
    put<std::uint32_t>(out, 24);
    put<std::uint32_t>(out, 0);
    put(out, static_cast<std::uint32_t>(types_.size()));
    put(out, static_cast<std::uint32_t>(types_.size()));
    put(out, static_cast<std::uint32_t>(names_.bytes().size()));
    out.insert(out.end(), types_.begin(), types_.end());
    out.insert(out.end(), names_.bytes().begin(), names_.bytes().end());
    return out;
  }
  static constexpr std::uint32_t kMapSize = 40;  // five pointers

 private:
  std::uint32_t head(std::string_view name, std::uint32_t kind, std::uint32_t count, std::uint32_t last) {
    put(types_, name.empty() ? 0 : names_.add(name));
    put(types_, kind << 24 | count);
    put(types_, last);
    return ++id_;
  }
  std::uint32_t number(std::uint32_t n) {
    const std::uint32_t array = head("", 3, 0, 0);
    put<std::uint32_t>(types_, 1);
    put<std::uint32_t>(types_, 1);
    put(types_, n);
    return head("", 2, 0, array);
  }
  std::uint32_t one(const ebpf::MapDefinition& map) {
    const std::pair<std::string_view, std::uint32_t> members[] = {
        {"type", number(static_cast<std::uint32_t>(map.type))},
        {"key_size", number(map.key_size)},
        {"value_size", number(map.value_size)},
        {"max_entries", number(map.max_entries)},
        {"map_flags", number(map.flags)}};
    const std::uint32_t body = head("", 4, 5, kMapSize);
    std::uint32_t offset = 0;
    for (const auto& [name, type] : members) {
      put(types_, names_.add(name));
      put(types_, type);
      put(types_, offset);
      offset += 64;
    }
    const std::uint32_t variable = head(map.name, 14, 0, body);
    put<std::uint32_t>(types_, 1);  // global
    return variable;
  }

  Bytes types_;
  Names names_;
  std::uint32_t id_ = 0;
};

struct OutSection {
  std::string name;
  std::uint32_t type;
  std::uint64_t flags;
  Bytes bytes;
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  std::uint64_t each = 0;
  std::uint64_t align = 8;
};

Bytes lay_out(std::vector<OutSection> sections) {
  Names names;
  sections.push_back({".shstrtab", SHT_STRTAB, 0, {}, 0, 0, 0, 1});
  std::vector<std::uint32_t> name_at;
  for (const OutSection& section : sections) name_at.push_back(names.add(section.name));
  sections.back().bytes = names.bytes();
  Bytes out(64, 0);
  std::vector<std::uint64_t> offsets;
  for (const OutSection& section : sections) {
    while (out.size() % 8 != 0) out.push_back(0);
    offsets.push_back(out.size());
    out.insert(out.end(), section.bytes.begin(), section.bytes.end());
  }
  while (out.size() % 8 != 0) out.push_back(0);
  const std::uint64_t table = out.size();
  out.resize(out.size() + 64, 0);
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const OutSection& section = sections[i];
    put(out, name_at[i]);
    put(out, section.type);
    put(out, section.flags);
    put<std::uint64_t>(out, 0);
    put(out, offsets[i]);
    put<std::uint64_t>(out, section.bytes.size());
    put(out, section.link);
    put(out, section.info);
    put(out, section.align);
    put(out, section.each);
  }
  const std::uint8_t ident[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  std::memcpy(out.data(), ident, sizeof ident);
  const auto at16 = [&](std::size_t at, std::uint64_t value) {
    store(&out[at], static_cast<std::uint16_t>(value), std::endian::little);
  };
  at16(16, ET_REL);
  at16(18, EM_BPF);
  store<std::uint32_t>(&out[20], EV_CURRENT, std::endian::little);
  store<std::uint64_t>(&out[40], table, std::endian::little);
  at16(52, 64);
  at16(58, 64);
  at16(60, sections.size() + 1);
  at16(62, sections.size());
  return out;
}

void add_symbol(Bytes& out, std::uint32_t name, std::uint8_t info, std::uint16_t section, std::uint64_t value,
                std::uint64_t size) {
  put(out, name);
  out.push_back(info);
  out.push_back(0);
  put(out, section);
  put(out, value);
  put(out, size);
}

}  // namespace

Result<Bytes> write(const ebpf::Program& program, const WriteOptions& options) {
  for (std::size_t i = 0; i < program.size(); ++i) {
    const ebpf::OpcodeInfo* row = ebpf::find(program.instructions[i]);
    if (row != nullptr &&
        (row->shape == ebpf::OperandShape::kCallLocal || row->shape == ebpf::OperandShape::kWideFunction))
      return fail(Error{.code = ErrorCode::kUnsupported,
                        .message = "programs with functions of their own cannot be written as an object",
                        .place = InstructionPlace{static_cast<std::uint32_t>(i)}});
    if (row != nullptr && ebpf::is_wide(row->shape)) ++i;
  }
  constexpr std::uint16_t kCode = 1;
  constexpr std::uint16_t kMaps = 3;
  Names names;
  Bytes symbols;
  add_symbol(symbols, 0, 0, 0, 0, 0);
  const std::string license = program.license.empty() ? options.license : program.license;
  const std::string name = program.name.empty() ? "program" : program.name;
  add_symbol(symbols, names.add(name), STB_GLOBAL << 4 | STT_FUNC, kCode, 0, program.size() * 8);
  for (std::size_t i = 0; i < program.maps.size(); ++i)
    add_symbol(symbols, names.add(program.maps[i].name), STB_GLOBAL << 4 | STT_OBJECT, kMaps, i * MapTypes::kMapSize,
               MapTypes::kMapSize);
  Bytes relocations;
  for (const ebpf::MapReference& reference : program.map_references) {
    put<std::uint64_t>(relocations, std::uint64_t{reference.instruction} * 8);
    put<std::uint64_t>(relocations, std::uint64_t{reference.map + 2} << 32 | 1);  // R_BPF_64_64
  }
  std::vector<OutSection> sections = {
      {options.section, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, ebpf::to_bytes(program)},
      {"license", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, Bytes(license.c_str(), license.c_str() + license.size() + 1), 0,
       0, 0, 1}};
  if (!program.maps.empty()) {
    sections.push_back(
        {".maps", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, Bytes(program.maps.size() * MapTypes::kMapSize, 0)});
    sections.push_back({".BTF", SHT_PROGBITS, 0, MapTypes().make(program.maps)});
  }
  const auto strings = static_cast<std::uint32_t>(sections.size() + 1);
  sections.push_back({".strtab", SHT_STRTAB, 0, names.bytes(), 0, 0, 0, 1});
  sections.push_back({".symtab", SHT_SYMTAB, 0, symbols, strings, 1, 24});
  if (!relocations.empty())
    sections.push_back({".rel" + options.section, SHT_REL, 0, relocations, strings + 1, kCode, 16});
  return lay_out(std::move(sections));
}

}  // namespace weir::object
