// The words of assembler language: mnemonics with their aliases, extension names with theirs.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf {

// A mnemonic: which opcode it is with each shape of operand.
struct Mnemonic {
  std::array<std::optional<Opcode>, 12> opcodes;  // by OperandShape
  bool inverted = false;                          // jne and the like: true and false change places
  bool immediate = false;                         // ldi, ldxi: a constant, '#' may be left out

  std::optional<Opcode> with(OperandShape shape) const { return opcodes[static_cast<std::size_t>(shape)]; }
  bool takes(OperandShape shape) const { return with(shape).has_value(); }
};

std::string lower_case(std::string_view text);

// In lower case; null when there is none. `.raw` is not one.
const Mnemonic* find_mnemonic(std::string_view word);
std::span<const std::string_view> mnemonic_names();  // for suggestions

// What a load of a name reads: the wire length, or an extension.
struct NamedLoad {
  bool length = false;
  std::uint32_t offset = 0;  // kExtensionBase + extension
};
std::optional<NamedLoad> find_named_load(std::string_view word);  // bpf_asm's names and bpfc's, in lower case
std::span<const std::string_view> named_loads();                  // for suggestions

// Words that are no labels: mnemonics and bpf_asm's names of extensions. In lower case.
bool is_reserved(std::string_view word);

}  // namespace weir::cbpf
