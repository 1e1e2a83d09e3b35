// Classic bytecode to flow graph, plain form. Exports lift.
//
// The program is cut into blocks at jump targets and after jumps. Inside of a block the registers are symbolic: each
// holds the value that was computed last, and is read from its slot where the block has not written it yet. At the end
// of a block the registers that were written and that some path may still read go back to their slots. What is live
// where is found in one walk from the last instruction to the first, since jumps only lead forward.
// Unreachable instructions are left out. Meaning of each instruction: net/core/filter.c.
#include <weir/flow/lift.h>

#include <array>

#include <weir/cbpf/opcode_info.h>

namespace weir::flow {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;
using cbpf::OperandShape;

constexpr SlotId kA = 0;
constexpr SlotId kX = 1;
constexpr SlotId kScratch = 2;
constexpr SlotId kRegisters = kScratch + cbpf::kScratchWords;

// What an instruction reads and writes: bit i stands for slot i.
using Registers = std::uint32_t;

bool is_jump(const Instruction& instruction) {
  const OperandShape shape = cbpf::find(instruction.code)->shape;
  return shape == OperandShape::kJump || shape == OperandShape::kBranchConstant || shape == OperandShape::kBranchIndex;
}

bool is_return(const Instruction& instruction) {
  return instruction.opcode() == Opcode::kRetK || instruction.opcode() == Opcode::kRetA;
}

Registers named(std::string_view letters, const Instruction& instruction) {
  Registers out = 0;
  for (const char letter : letters) {
    if (letter == 'A') out |= 1u << kA;
    if (letter == 'X') out |= 1u << kX;
    if (letter == 'M') out |= 1u << (kScratch + instruction.k);
  }
  return out;
}

// The extensions that compute with A and X are absolute loads by their opcode.
Registers reads(const Instruction& instruction) {
  const cbpf::OpcodeInfo& info = *cbpf::find(instruction.code);
  const bool extension = info.shape == OperandShape::kAbsolute && instruction.k >= cbpf::kExtensionBase;
  return named(info.reads, instruction) | (extension ? 1u << kA | 1u << kX : 0);
}

class Lifting {
 public:
  explicit Lifting(std::span<const Instruction> program)
      : program_(program), block_at_(program.size(), kNone), live_(program.size() + 1, 0) {
    graph_.slot_count = kRegisters;
  }

  Graph run() {
    find_blocks();
    find_live();
    for (std::uint32_t at = 0; at < program_.size(); ++at)
      if (block_at_[at] != kNone) lift_block(at);
    graph_.entry = block_at_[0];
    return std::move(graph_);
  }

 private:
  std::array<std::uint32_t, 2> targets(std::uint32_t at) const {
    const Instruction& instruction = program_[at];
    if (instruction.opcode() == Opcode::kJa) return {at + 1 + instruction.k, at + 1 + instruction.k};
    return {at + 1 + instruction.jt, at + 1 + instruction.jf};
  }

  // Jumps lead forward: an instruction is known to be reachable before it is looked at.
  void find_blocks() {
    bool flows_here = false;
    block_at_[0] = graph_.add_block();
    for (std::uint32_t at = 0; at < program_.size(); ++at) {
      if (block_at_[at] == kNone && !flows_here) continue;
      flows_here = !is_return(program_[at]) && !is_jump(program_[at]);
      if (!is_jump(program_[at])) continue;
      for (const std::uint32_t target : targets(at))
        if (block_at_[target] == kNone) block_at_[target] = graph_.add_block();
    }
  }

  void find_live() {
    for (auto at = static_cast<std::uint32_t>(program_.size()); at-- > 0;) {
      const Instruction& instruction = program_[at];
      Registers live = 0;
      if (is_jump(instruction)) {
        for (const std::uint32_t target : targets(at)) live |= live_[target];
      } else if (!is_return(instruction)) {
        live = live_[at + 1];
      }
      live &= ~named(cbpf::find(instruction.code)->writes, instruction);
      live_[at] = live | reads(instruction);
    }
  }

