// Programs as text. Exports write and write_instruction.
//
// kText, kC and kDecimal are, byte for byte, what tcpdump -d, -dd and -ddd print; kBytecode and kBpfAsmC what bpf_asm
// and bpf_asm -c print.
#include <weir/cbpf/text.h>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "cbpf/disassemble.h"
#include "cbpf/write_source.h"

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
  // `ldx #pktlen` has no form in libpcap, whose listing says "unimp 0x81"; ours is in the same style, and is read back.
  // Any opcode of the class of jumps but JA shows branches, unknown ones too.
  const bool known = info != nullptr;
  const std::string_view mnemonic = known ? info->mnemonic : "unimp";
  const std::string operand = known ? operand_text(instruction, *info, index) : fmt::format("{:#x}", instruction.code);
  if ((instruction.code & 0x07) == 0x05 && (instruction.code & 0xf0) != 0)
    return fmt::format("{:<8} {:<16} jt {}\tjf {}", mnemonic, operand, index + 1 + instruction.jt,
                       index + 1 + instruction.jf);
  return fmt::format("{:<8} {}", mnemonic, operand);
}

namespace {

// "4,40 0 0 12,21 0 1 2054,6 0 0 4294967295,6 0 0 0": each instruction after a comma.
std::string one_line(const Program& program) {
  std::string out = fmt::format("{}", program.size());
  for (const Instruction& i : program) out += fmt::format(",{} {} {} {}", i.code, i.jt, i.jf, i.k);
  return out;
}

std::string listing(const Program& program) {
  std::string out;
  for (std::size_t i = 0; i < program.size(); ++i)
    out += fmt::format("({:03}) {}\n", i, write_instruction(program[i], i));
  return out;
}

std::string decimal(const Program& program) {
  std::string out = fmt::format("{}\n", program.size());
  for (const Instruction& i : program) out += fmt::format("{} {} {} {}\n", i.code, i.jt, i.jf, i.k);
  return out;
}

std::string rows_of_c(const Program& program) {
  std::string out;
  for (const Instruction& i : program) out += fmt::format("{{ {:#x}, {}, {}, {:#010x} }},\n", i.code, i.jt, i.jf, i.k);
  return out;
}

std::string c_function(const Program& program) {
  const Result<Checked> checked = check(program, {.target = Target::kUser});
  if (!checked) return fmt::format("#error \"{}\"\n", checked.error().message);
  return write_c_function(*checked);
}

// printf's %#04x and %#010x, which leave out the 0x of zero.
std::string rows_of_bpf_asm(const Program& program) {
  std::string out;
  for (const Instruction& i : program) {
    const std::string code = i.code == 0 ? "0000" : fmt::format("{:#04x}", i.code);
    const std::string k = i.k == 0 ? "0000000000" : fmt::format("{:#010x}", i.k);
    out += fmt::format("{{ {}, {:2}, {:2}, {} }},\n", code, i.jt, i.jf, k);
  }
  return out;
}

}  // namespace

std::string write(const Program& program, Format format) {
  switch (format) {
    case Format::kText: return listing(program);
    case Format::kC: return rows_of_c(program);
    case Format::kDecimal: return decimal(program);
    case Format::kAssembly: return disassemble(program);
    case Format::kBytecode: return one_line(program) + ",\n";
    case Format::kBpfAsmC: return rows_of_bpf_asm(program);
    case Format::kCArray: return write_c_array(program);
    case Format::kXtBpf: return one_line(program) + "\n";
    case Format::kIptables: return fmt::format("-m bpf --bytecode \"{}\"\n", one_line(program));
    case Format::kTc: return fmt::format("bpf bytecode '{},'\n", one_line(program));
    case Format::kHex: return write_hex(program);
    case Format::kBinary: return write_binary(program);
    case Format::kJson: return write_json(program);
    case Format::kGo: return write_go(program);
    case Format::kGoRaw: return write_go_raw(program);
    case Format::kXNet: return write_xnet(program);
    case Format::kRust: return write_rust(program);
    case Format::kCFunction: return c_function(program);
    case Format::kDot: return write_dot(program);
    case Format::kMermaid: return write_mermaid(program);
  }
  return {};
}

}  // namespace weir::cbpf
