// Random classic programs, most of which pass the checker: for comparing engines and passes with the reference.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>

namespace weir::tests {

class ProgramMaker {
 public:
  explicit ProgramMaker(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

  std::uint32_t constant() {
    static constexpr std::uint32_t kOften[] = {0,   1,   2,     4,      14,         31,         32,        64,
                                               255, 256, 0x800, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    switch (below(4)) {
      case 0: return kOften[below(std::size(kOften))];
      case 1: return below(40);
      case 2: return below(1 << 16);
      default: return static_cast<std::uint32_t>(random_());
    }
  }

  // An extension load that needs no more than metadata and registers: none of nla, nlan, poff and rand.
  std::uint32_t metadata_load() {
    static constexpr std::uint32_t kNumbers[] = {0, 4, 8, 20, 24, 28, 32, 36, 40, 44, 48, 60};
    return cbpf::kExtensionBase + kNumbers[below(std::size(kNumbers))];
  }

  cbpf::Program next() {
    const std::uint32_t length = 2 + below(24);
    std::vector<cbpf::Instruction> program;
    for (std::uint32_t i = 0; i < cbpf::kScratchWords && below(3) != 0; ++i)
      program.push_back(cbpf::make(cbpf::Opcode::kSt, i));
    while (program.size() + 1 < length) program.push_back(one(static_cast<std::uint32_t>(length - program.size())));
    program.push_back(below(2) == 0 ? cbpf::make(cbpf::Opcode::kRetA) : cbpf::make(cbpf::Opcode::kRetK, constant()));
    return cbpf::Program(std::move(program));
  }

 private:
  cbpf::Instruction one(std::uint32_t left) {
    const auto table = cbpf::opcodes();
    const cbpf::OpcodeInfo& info = table[below(static_cast<std::uint32_t>(table.size()))];
    cbpf::Instruction out = cbpf::make(info.opcode, constant());
    switch (info.shape) {
      case cbpf::OperandShape::kScratch: out.k = below(16); break;
      case cbpf::OperandShape::kAbsolute:
        out.k = below(12) == 0 ? metadata_load() : below(16) == 0 ? out.k : below(48);
        break;
      case cbpf::OperandShape::kIndirect:
      case cbpf::OperandShape::kHeaderLength:
        if (below(8) != 0) out.k = below(48);
        break;
      case cbpf::OperandShape::kJump: out.k = below(left - 1); break;
      case cbpf::OperandShape::kBranchConstant:
      case cbpf::OperandShape::kBranchIndex:
        out.jt = static_cast<std::uint8_t>(below(std::min(left - 1, 255u)));
        out.jf = static_cast<std::uint8_t>(below(std::min(left - 1, 255u)));
        break;
      default: break;
    }
    if ((info.opcode == cbpf::Opcode::kLshK || info.opcode == cbpf::Opcode::kRshK) && below(8) != 0) out.k &= 31;
    if ((info.opcode == cbpf::Opcode::kDivK || info.opcode == cbpf::Opcode::kModK) && out.k == 0) out.k = 3;
    return out;
  }

  std::mt19937 random_;
};

}  // namespace weir::tests
