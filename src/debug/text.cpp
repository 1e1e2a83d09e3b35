// Text of programs, registers and packets. Exports instruction_text, disassembly, c_dump, registers_text, packet_text,
// fields_text, loaded, verdict_text.
//
// Source of bpf_dbg's forms: filter.rst of Linux and recorded sessions.
#include <weir/debug/text.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::debug {
namespace {

bool shows_decimal(cbpf::Opcode opcode) {
  switch (opcode) {
    case cbpf::Opcode::kAddK:
    case cbpf::Opcode::kSubK:
    case cbpf::Opcode::kMulK:
    case cbpf::Opcode::kDivK:
    case cbpf::Opcode::kModK:
    case cbpf::Opcode::kLshK:
    case cbpf::Opcode::kRshK: return true;
    default: return false;
  }
}

// "0x0" is written "0", as printf's %#x does.
std::string hex(std::uint32_t value) { return value == 0 ? "0" : fmt::format("{:#x}", value); }

std::string operand(const cbpf::Instruction& i, const cbpf::OpcodeInfo& info, std::uint64_t next) {
  using cbpf::OperandShape;
  switch (info.shape) {
    case OperandShape::kNone: return "";
    case OperandShape::kConstant: return shows_decimal(info.opcode) ? fmt::format("#{}", i.k) : "#" + hex(i.k);
    case OperandShape::kAbsolute:
      if (const cbpf::ExtensionInfo* extension = cbpf::find_extension(i.k)) return fmt::format("#{}", extension->text);
      return fmt::format("[{}]", i.k);
    case OperandShape::kIndirect: return fmt::format("[x+{}]", i.k);
    case OperandShape::kScratch: return fmt::format("M[{}]", i.k);
    case OperandShape::kLength: return "#len";
    case OperandShape::kHeaderLength: return fmt::format("4*([{}]&0xf)", i.k);
    case OperandShape::kIndex: return "x";
    case OperandShape::kAccumulator: return "a";
    case OperandShape::kJump: return fmt::format("l{}", next + i.k);
    case OperandShape::kBranchConstant: return fmt::format("#{}, l{}, l{}", hex(i.k), next + i.jt, next + i.jf);
    case OperandShape::kBranchIndex: return fmt::format("x, l{}, l{}", next + i.jt, next + i.jf);
  }
  return "";
}

bool is_branch(const cbpf::Instruction& i) {
  const cbpf::OpcodeInfo* info = cbpf::find(i.code);
  return info != nullptr &&
         (info->shape == cbpf::OperandShape::kBranchConstant || info->shape == cbpf::OperandShape::kBranchIndex);
}

// printf's "[%#08x][%u]".
std::string cell(std::uint32_t value) {
  return value == 0 ? "[00000000][0]" : fmt::format("[{:#08x}][{}]", value, value);
}

bool touches(const std::vector<ByteRange>& marked, std::uint32_t offset, std::uint32_t size) {
  return std::any_of(marked.begin(), marked.end(), [&](const ByteRange& range) {
    return std::uint64_t{range.offset} + range.size > offset && range.offset < std::uint64_t{offset} + size;
  });
}

}  // namespace

std::string instruction_text(const cbpf::Program& program, std::uint32_t index) {
  const cbpf::Instruction& i = program[index];
  const cbpf::OpcodeInfo* info = cbpf::find(i.code);
  if (info == nullptr) return fmt::format("l{}:\t.raw {:#x}, {}, {}, {:#x}", index, i.code, i.jt, i.jf, i.k);
  const std::string arguments = operand(i, *info, std::uint64_t{index} + 1);
  return fmt::format("l{}:\t{}{}{}", index, info->mnemonic, arguments.empty() ? "" : " ", arguments);
}

std::string disassembly(const cbpf::Program& program) {
  std::string out;
  for (std::uint32_t i = 0; i < program.size(); ++i) out += instruction_text(program, i) + "\n";
  return out;
}

std::string c_dump(const cbpf::Program& program) {
  std::string out = "/* { op, jt, jf, k }, */\n";
  // printf's "{ %#04x, %2u, %2u, %#010x },": a zero has no "0x".
  for (const cbpf::Instruction& i : program)
    out += fmt::format("{{ {}, {:2}, {:2}, {} }},\n", i.code == 0 ? "0000" : fmt::format("{:#04x}", i.code), i.jt, i.jf,
                       i.k == 0 ? "0000000000" : fmt::format("{:#010x}", i.k));
  return out;
}