  ValueId append(Op op, ValueId a = kNone, ValueId b = kNone, std::uint32_t k = 0, std::uint8_t size = 4) {
    return graph_.append(block_, {.op = op, .size = size, .a = a, .b = b, .k = k});
  }
  ValueId constant(std::uint32_t k) { return append(Op::kConstant, kNone, kNone, k); }

  ValueId get(SlotId slot) {
    if (registers_[slot] == kNone) registers_[slot] = append(Op::kGetSlot, kNone, kNone, slot);
    return registers_[slot];
  }
  void set(SlotId slot, ValueId value) {
    registers_[slot] = value;
    written_ |= 1u << slot;
  }

  void store_live(Registers live) {
    for (SlotId slot = 0; slot < kRegisters; ++slot)
      if ((written_ & live & (1u << slot)) != 0) append(Op::kSetSlot, registers_[slot], kNone, slot);
  }

  void lift_block(std::uint32_t at) {
    block_ = block_at_[at];
    registers_.fill(kNone);
    written_ = 0;
    for (;; ++at) {
      const Instruction& instruction = program_[at];
      if (is_return(instruction)) {
        const ValueId verdict = instruction.opcode() == Opcode::kRetK ? constant(instruction.k) : get(kA);
        graph_.blocks[block_].exit.lhs = verdict;
        return;
      }
      if (is_jump(instruction)) {
        const auto [if_true, if_false] = targets(at);
        if (instruction.opcode() == Opcode::kJa || if_true == if_false) return jump_to(if_true);
        return branch(instruction, if_true, if_false);
      }
      step(instruction);
      if (block_at_[at + 1] != kNone) return jump_to(at + 1);
    }
  }

  void jump_to(std::uint32_t at) {
    store_live(live_[at]);
    Exit& exit = graph_.blocks[block_].exit;
    exit.kind = ExitKind::kJump;
    exit.if_true.target = block_at_[at];
  }

  void branch(const Instruction& instruction, std::uint32_t if_true, std::uint32_t if_false) {
    const bool index = cbpf::find(instruction.code)->shape == OperandShape::kBranchIndex;
    const ValueId lhs = get(kA);
    const ValueId rhs = index ? get(kX) : constant(instruction.k);
    store_live(live_[if_true] | live_[if_false]);
    Exit& exit = graph_.blocks[block_].exit;
    exit.kind = ExitKind::kTest;
    exit.lhs = lhs;
    exit.rhs = rhs;
    exit.if_true.target = block_at_[if_true];
    exit.if_false.target = block_at_[if_false];
    switch (instruction.opcode()) {
      case Opcode::kJgtK:
      case Opcode::kJgtX: exit.condition = Condition::kGreater; break;
      case Opcode::kJgeK:
      case Opcode::kJgeX: exit.condition = Condition::kGreaterOrEqual; break;
      case Opcode::kJsetK:
      case Opcode::kJsetX: exit.condition = Condition::kBitsSet; break;
      default: exit.condition = Condition::kEqual; break;
    }
  }

  void load_absolute(std::uint32_t k, std::uint8_t size) {
    if (k < cbpf::kExtensionBase) return set(kA, append(Op::kLoad, kNone, kNone, k, size));
    const std::uint32_t number = k - cbpf::kExtensionBase;
    switch (static_cast<cbpf::Extension>(number)) {
      case cbpf::Extension::kXorX: return set(kA, append(Op::kXor, get(kA), get(kX)));
      case cbpf::Extension::kNetlinkAttribute:
      case cbpf::Extension::kNetlinkNested: return set(kA, append(Op::kExtension, get(kA), get(kX), number));
      default: return set(kA, append(Op::kExtension, kNone, kNone, number));
    }
  }

  void load_indirect(std::uint32_t k, std::uint8_t size) { set(kA, append(Op::kLoad, get(kX), kNone, k, size)); }

  void header_length(std::uint32_t k) {
    const ValueId byte = append(Op::kLoad, kNone, kNone, k, 1);
    const ValueId low = append(Op::kAnd, byte, constant(0xf));
    set(kX, append(Op::kShiftLeft, low, constant(2)));
  }

  void arithmetic(Op op, ValueId right) { set(kA, append(op, get(kA), right)); }

