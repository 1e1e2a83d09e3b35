// Bytes of an ELF file. Exports put, NameTable, SymbolTable, OutSection,
// lay_out, make_types.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/ebpf/program.h>

namespace weir::object {

using Bytes = std::vector<std::uint8_t>;

// Appends a number, little-endian.
template <typename T>
void put(Bytes& out, T value) {
  std::uint8_t bytes[sizeof(T)];
  store(bytes, value, std::endian::little);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

// Strings that end in 0, from the empty one on.
class NameTable {
 public:
  // Where the name begins.
  std::uint32_t add(std::string_view name) {
    const auto at = static_cast<std::uint32_t>(bytes_.size());
    bytes_.append(name);
    bytes_.push_back('\0');
    return at;
  }
  Bytes bytes() const { return {bytes_.begin(), bytes_.end()}; }

 private:
  std::string bytes_ = std::string(1, '\0');
};

// Symbols in the order in which they are added: those of binding STB_LOCAL first, as ELF wants it.
class SymbolTable {
 public:
  SymbolTable();
  // The symbol's number. type: STT_*; binding: STB_*.
  std::uint32_t add(std::string_view name, unsigned binding, unsigned type, std::uint16_t section, std::uint64_t value,
                    std::uint64_t size);
  const Bytes& bytes() const { return bytes_; }
  Bytes names() const { return names_.bytes(); }
  std::uint32_t first_global() const { return first_global_; }

 private:
  Bytes bytes_;
  NameTable names_;
  std::uint32_t count_ = 0;
  std::uint32_t first_global_ = 0;
};

struct OutSection {
  std::string name;
  std::uint32_t type = 0;
  std::uint64_t flags = 0;
  Bytes bytes{};
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  std::uint64_t each = 0;
  std::uint64_t align = 8;
  std::uint64_t size = 0;  // of sections without bytes
};

// A relocatable file for BPF, little-endian. The first section given has number 1.
Bytes lay_out(std::vector<OutSection> sections);

// What the sections .BTF and .BTF.ext are made from.
inline constexpr std::uint32_t kMapSize = 40;  // five pointers
struct TypedFunction {
  std::string name;
  std::string section;
  std::uint32_t at = 0;  // slot of its section
  bool is_static = false;
};
struct TypedLine {
  std::string section;
  std::uint32_t at = 0;
  const ebpf::SourceLine* line = nullptr;
};
struct TypesInput {
  std::vector<const ebpf::MapDefinition*> maps{};         // number i lies at i * kMapSize of the section ".maps"
  const std::vector<ebpf::MapDefinition>* all = nullptr;  // where the definitions of inner maps are found
  std::vector<TypedFunction> functions{};                 // those of one section next to each other, in order
  std::vector<TypedLine> lines{};                         // likewise
};
struct Types {
  Bytes types;  // .BTF
  Bytes ext;    // .BTF.ext
};
Types make_types(const TypesInput& input);

}  // namespace weir::object
