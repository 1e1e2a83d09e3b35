// The ELF reader. Exports Elf. See elf.h.
#include "object/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#ifndef EM_BPF
#define EM_BPF 247
#endif

namespace weir::object {
namespace {

tl::unexpected<Error> bad(std::uint64_t at, std::string message) { return fail(std::move(message), OffsetPlace{at}); }

class Reader {
 public:
  explicit Reader(ByteSpan bytes) : bytes_(bytes) {}

  Result<Elf> run() {
    if (bytes_.size() < 64 || std::string_view(reinterpret_cast<const char*>(bytes_.data()), 4) !=
                                  "\x7f"
                                  "ELF")
      return bad(0, "this is no ELF file");
    if (bytes_[4] != ELFCLASS64) return bad(4, "this ELF file is not for 64 bits");
    if (bytes_[5] != ELFDATA2LSB && bytes_[5] != ELFDATA2MSB) return bad(5, "the ELF file has no known byte order");
    elf_.order = bytes_[5] == ELFDATA2LSB ? std::endian::little : std::endian::big;
    if (at<std::uint16_t>(18) != EM_BPF)
      return bad(18, fmt::format("this ELF file is for machine {}, not for BPF (247)", at<std::uint16_t>(18)));
    WEIR_CHECK(sections());
    WEIR_CHECK(symbols());
    return std::move(elf_);
  }

 private:
  template <typename T>
  T at(std::uint64_t offset) const {
    return load<T>(bytes_.data() + offset, elf_.order);
  }
  bool holds(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }

  Status sections() {
    const auto table = at<std::uint64_t>(40);
    const auto each = at<std::uint16_t>(58);
    const auto count = at<std::uint16_t>(60);
    const auto names = at<std::uint16_t>(62);
    if (each != 64 && count != 0) return bad(58, fmt::format("section headers of {} bytes are unknown", each));
    if (!holds(table, std::uint64_t{count} * 64)) return bad(40, "the section headers lie outside of the file");
    std::vector<std::uint32_t> name_offsets;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t header = table + i * 64;
      Section section;
      name_offsets.push_back(at<std::uint32_t>(header));
      section.type = at<std::uint32_t>(header + 4);
      section.flags = at<std::uint64_t>(header + 8);
      section.offset = at<std::uint64_t>(header + 24);
      section.size = at<std::uint64_t>(header + 32);
      section.link = at<std::uint32_t>(header + 40);
      section.info = at<std::uint32_t>(header + 44);
      if (section.type != SHT_NOBITS && section.type != SHT_NULL) {
        if (!holds(section.offset, section.size))
          return bad(header + 24, fmt::format("section {} lies outside of the file", i));
        section.bytes = bytes_.subspan(section.offset, section.size);
      }
      if (section.type == SHT_NOBITS && section.size > (1u << 30))
        return bad(header + 32, fmt::format("section {} is too large", i));
      elf_.sections.push_back(section);
    }
    if (count == 0) return {};
    if (names >= count) return bad(62, "the section of names does not exist");
    for (std::size_t i = 0; i < count; ++i) {
      const auto name = text(elf_.sections[names], name_offsets[i]);
      if (!name) return bad(table + i * 64, fmt::format("the name of section {} lies outside of its table", i));
      elf_.sections[i].name = *name;
    }
    return {};
  }

  static std::optional<std::string_view> text(const Section& table, std::uint64_t offset) {
    if (offset >= table.bytes.size()) return offset == 0 ? std::optional(std::string_view()) : std::nullopt;
    const char* begin = reinterpret_cast<const char*>(table.bytes.data()) + offset;
    const void* end = std::memchr(begin, 0, table.bytes.size() - offset);
    if (end == nullptr) return std::nullopt;
    return std::string_view(begin, static_cast<std::size_t>(static_cast<const char*>(end) - begin));
  }

  Status symbols() {
    for (const Section& section : elf_.sections) {
      if (section.type != SHT_SYMTAB) continue;
      if (section.link >= elf_.sections.size()) return bad(section.offset, "the names of the symbols do not exist");
      const Section& names = elf_.sections[section.link];
      if (section.bytes.size() % 24 != 0) return bad(section.offset, "the symbols are cut off");
      for (std::uint64_t i = 0; i < section.bytes.size(); i += 24) {
        const std::uint64_t place = section.offset + i;
        Symbol symbol;
        const auto name = text(names, at<std::uint32_t>(place));
        if (!name) return bad(place, fmt::format("the name of symbol {} lies outside of its table", i / 24));
        symbol.name = *name;
        symbol.type = bytes_[place + 4] & 15;
        symbol.binding = bytes_[place + 4] >> 4;
        symbol.section = at<std::uint16_t>(place + 6);
        symbol.value = at<std::uint64_t>(place + 8);
        symbol.size = at<std::uint64_t>(place + 16);
        if (symbol.section < elf_.sections.size() && symbol.section != 0) {
          const Section& home = elf_.sections[symbol.section];
          if (symbol.value > home.size || symbol.size > home.size - symbol.value)
            return bad(place, fmt::format("symbol '{}' lies outside of its section", symbol.name));
        }
        elf_.symbols.push_back(symbol);
      }
      break;
    }
    return {};
  }

  ByteSpan bytes_;
  Elf elf_;
};

}  // namespace

Result<Elf> Elf::parse(ByteSpan bytes) { return Reader(bytes).run(); }

Result<std::vector<Relocation>> Elf::relocations(std::size_t index) const {
  std::vector<Relocation> out;
  for (const Section& section : sections) {
    const bool with_addend = section.type == SHT_RELA;
    if ((section.type != SHT_REL && !with_addend) || section.info != index) continue;
    const std::uint64_t each = with_addend ? 24 : 16;
    if (section.bytes.size() % each != 0) return bad(section.offset, "the relocations are cut off");
    for (std::uint64_t i = 0; i < section.bytes.size(); i += each) {
      const std::uint8_t* entry = section.bytes.data() + i;
      const auto info = load<std::uint64_t>(entry + 8, order);
      Relocation relocation{load<std::uint64_t>(entry, order), static_cast<std::uint32_t>(info >> 32),
                            static_cast<std::uint32_t>(info), section.offset + i};
      if (relocation.symbol >= symbols.size())
        return bad(relocation.place, "a relocation names a symbol that does not exist");
      out.push_back(relocation);
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Relocation& a, const Relocation& b) { return a.offset < b.offset; });
  return out;
}

const Section* Elf::find(std::string_view name) const {
  for (const Section& section : sections)
    if (section.name == name) return &section;
  return nullptr;
}

}  // namespace weir::object
