// Classic program to plan. Exports plan_of(program).
//
// A is slot 0, X slot 1, M[i] slot 2 + i. Blocks are cut where jumps land; jumps lead forward only, so the order of the
// instructions is topological. Source: net/core/filter.c.
#include <weir/cbpf/opcode_info.h>

#include "engine/plan_builder.h"

namespace weir::engine {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;
using flow::Condition;
using flow::Op;

constexpr std::uint32_t kA = 0;
constexpr std::uint32_t kX = 1;
constexpr std::uint32_t kScratch = 2;

constexpr std::uint16_t class_of(const Instruction& i) { return i.code & 0x07; }
constexpr bool is_jump(const Instruction& i) { return class_of(i) == 0x05; }
constexpr bool is_return(const Instruction& i) { return class_of(i) == 0x06; }

class FromProgram {
 public:
  explicit FromProgram(const cbpf::Program& program)
      : program_(program), block_at_(program.size(), kNothing, scratch_), starts_(scratch_) {}

  Plan run() {
    cut();
    const ScratchVector<SlotMask> live = live_in();
    PlanBuilder builder(live, scratch_);
    for (PlanBlockId block = 0; block < starts_.size(); ++block)
      if (builder.begin(block)) run_block(builder, block);
    return builder.finish();
  }

 private:
  void cut() {
    const std::size_t size = program_.size();
    ScratchVector<bool> leader(size + 1, false, scratch_);
    leader[0] = true;
    for (std::size_t i = 0; i < size; ++i) {
      const Instruction& instruction = program_[i];
      if (is_return(instruction)) leader[i + 1] = true;
      if (!is_jump(instruction)) continue;
      leader[i + 1] = true;
      if (instruction.opcode() == Opcode::kJa) {
        leader[i + 1 + instruction.k] = true;
      } else {
        leader[i + 1u + instruction.jt] = true;
        leader[i + 1u + instruction.jf] = true;
      }
    }
    starts_.reserve(size);
    for (std::uint32_t i = 0; i < size; ++i) {
      if (!leader[i]) continue;
      block_at_[i] = static_cast<PlanBlockId>(starts_.size());
      starts_.push_back(i);
    }
  }

  std::uint32_t end_of(PlanBlockId block) const {
    return block + 1 < starts_.size() ? starts_[block + 1] : static_cast<std::uint32_t>(program_.size());
  }

  // Slots that an instruction reads and writes.
  static SlotMask slots_of(const Instruction& i, std::string_view letters) {
    SlotMask mask = 0;
    for (const char letter : letters) {
      if (letter == 'A') mask |= SlotMask{1} << kA;
      if (letter == 'X') mask |= SlotMask{1} << kX;
      if (letter == 'M') mask |= SlotMask{1} << (kScratch + i.k);
    }
    if (is_extension(i) && letters.find('P') != std::string_view::npos) mask |= 3;  // nla, nlan, xor_x
    return mask;
  }

  static bool is_extension(const Instruction& i) {
    const Opcode opcode = i.opcode();
    return i.k >= cbpf::kExtensionBase && (opcode == Opcode::kLdWordAbsolute || opcode == Opcode::kLdHalfAbsolute ||
                                           opcode == Opcode::kLdByteAbsolute);
  }

  ScratchVector<SlotMask> live_in() {
    ScratchVector<SlotMask> live(starts_.size(), 0, scratch_);
    for (PlanBlockId block = static_cast<PlanBlockId>(starts_.size()); block-- > 0;) {
      const std::uint32_t end = end_of(block);
      SlotMask now = 0;
      const Instruction& last = program_[end - 1];
      if (last.opcode() == Opcode::kJa) {
        now = live[block_at_[end + last.k]];
      } else if (is_jump(last)) {
        now = live[block_at_[end + last.jt]] | live[block_at_[end + last.jf]];
      } else if (!is_return(last)) {
        now = live[block + 1];
      }
      for (std::uint32_t i = end; i-- > starts_[block];) {
        const cbpf::OpcodeInfo& info = *cbpf::find(program_[i].code);
        now &= ~slots_of(program_[i], info.writes);
        now |= slots_of(program_[i], info.reads);
      }
      live[block] = now;
    }
    return live;
  }

  static void load(PlanBuilder& b, NodeId base, std::uint32_t k, std::uint8_t size) {
    const NodeId id = b.load(base, k, size);
    b.guard(id);
    b.set_slot(kA, id);
  }

  static void absolute(PlanBuilder& b, std::uint32_t k, std::uint8_t size) {
    if (k < cbpf::kExtensionBase) return load(b, kNothing, k, size);
    const std::uint32_t number = k - cbpf::kExtensionBase;
    const auto extension = static_cast<cbpf::Extension>(number);
    if (extension == cbpf::Extension::kXorX) return b.set_slot(kA, b.binary(Op::kXor, b.slot(kA), b.slot(kX)));
    const bool netlink =
        extension == cbpf::Extension::kNetlinkAttribute || extension == cbpf::Extension::kNetlinkNested;
    b.set_slot(kA, b.extension(number, netlink ? b.slot(kA) : kNothing, netlink ? b.slot(kX) : kNothing));
  }

  static void alu(PlanBuilder& b, Op op, NodeId right) {
    const NodeId id = b.binary(op, b.slot(kA), right);
    if (op == Op::kDivide || op == Op::kModulo) b.guard(id);
    b.set_slot(kA, id);
  }

