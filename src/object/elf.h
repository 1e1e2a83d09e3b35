// The parts of an ELF file, with every bound checked. Exports Elf.
//
// Source: the System V ABI, chapter 4; only 64-bit files for BPF (machine 247) are taken.
#pragma once

#include <string_view>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

namespace weir::object {

struct Section {
  std::string_view name{};
  std::uint32_t type = 0;
  std::uint64_t flags = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t size = 0;    // bytes
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  ByteSpan bytes{};  // empty for sections without bytes (.bss)
};

struct Symbol {
  std::string_view name{};
  std::uint8_t type = 0;  // STT_*
  std::uint8_t binding = 0;
  std::uint16_t section = 0;
  std::uint64_t value = 0;
  std::uint64_t size = 0;
};

struct Relocation {
  std::uint64_t offset = 0;  // in its section
  std::uint32_t symbol = 0;
  std::uint32_t type = 0;
  std::uint64_t place = 0;  // of the relocation itself, in the file
};

struct Elf {
  std::endian order = std::endian::little;
  std::vector<Section> sections{};
  std::vector<Symbol> symbols{};

  static Result<Elf> parse(ByteSpan bytes);
  // The relocations of section `index`, in order of offset.
  Result<std::vector<Relocation>> relocations(std::size_t index) const;
  const Section* find(std::string_view name) const;
};

}  // namespace weir::object