std::string registers_text(const cbpf::Program& program, const State& state, Style style) {
  const cbpf::Instruction& i = program[state.pc];
  std::string out = "-- register dump --\n";
  out += fmt::format("pc:       [{}]\n", state.pc);
  out += fmt::format("code:     [{}] jt[{}] jf[{}] k[{}]\n", i.code, i.jt, i.jf, i.k);
  out += fmt::format("curr:     {}\n", instruction_text(program, state.pc));
  // bpf_dbg shows no jumps that both go to the next instruction.
  if (is_branch(i) && (style == Style::kOwn || i.jt != 0 || i.jf != 0)) {
    out += fmt::format("jt:       {}\n", instruction_text(program, state.pc + 1 + i.jt));
    out += fmt::format("jf:       {}\n", instruction_text(program, state.pc + 1 + i.jf));
  }
  out += "A:        " + cell(state.a) + "\n";
  out += "X:        " + cell(state.x) + "\n";
  bool any = false;
  for (std::uint32_t n = 0; n < cbpf::kScratchWords; ++n) {
    if (style == Style::kBpfDbg ? state.scratch[n] == 0 : (state.written >> n & 1) == 0) continue;
    out += fmt::format("M[{}]: {}\n", n, cell(state.scratch[n]));
    any = true;
  }
  if (!any) out += "M[0,15]:  [00000000][0]\n";
  return out;
}

std::string packet_text(const packet::Packet& packet, Style style, const std::vector<ByteRange>& marked) {
  std::string out = "-- packet dump --\n";
  out += packet.length != packet.wire_length ? fmt::format("cap: {}, len: {}\n", packet.length, packet.wire_length)
                                             : fmt::format("len: {}\n", packet.length);
  for (std::uint32_t row = 0; row < packet.length; row += 16) {
    std::string bytes = fmt::format("{:3}: ", row);
    std::string marks(bytes.size(), ' ');
    const std::uint32_t end = std::min(row + 16, packet.length);
    for (std::uint32_t at = row; at < end; ++at) {
      bytes += fmt::format("{:02x} ", packet.data[at]);
      const bool marked_here = touches(marked, at, 1);
      const bool joined = marked_here && at + 1 < end && touches(marked, at + 1, 1);
      marks += marked_here ? (joined ? "^^^" : "^^ ") : "   ";
    }
    out += bytes + "\n";
    if (style == Style::kBpfDbg || marks.find('^') == std::string::npos) continue;
    out += marks.substr(0, marks.find_last_of('^') + 1) + "\n";
  }
  return out;
}

std::string fields_text(const packet::Packet& packet, packet::LinkType link_type,
                        const std::vector<ByteRange>& marked) {
  std::string out;
  for (const Field& field : name_fields(packet, link_type)) {
    const char* mark = touches(marked, field.bytes.offset, field.bytes.size) ? "*" : " ";
    const std::string place = fmt::format("[{}:{}]", field.bytes.offset, field.bytes.size);
    out += field.value.empty() ? fmt::format("{} {:<10} {}\n", mark, place, field.name)
                               : fmt::format("{} {:<10} {:<30} {}\n", mark, place, field.name, field.value);
  }
  return out;
}

std::vector<ByteRange> loaded(const std::vector<Executed>& run) {
  std::vector<ByteRange> out;
  for (const Executed& step : run)
    if (step.effect.load && step.after.ending != Ending::kOutsidePacket &&
        std::find(out.begin(), out.end(), *step.effect.load) == out.end())
      out.push_back(*step.effect.load);
  std::sort(out.begin(), out.end(), [](const ByteRange& a, const ByteRange& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.size < b.size;
  });
  return out;
}

std::string verdict_text(const State& end, const packet::Packet& packet) {
  switch (end.ending) {
    case Ending::kRunning: return "no verdict yet";
    case Ending::kOutsidePacket: return "verdict 0: fails, a load reached beyond the packet";
    case Ending::kDivisionByZero: return "verdict 0: fails, a division by zero";
    case Ending::kReturned: break;
  }
  if (end.verdict == 0) return "verdict 0: fails";
  return fmt::format("verdict {}: passes, {} of {} bytes kept", end.verdict, std::min(end.verdict, packet.length),
                     packet.length);
}

}  // namespace weir::debug
