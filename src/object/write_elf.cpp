// The layout of an ELF file. Exports SymbolTable, lay_out. Source: the System V ABI, chapter 4.
#include "object/write_elf.h"

#include <elf.h>

#include <cstring>

#ifndef EM_BPF
#define EM_BPF 247
#endif

namespace weir::object {

SymbolTable::SymbolTable() { add({}, STB_LOCAL, STT_NOTYPE, SHN_UNDEF, 0, 0); }

std::uint32_t SymbolTable::add(std::string_view name, unsigned binding, unsigned type, std::uint16_t section,
                               std::uint64_t value, std::uint64_t size) {
  put(bytes_, name.empty() ? 0 : names_.add(name));
  bytes_.push_back(static_cast<std::uint8_t>(binding << 4 | type));
  bytes_.push_back(STV_DEFAULT);
  put(bytes_, section);
  put(bytes_, value);
  put(bytes_, size);
  if (binding == STB_LOCAL) first_global_ = count_ + 1;
  return count_++;
}

Bytes lay_out(std::vector<OutSection> sections) {
  constexpr std::size_t kHeader = 64;
  NameTable names;
  sections.push_back({.name = ".shstrtab", .type = SHT_STRTAB, .align = 1});
  std::vector<std::uint32_t> name_at;
  for (const OutSection& section : sections) name_at.push_back(names.add(section.name));
  sections.back().bytes = names.bytes();
  Bytes out(kHeader, 0);
  const auto align = [&out] {
    while (out.size() % 8 != 0) out.push_back(0);
  };
  std::vector<std::uint64_t> offsets;
  for (const OutSection& section : sections) {
    align();
    offsets.push_back(out.size());
    out.insert(out.end(), section.bytes.begin(), section.bytes.end());
  }
  align();
  const std::uint64_t table = out.size();
  out.resize(out.size() + kHeader, 0);  // section 0
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const OutSection& section = sections[i];
    put(out, name_at[i]);
    put(out, section.type);
    put(out, section.flags);
    put<std::uint64_t>(out, 0);
    put(out, offsets[i]);
    put<std::uint64_t>(out, section.type == SHT_NOBITS ? section.size : section.bytes.size());
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
  at16(52, kHeader);
  at16(58, kHeader);
  at16(60, sections.size() + 1);
  at16(62, sections.size());
  return out;
}

}  // namespace weir::object
