// Tables from operations of the graph to classic opcodes. Exports what classic_opcodes.h declares.
#include "flow/classic_opcodes.h"

#include <algorithm>

namespace weir::flow {

using cbpf::Opcode;

namespace {

constexpr std::uint32_t kBeyondEveryPacket = 0x7fffffff;

}  // namespace

std::uint32_t absolute_offset(std::uint32_t address) {
  const bool relative = address >= cbpf::kLinkLayerOffset && address < cbpf::kExtensionBase;
  return relative ? address : std::min(address, kBeyondEveryPacket);
}

Opcode load_opcode(std::uint8_t size, bool indirect) {
  switch (size) {
    case 1: return indirect ? Opcode::kLdByteIndirect : Opcode::kLdByteAbsolute;
    case 2: return indirect ? Opcode::kLdHalfIndirect : Opcode::kLdHalfAbsolute;
    default: return indirect ? Opcode::kLdWordIndirect : Opcode::kLdWordAbsolute;
  }
}

Opcode alu_opcode(Op op, bool index) {
  switch (op) {
    case Op::kAdd: return index ? Opcode::kAddX : Opcode::kAddK;
    case Op::kSubtract: return index ? Opcode::kSubX : Opcode::kSubK;
    case Op::kMultiply: return index ? Opcode::kMulX : Opcode::kMulK;
    case Op::kDivide: return index ? Opcode::kDivX : Opcode::kDivK;
    case Op::kModulo: return index ? Opcode::kModX : Opcode::kModK;
    case Op::kAnd: return index ? Opcode::kAndX : Opcode::kAndK;
    case Op::kOr: return index ? Opcode::kOrX : Opcode::kOrK;
    case Op::kXor: return index ? Opcode::kXorX : Opcode::kXorK;
    case Op::kShiftLeft: return index ? Opcode::kLshX : Opcode::kLshK;
    case Op::kShiftRight: return index ? Opcode::kRshX : Opcode::kRshK;
    default: return Opcode::kAddK;
  }
}

cbpf::Instruction alu_with_constant(Op op, std::uint32_t k) {
  if (op == Op::kAdd && k > 0x80000000) return cbpf::make(Opcode::kSubK, 0 - k);
  return cbpf::make(alu_opcode(op, false), k);
}

bool is_commutative(Op op) {
  return op == Op::kAdd || op == Op::kMultiply || op == Op::kAnd || op == Op::kOr || op == Op::kXor;
}

}  // namespace weir::flow