  void run_block(PlanBuilder& b, PlanBlockId block) const {
    const std::uint32_t end = end_of(block);
    b.made_from({starts_[block], end});
    for (std::uint32_t i = starts_[block]; i < end; ++i)
      if (step(b, program_[i], i + 1)) return;
    b.end_with_jump(block + 1);
  }

  // Runs one instruction; says whether it ended the block. `next` is the index of the instruction after it.
  bool step(PlanBuilder& b, const Instruction& i, std::uint32_t next) const {
    const std::uint32_t k = i.k;
    const auto alu_k = [&](Op op) { alu(b, op, b.constant(k)); };
    const auto alu_x = [&](Op op) { alu(b, op, b.slot(kX)); };
    const auto test = [&](Condition condition, NodeId right) {
      b.end_with_test(condition, b.slot(kA), right, block_at_[next + i.jt], block_at_[next + i.jf]);
      return true;
    };
    switch (i.opcode()) {
      case Opcode::kLdImmediate: b.set_slot(kA, b.constant(k)); break;
      case Opcode::kLdWordAbsolute: absolute(b, k, 4); break;
      case Opcode::kLdHalfAbsolute: absolute(b, k, 2); break;
      case Opcode::kLdByteAbsolute: absolute(b, k, 1); break;
      case Opcode::kLdWordIndirect: load(b, b.slot(kX), k, 4); break;
      case Opcode::kLdHalfIndirect: load(b, b.slot(kX), k, 2); break;
      case Opcode::kLdByteIndirect: load(b, b.slot(kX), k, 1); break;
      case Opcode::kLdScratch: b.set_slot(kA, b.slot(kScratch + k)); break;
      case Opcode::kLdLength: b.set_slot(kA, b.node({.op = Op::kLength})); break;
      case Opcode::kLdxImmediate: b.set_slot(kX, b.constant(k)); break;
      case Opcode::kLdxScratch: b.set_slot(kX, b.slot(kScratch + k)); break;
      case Opcode::kLdxLength: b.set_slot(kX, b.node({.op = Op::kLength})); break;
      case Opcode::kLdxHeaderLength: {
        const NodeId byte = b.load(kNothing, k, 1);
        b.guard(byte);
        b.set_slot(kX, b.binary(Op::kShiftLeft, b.binary(Op::kAnd, byte, b.constant(0xf)), b.constant(2)));
        break;
      }
      case Opcode::kSt: b.set_slot(kScratch + k, b.slot(kA)); break;
      case Opcode::kStx: b.set_slot(kScratch + k, b.slot(kX)); break;
      case Opcode::kAddK: alu_k(Op::kAdd); break;
      case Opcode::kAddX: alu_x(Op::kAdd); break;
      case Opcode::kSubK: alu_k(Op::kSubtract); break;
      case Opcode::kSubX: alu_x(Op::kSubtract); break;
      case Opcode::kMulK: alu_k(Op::kMultiply); break;
      case Opcode::kMulX: alu_x(Op::kMultiply); break;
      case Opcode::kDivK: alu_k(Op::kDivide); break;
      case Opcode::kDivX: alu_x(Op::kDivide); break;
      case Opcode::kModK: alu_k(Op::kModulo); break;
      case Opcode::kModX: alu_x(Op::kModulo); break;
      case Opcode::kOrK: alu_k(Op::kOr); break;
      case Opcode::kOrX: alu_x(Op::kOr); break;
      case Opcode::kAndK: alu_k(Op::kAnd); break;
      case Opcode::kAndX: alu_x(Op::kAnd); break;
      case Opcode::kXorK: alu_k(Op::kXor); break;
      case Opcode::kXorX: alu_x(Op::kXor); break;
      case Opcode::kLshK: alu_k(Op::kShiftLeft); break;
      case Opcode::kLshX: alu_x(Op::kShiftLeft); break;
      case Opcode::kRshK: alu_k(Op::kShiftRight); break;
      case Opcode::kRshX: alu_x(Op::kShiftRight); break;
      case Opcode::kNeg: b.set_slot(kA, b.unary(Op::kNegate, b.slot(kA))); break;
      case Opcode::kJa: b.end_with_jump(block_at_[next + k]); return true;
      case Opcode::kJeqK: return test(Condition::kEqual, b.constant(k));
      case Opcode::kJeqX: return test(Condition::kEqual, b.slot(kX));
      case Opcode::kJgtK: return test(Condition::kGreater, b.constant(k));
      case Opcode::kJgtX: return test(Condition::kGreater, b.slot(kX));
      case Opcode::kJgeK: return test(Condition::kGreaterOrEqual, b.constant(k));
      case Opcode::kJgeX: return test(Condition::kGreaterOrEqual, b.slot(kX));
      case Opcode::kJsetK: return test(Condition::kBitsSet, b.constant(k));
      case Opcode::kJsetX: return test(Condition::kBitsSet, b.slot(kX));
      case Opcode::kRetK: b.end_with_verdict(b.constant(k)); return true;
      case Opcode::kRetA: b.end_with_verdict(b.slot(kA)); return true;
      case Opcode::kTax: b.set_slot(kX, b.slot(kA)); break;
      case Opcode::kTxa: b.set_slot(kA, b.slot(kX)); break;
    }
    return false;
  }

  const cbpf::Program& program_;
  Scratch scratch_;
  ScratchVector<PlanBlockId> block_at_;  // of the instruction that starts it
  ScratchVector<std::uint32_t> starts_;
};

}  // namespace

Plan plan_of(const cbpf::Program& program) { return FromProgram(program).run(); }

}  // namespace weir::engine
