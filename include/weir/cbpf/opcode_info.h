// The opcode table as data: for the assembler, the disassembler, the checker and liveness.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <weir/cbpf/instruction.h>

namespace weir::cbpf {

enum class OperandShape : std::uint8_t {
  kNone,            // neg
  kConstant,        // #k
  kAbsolute,        // [k], or an extension name
  kIndirect,        // [x + k]
  kScratch,         // M[k]
  kLength,          // #len
  kHeaderLength,    // 4*([k]&0xf)
  kIndex,           // x
  kAccumulator,     // a
  kJump,            // label
  kBranchConstant,  // #k, label, label
  kBranchIndex,     // x, label, label
};

struct OpcodeInfo {
  Opcode opcode;
  std::string_view name;      // "kLdWordAbsolute"
  std::string_view mnemonic;  // "ld"
  OperandShape shape;
  std::string_view reads;   // of "PAXM"
  std::string_view writes;  // of "AXM"
  bool seccomp;             // also legal for seccomp(2)
};

std::span<const OpcodeInfo> opcodes();
const OpcodeInfo* find(std::uint16_t code);  // null unless one of the 49

struct ExtensionInfo {
  Extension extension;
  std::string_view text;  // as bpf_asm names it: "vlan_tci"
};
std::span<const ExtensionInfo> extensions();
// The extension that an absolute load at `offset` reads; null when it is none.
const ExtensionInfo* find_extension(std::uint32_t offset);

}  // namespace weir::cbpf
