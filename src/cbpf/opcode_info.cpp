// The opcode and extension tables as data. Exports opcodes, find, extensions, find_extension.
#include <weir/cbpf/opcode_info.h>

#include <array>

namespace weir::cbpf {
namespace {

constexpr std::array kOpcodes = {
#define WEIR_CBPF_OPCODE(name, code, mnemonic, shape, reads, writes, seccomp) \
  OpcodeInfo{Opcode::name, #name, mnemonic, OperandShape::shape, reads, writes, seccomp != 0},
#include <weir/cbpf/opcodes.def>
#undef WEIR_CBPF_OPCODE
};

constexpr std::array kExtensions = {
#define WEIR_CBPF_EXTENSION(name, number, text) ExtensionInfo{Extension::name, text},
#include <weir/cbpf/extensions.def>
#undef WEIR_CBPF_EXTENSION
};

// Row number plus one for each of the 256 codes that fit a byte; 0 where there is no opcode.
constexpr auto kRows = [] {
  std::array<std::uint8_t, 256> rows{};
  for (std::size_t i = 0; i < kOpcodes.size(); ++i)
    rows[static_cast<std::size_t>(kOpcodes[i].opcode)] = static_cast<std::uint8_t>(i + 1);
  return rows;
}();

}  // namespace

std::span<const OpcodeInfo> opcodes() { return kOpcodes; }

const OpcodeInfo* find(std::uint16_t code) {
  if (code >= kRows.size() || kRows[code] == 0) return nullptr;
  return &kOpcodes[kRows[code] - 1u];
}

std::span<const ExtensionInfo> extensions() { return kExtensions; }

const ExtensionInfo* find_extension(std::uint32_t offset) {
  for (const ExtensionInfo& row : kExtensions)
    if (offset == kExtensionBase + static_cast<std::uint32_t>(row.extension)) return &row;
  return nullptr;
}

}  // namespace weir::cbpf