  void step(const Instruction& instruction) {
    const std::uint32_t k = instruction.k;
    switch (instruction.opcode()) {
      case Opcode::kLdImmediate: set(kA, constant(k)); break;
      case Opcode::kLdWordAbsolute: load_absolute(k, 4); break;
      case Opcode::kLdHalfAbsolute: load_absolute(k, 2); break;
      case Opcode::kLdByteAbsolute: load_absolute(k, 1); break;
      case Opcode::kLdWordIndirect: load_indirect(k, 4); break;
      case Opcode::kLdHalfIndirect: load_indirect(k, 2); break;
      case Opcode::kLdByteIndirect: load_indirect(k, 1); break;
      case Opcode::kLdScratch: set(kA, get(kScratch + k)); break;
      case Opcode::kLdLength: set(kA, append(Op::kLength)); break;
      case Opcode::kLdxImmediate: set(kX, constant(k)); break;
      case Opcode::kLdxScratch: set(kX, get(kScratch + k)); break;
      case Opcode::kLdxLength: set(kX, append(Op::kLength)); break;
      case Opcode::kLdxHeaderLength: header_length(k); break;
      case Opcode::kSt: set(kScratch + k, get(kA)); break;
      case Opcode::kStx: set(kScratch + k, get(kX)); break;
      case Opcode::kAddK: arithmetic(Op::kAdd, constant(k)); break;
      case Opcode::kAddX: arithmetic(Op::kAdd, get(kX)); break;
      case Opcode::kSubK: arithmetic(Op::kSubtract, constant(k)); break;
      case Opcode::kSubX: arithmetic(Op::kSubtract, get(kX)); break;
      case Opcode::kMulK: arithmetic(Op::kMultiply, constant(k)); break;
      case Opcode::kMulX: arithmetic(Op::kMultiply, get(kX)); break;
      case Opcode::kDivK: arithmetic(Op::kDivide, constant(k)); break;
      case Opcode::kDivX: arithmetic(Op::kDivide, get(kX)); break;
      case Opcode::kModK: arithmetic(Op::kModulo, constant(k)); break;
      case Opcode::kModX: arithmetic(Op::kModulo, get(kX)); break;
      case Opcode::kAndK: arithmetic(Op::kAnd, constant(k)); break;
      case Opcode::kAndX: arithmetic(Op::kAnd, get(kX)); break;
      case Opcode::kOrK: arithmetic(Op::kOr, constant(k)); break;
      case Opcode::kOrX: arithmetic(Op::kOr, get(kX)); break;
      case Opcode::kXorK: arithmetic(Op::kXor, constant(k)); break;
      case Opcode::kXorX: arithmetic(Op::kXor, get(kX)); break;
      case Opcode::kLshK: arithmetic(Op::kShiftLeft, constant(k)); break;
      case Opcode::kLshX: arithmetic(Op::kShiftLeft, get(kX)); break;
      case Opcode::kRshK: arithmetic(Op::kShiftRight, constant(k)); break;
      case Opcode::kRshX: arithmetic(Op::kShiftRight, get(kX)); break;
      case Opcode::kNeg: set(kA, append(Op::kNegate, get(kA))); break;
      case Opcode::kTax: set(kX, get(kA)); break;
      case Opcode::kTxa: set(kA, get(kX)); break;
      case Opcode::kJa:
      case Opcode::kJeqK:
      case Opcode::kJeqX:
      case Opcode::kJgtK:
      case Opcode::kJgtX:
      case Opcode::kJgeK:
      case Opcode::kJgeX:
      case Opcode::kJsetK:
      case Opcode::kJsetX:
      case Opcode::kRetK:
      case Opcode::kRetA: break;  // exits: lift_block
    }
  }

  std::span<const Instruction> program_;
  Graph graph_;
  std::vector<BlockId> block_at_;  // by instruction: the block that starts there
  std::vector<Registers> live_;    // by instruction: what may be read from there on
  BlockId block_ = kNone;
  std::array<ValueId, kRegisters> registers_{};  // of the block at hand; kNone: still in its slot
  Registers written_ = 0;
};

}  // namespace

Graph lift(const cbpf::Checked& program) { return Lifting(program.program().instructions()).run(); }

}  // namespace weir::flow
