// Programs as text. Exports write and write_instruction.
//
// kText, kC and kDecimal are, byte for byte, what tcpdump -d, -dd and -ddd print.
#include <weir/cbpf/text.h>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "cbpf/disassemble.h"

namespace weir::cbpf {
namespace {

// libpcap's names of extension loads; they differ from bpf_asm's in a few.
std::string_view listing_name(const ExtensionInfo& extension) {
  switch (extension.extension) {
    case Extension::kXorX: return "xor_x";
    case Extension::kVlanPresent: return "vlanp";
    case Extension::kRandom: return "random";
    default: return extension.text;
  }
}

bool prints_hexadecimal(Opcode opcode) {
  switch (opcode) {
    case Opcode::kLdImmediate:
    case Opcode::kLdxImmediate:
    case Opcode::kAndK:
    case Opcode::kOrK:
    case Opcode::kXorK: return true;
    default: return false;
  }
}

std::string operand_text(const Instruction& instruction, const OpcodeInfo& info, std::size_t index) {
  const auto k = static_cast<std::int32_t>(instruction.k);
  switch (info.shape) {
    case OperandShape::kConstant:
      return prints_hexadecimal(info.opcode) ? fmt::format("#{:#x}", instruction.k) : fmt::format("#{}", k);
    case OperandShape::kAbsolute:
      if (const ExtensionInfo* extension = find_extension(instruction.k); extension != nullptr)
        return fmt::format("[{}]", listing_name(*extension));
      return fmt::format("[{}]", k);
    case OperandShape::kIndirect: return fmt::format("[x + {}]", k);
    case OperandShape::kScratch: return fmt::format("M[{}]", k);
    case OperandShape::kLength: return "#pktlen";
    case OperandShape::kHeaderLength: return fmt::format("4*([{}]&0xf)", k);
    case OperandShape::kJump:
      return fmt::format("{}", static_cast<std::int32_t>(static_cast<std::uint32_t>(index) + 1 + instruction.k));
    case OperandShape::kBranchConstant: return fmt::format("#{:#x}", instruction.k);
    case OperandShape::kIndex:
    case OperandShape::kBranchIndex: return "x";
    case OperandShape::kAccumulator:
    case OperandShape::kNone: return "";
  }
  return "";
}

}  // namespace

std::string write_instruction(const Instruction& instruction, std::size_t index) {
  const OpcodeInfo* info = find(instruction.code);
  // `ldx #len` is unknown to libpcap.
  if (info == nullptr || info->opcode == Opcode::kLdxLength)
    return fmt::format("{:<8} {:#x}", "unimp", instruction.code);
  const std::string operand = operand_text(instruction, *info, index);
  if (info->shape == OperandShape::kBranchConstant || info->shape == OperandShape::kBranchIndex)
    return fmt::format("{:<8} {:<16} jt {}\tjf {}", info->mnemonic, operand, index + 1 + instruction.jt,
                       index + 1 + instruction.jf);
  return fmt::format("{:<8} {}", info->mnemonic, operand);
}

std::string write(const Program& program, Format format) {
  std::string out;
  switch (format) {
    case Format::kText:
      for (std::size_t i = 0; i < program.size(); ++i)
        out += fmt::format("({:03}) {}\n", i, write_instruction(program[i], i));
      return out;
    case Format::kC:
      for (const Instruction& i : program)
        out += fmt::format("{{ {:#x}, {}, {}, {:#010x} }},\n", i.code, i.jt, i.jf, i.k);
      return out;
    case Format::kDecimal:
      out = fmt::format("{}\n", program.size());
      for (const Instruction& i : program) out += fmt::format("{} {} {} {}\n", i.code, i.jt, i.jf, i.k);
      return out;
    case Format::kBytecode:
      out = fmt::format("{},", program.size());
      for (const Instruction& i : program) out += fmt::format("{} {} {} {},", i.code, i.jt, i.jf, i.k);
      return out + "\n";
    case Format::kAssembly: return disassemble(program);
  }
  return out;
}

}  // namespace weir::cbpf
