// Random instructions of every kind, right and wrong: for what must work on any program at all.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>

namespace weir::tests {

class InstructionMaker {
 public:
  explicit InstructionMaker(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

  std::uint32_t constant() {
    switch (below(5)) {
      case 0: return below(20);
      case 1: return cbpf::kExtensionBase + below(70);
      case 2: return 0u - below(20);
      case 3: return below(1 << 16);
      default: return static_cast<std::uint32_t>(random_());
    }
  }

  // Any fields: mostly a known opcode, sometimes with fields set that it does not use.
  cbpf::Instruction any() {
    const auto table = cbpf::opcodes();
    cbpf::Instruction out = cbpf::make(table[below(static_cast<std::uint32_t>(table.size()))].opcode, constant());
    switch (below(8)) {
      case 0: out.code = static_cast<std::uint16_t>(below(0x10000)); [[fallthrough]];
      case 1: out.code = below(2) == 0 ? static_cast<std::uint16_t>(below(256)) : out.code; [[fallthrough]];
      case 2:
        out.jt = static_cast<std::uint8_t>(below(256));
        out.jf = static_cast<std::uint8_t>(below(256));
        break;
      case 3:
        out = usual(out);
        out.jt = static_cast<std::uint8_t>(below(4));
        break;
      default: out = usual(out); break;
    }
    return out;
  }

  // The fields that the opcode does not use are 0; jumps are short.
  cbpf::Instruction usual(cbpf::Instruction out) {
    const cbpf::OpcodeInfo* info = cbpf::find(out.code);
    if (info == nullptr) return out;
    switch (info->shape) {
      case cbpf::OperandShape::kNone:
      case cbpf::OperandShape::kIndex:
      case cbpf::OperandShape::kAccumulator:
      case cbpf::OperandShape::kLength: out.k = 0; break;
      case cbpf::OperandShape::kJump: out.k = below(12); break;
      case cbpf::OperandShape::kBranchIndex: out.k = 0; [[fallthrough]];
      case cbpf::OperandShape::kBranchConstant:
        out.jt = static_cast<std::uint8_t>(below(12));
        out.jf = static_cast<std::uint8_t>(below(12));
        break;
      case cbpf::OperandShape::kScratch: out.k = below(16); break;
      default: break;
    }
    return out;
  }

  cbpf::Program program(std::uint32_t longest) {
    std::vector<cbpf::Instruction> out(1 + below(longest));
    for (cbpf::Instruction& instruction : out) instruction = any();
    return cbpf::Program(std::move(out));
  }

 private:
  std::mt19937 random_;
};

}  // namespace weir::tests
