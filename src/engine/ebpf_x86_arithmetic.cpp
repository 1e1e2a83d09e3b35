// Arithmetic of extended programs in x86-64. Part of X86Emitter.
//
// A copy followed by an addition to it becomes one `lea`.
// Shifts by a register use the forms of BMI2 where the processor has them, else cl, in which r4 lives. Division gives 0
// by zero and keeps rax and rdx only where the program still needs them.
#if defined(__x86_64__)

#include "engine/ebpf_x86.h"

namespace weir::engine {

using ebpf::OperandShape;
using ebpf::Operation;
namespace x86 = asmjit::x86;

// rX = rY and rX += rZ or a constant: one instruction. Says whether it took both.
bool X86Emitter::fuse(std::uint32_t at) {
  if (at + 1 >= code_.steps.size() || facts_.steps[at + 1].is_target || !is_plain()) return false;
  const Step& move = code_.steps[at];
  const Step& next = code_.steps[at + 1];
  if (const StepAddress& known = addresses_.steps[at]; known.sum) {
    if (known.is_needed) {
      a_.lea(kX86Map[move.dst], place(known.sum, 8));
      if (move.dst == zero_flag_) zero_flag_ = -1;
    }
    return true;
  }
  if (next.is_second() || move.dst != next.dst || move.dst == move.src) return false;
  const bool wide = move.operation == Operation::kMov64X;
  if (!wide && move.operation != Operation::kMov32X) return false;
  const Gp to = wide ? kX86Map[move.dst] : kX86Map[move.dst].r32();
  const Gp& from = kX86Map[move.src];
  const Operation operation = next.operation;
  if (operation == (wide ? Operation::kAdd64X : Operation::kAdd32X)) {
    const Gp& other = next.src == next.dst ? from : kX86Map[next.src];
    a_.lea(to, x86::ptr(from, other));
    zero_flag_ = -1;
    return true;
  }
  const auto by = static_cast<std::int32_t>(next.constant);
  const bool sub = operation == (wide ? Operation::kSub64K : Operation::kSub32K);
  if (operation == (wide ? Operation::kAdd64K : Operation::kAdd32K) || (sub && by != INT32_MIN)) {
    a_.lea(to, x86::ptr(from, sub ? -by : by));
    zero_flag_ = -1;
    return true;
  }
  if (operation == (wide ? Operation::kLsh64K : Operation::kLsh32K) && next.constant >= 1 && next.constant <= 3) {
    a_.lea(to, x86::ptr(0, from, static_cast<std::uint32_t>(next.constant)));
    zero_flag_ = -1;
    return true;
  }
  return false;
}

void X86Emitter::arithmetic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool wide = row.width == 8;
  const unsigned operation = row.code & 0xf0u;
  const bool by_register = row.shape == OperandShape::kAluRegister;
  if (operation == 0x60 || operation == 0x70 || operation == 0xc0) return shift(row, step, operation);
  if (operation == 0x30 || operation == 0x90) return divide(at, row, step, operation == 0x90);
  const Gp dst = wide ? kX86Map[step.dst] : kX86Map[step.dst].r32();
  if (operation == 0xb0) {
    if (by_register) a_.mov(dst, wide ? kX86Map[step.src] : kX86Map[step.src].r32());
    else constant(kX86Map[step.dst], wide ? step.constant : step.constant & 0xffffffff);
    return;
  }
  const auto immediate = static_cast<std::int32_t>(step.constant);
  if (!by_register && is_plain()) {
    switch (operation) {
      case 0x00: a_.add(dst, immediate); break;
      case 0x10: a_.sub(dst, immediate); break;
      case 0x20: a_.imul(dst, dst, immediate); break;
      case 0x40: a_.or_(dst, immediate); break;
      case 0x50:
        a_.and_(wide && immediate >= 0 ? Gp(dst.r32()) : dst, immediate);
        zero_flag_ = step.dst;
        zero_flag_wide_ = wide;
        break;
      default: a_.xor_(dst, immediate); break;
    }
    return;
  }
  if (!by_register) constant(kX86Operand, step.constant);
  const Gp whole = by_register ? kX86Map[step.src] : kX86Operand;
  const Gp src = wide ? whole : whole.r32();
  switch (operation) {
    case 0x00: a_.add(dst, src); break;
    case 0x10: a_.sub(dst, src); break;
    case 0x20: a_.imul(dst, src); break;
    case 0x40: a_.or_(dst, src); break;
    case 0x50: a_.and_(dst, src); break;
    default: a_.xor_(dst, src); break;
  }
}

