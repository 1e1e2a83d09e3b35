// Programs as source code and as data. Exports what write_source.h declares.
//
// Source code can be pasted and compiled as it is: C needs <linux/filter.h>, Go golang.org/x/net/bpf, Rust the crate
// libc. A comment on each row says what it does.
#include "cbpf/write_source.h"

#include <array>

#include <fmt/format.h>

#include <weir/base/bytes.h>
#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>
#include <weir/cbpf/typed.h>

namespace weir::cbpf {
namespace {

std::array<std::uint8_t, 8> bytes_of(const Instruction& i) {
  std::array<std::uint8_t, 8> out{};
  store<std::uint16_t>(out.data(), i.code, std::endian::little);
  out[2] = i.jt;
  out[3] = i.jf;
  store<std::uint32_t>(out.data() + 4, i.k, std::endian::little);
  return out;
}

bool stays_inside(const Program& program, std::size_t at) {
  const Instruction& i = program[at];
  const OpcodeInfo* info = find(i.code);
  if (info == nullptr) return true;
  const std::uint64_t next = std::uint64_t{at} + 1;
  if (info->shape == OperandShape::kJump) return next + i.k < program.size();
  if (info->shape == OperandShape::kBranchConstant || info->shape == OperandShape::kBranchIndex)
    return next + i.jt < program.size() && next + i.jf < program.size();
  return true;
}

}  // namespace

std::string program_remark(const Program& program, std::size_t at) {
  std::string out;
  for (const char c : write_instruction(program[at], at)) {
    if (c != ' ' && c != '\t') out += c;
    else if (!out.empty() && out.back() != ' ') out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string write_c_array(const Program& program) {
  std::string out = "#include <linux/filter.h>\n\nstatic struct sock_filter code[] = {\n";
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Instruction& i = program[at];
    out += fmt::format("\t{{ {:#04x}, {:3}, {:3}, {:#010x} }}, /* {:3}: {} */\n", i.code, i.jt, i.jf, i.k, at,
                       program_remark(program, at));
  }
  return out +
         "};\n\nstatic struct sock_fprog program = {\n\t.len = sizeof code / sizeof code[0],\n\t.filter = code,\n};\n";
}

std::string write_go(const Program& program) {
  std::string out = "var program = []bpf.Instruction{\n";
  for (const Instruction& i : program) out += fmt::format("\t{},\n", typed::write_go(typed::disassemble(i)));
  return out + "}\n";
}

std::string write_go_raw(const Program& program) {
  std::string out = "var program = []bpf.RawInstruction{\n";
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Instruction& i = program[at];
    out += fmt::format("\t{{Op: {:#x}, Jt: {}, Jf: {}, K: {:#x}}}, // {}: {}\n", i.code, i.jt, i.jf, i.k, at,
                       program_remark(program, at));
  }
  return out + "}\n";
}

std::string write_xnet(const Program& program) {
  std::string out;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Instruction& i = program[at];
    // A distance that leads out of the program is refused when it is read, unless it is said raw.
    out += typed::write(stays_inside(program, at) ? typed::disassemble(i) : typed::Instruction(i)) + "\n";
  }
  return out;
}

std::string write_rust(const Program& program) {
  std::string out = fmt::format("pub const PROGRAM: [libc::sock_filter; {}] = [\n", program.size());
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Instruction& i = program[at];
    out += fmt::format("    libc::sock_filter {{ code: {:#04x}, jt: {}, jf: {}, k: {:#010x} }}, // {}: {}\n", i.code,
                       i.jt, i.jf, i.k, at, program_remark(program, at));
  }
  return out + "];\n";
}

std::string write_json(const Program& program) {
  std::string out = fmt::format("{{\"version\":1,\"instruction_count\":{},\"instructions\":[", program.size());
  for (std::size_t at = 0; at < program.size(); ++at) {
    const Instruction& i = program[at];
    out += fmt::format("{}[{},{},{},{}]", at == 0 ? "" : ",", i.code, i.jt, i.jf, i.k);
  }
  out += "],\"text\":[";
  for (std::size_t at = 0; at < program.size(); ++at)
    out += fmt::format("{}\"{}\"", at == 0 ? "" : ",", typed::write(typed::disassemble(program[at])));
  return out + "]}\n";
}

std::string write_hex(const Program& program) {
  std::string out;
  for (const Instruction& i : program) {
    for (const std::uint8_t byte : bytes_of(i)) out += fmt::format("{:02x}", byte);
    out += '\n';
  }
  return out;
}

std::string write_binary(const Program& program) {
  std::string out;
  for (const Instruction& i : program)
    for (const std::uint8_t byte : bytes_of(i)) out += static_cast<char>(byte);
  return out;
}

}  // namespace weir::cbpf