void X86Emitter::shift(const ebpf::OpcodeInfo& row, const Step& step, unsigned kind) {
  const bool wide = row.width == 8;
  const Gp dst = wide ? kX86Map[step.dst] : kX86Map[step.dst].r32();
  const auto emit = [&](const Gp& reg, const auto& count) {
    if (kind == 0x60) a_.shl(reg, count);
    else if (kind == 0x70) a_.shr(reg, count);
    else a_.sar(reg, count);
  };
  if (row.shape == OperandShape::kAluConstant) {
    const auto count = static_cast<std::uint32_t>(step.constant) & (wide ? 63u : 31u);
    if (count != 0) emit(dst, asmjit::imm(count));
    else if (!wide) a_.mov(dst, dst);
    return;
  }
  if (has_bmi2_) {
    const Gp count = wide ? kX86Map[step.src] : kX86Map[step.src].r32();
    if (kind == 0x60) a_.shlx(dst, dst, count);
    else if (kind == 0x70) a_.shrx(dst, dst, count);
    else a_.sarx(dst, dst, count);
    return;
  }
  const Gp value = wide ? kX86Operand : kX86Operand.r32();
  a_.mov(value, dst);
  a_.mov(kX86Address, x86::rcx);
  a_.mov(x86::rcx, kX86Map[step.src]);
  emit(value, x86::cl);
  a_.mov(x86::rcx, kX86Address);
  a_.mov(dst, value);
}

void X86Emitter::divide(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step, bool remainder) {
  const bool wide = row.width == 8;
  const bool is_signed = row.selected == 1;
  const auto sized = [&](const Gp& reg) { return wide ? reg : Gp(reg.r32()); };
  const Gp dst = sized(kX86Map[step.dst]);
  const Gp divisor = sized(kX86Address);
  const bool by_register = row.shape == OperandShape::kAluRegister;
  const std::uint64_t value = wide ? step.constant : step.constant & 0xffffffff;
  if (by_register) a_.mov(divisor, sized(kX86Map[step.src]));
  else constant(kX86Address, value);
  asmjit::Label zero = a_.newLabel();
  asmjit::Label minus_one = a_.newLabel();
  asmjit::Label done = a_.newLabel();
  const bool may_be_zero = by_register || value == 0;
  const bool may_be_minus_one = is_signed && (by_register || static_cast<std::int32_t>(value) == -1);
  if (may_be_zero) {
    a_.test(divisor, divisor);
    a_.jz(zero);
  }
  if (may_be_minus_one) {
    a_.cmp(divisor, -1);
    a_.jz(minus_one);
  }
  const std::uint16_t live = facts_.steps[at].live;
  const bool keep_rax = step.dst != 0 && (live & 1) != 0;
  const bool keep_rdx = step.dst != 3 && (live & 8) != 0;
  if (keep_rax) a_.mov(kX86Operand, x86::rax);
  if (keep_rdx) set_aside(x86::rdx);
  if (step.dst != 0) a_.mov(sized(x86::rax), dst);
  if (is_signed) {
    if (wide) a_.cqo();
    else a_.cdq();
    a_.idiv(divisor);
  } else {
    a_.xor_(x86::edx, x86::edx);
    a_.div(divisor);
  }
  const Gp result = sized(remainder ? x86::rdx : x86::rax);
  const bool in_place = (step.dst == 0 && !remainder) || (step.dst == 3 && remainder);
  if (!in_place) a_.mov(divisor, result);
  if (keep_rax) a_.mov(x86::rax, kX86Operand);
  if (keep_rdx) take_back(x86::rdx);
  if (!in_place) a_.mov(dst, divisor);
  if (may_be_zero || may_be_minus_one) a_.jmp(done);
  if (may_be_minus_one) {
    a_.bind(minus_one);
    if (remainder) a_.xor_(dst.r32(), dst.r32());
    else a_.neg(dst);
    if (may_be_zero) a_.jmp(done);
  }
  if (may_be_zero) {
    a_.bind(zero);
    if (!remainder) a_.xor_(dst.r32(), dst.r32());
    else if (!wide) a_.mov(dst, dst);
  }
  a_.bind(done);
}

void X86Emitter::sign_extend(const ebpf::OpcodeInfo& row, const Step& step) {
  const Gp src = kX86Map[step.src];
  const Gp to = row.width == 8 ? kX86Map[step.dst] : kX86Map[step.dst].r32();
  if (row.selected == 8) a_.movsx(to, src.r8());
  else if (row.selected == 16) a_.movsx(to, src.r16());
  else a_.movsxd(to, src.r32());
}

void X86Emitter::byte_order(const Step& step, Operation operation) {
  const Gp reg = kX86Map[step.dst];
  switch (operation) {
    case Operation::kLe16: a_.movzx(reg.r32(), reg.r16()); break;
    case Operation::kLe32: a_.mov(reg.r32(), reg.r32()); break;
    case Operation::kBe16:
    case Operation::kSwap16:
      a_.rol(reg.r16(), 8);
      a_.movzx(reg.r32(), reg.r16());
      break;
    case Operation::kBe32:
    case Operation::kSwap32: a_.bswap(reg.r32()); break;
    case Operation::kBe64:
    case Operation::kSwap64: a_.bswap(reg); break;
    default: break;
  }
}

}  // namespace weir::engine

#endif
