// Machine code for x86-64. Exports emit_native.
//
// One pass over the steps, a label a slot. The program's registers live in the processor's, as in Linux's own generator
// (arch/x86/net/bpf_jit_comp.c): r0 rax, r1 rdi, r2 rsi, r3 rdx, r4 rcx, r5 r8, r6 rbx, r7 r13, r8 r14, r9 r15, r10
// rbp; r12 is the NativeState, r9, r10 and r11 are free. Functions of the program are called as functions: `exit` is
// `ret`. An access through r10 whose offset lies in the frame needs no check; all others are compared with the state's
// window, and looked up by native_access() when they are not in it. Steps are counted where control goes back or into a
// function. With blinded constants, each constant is the exclusive or of two numbers of which one is random, so that a
// program cannot place bytes of its choice in executable memory.
#if defined(__x86_64__)

#include <asmjit/x86.h>

#include <cstddef>
#include <random>

#include "engine/ebpf_native.h"

namespace weir::engine {
namespace {

using ebpf::OperandShape;
using ebpf::Operation;
namespace x86 = asmjit::x86;

const x86::Gp kMap[ebpf::kRegisters] = {x86::rax, x86::rdi, x86::rsi, x86::rdx, x86::rcx, x86::r8,
                                        x86::rbx, x86::r13, x86::r14, x86::r15, x86::rbp};
const x86::Gp kState = x86::r12;
const x86::Gp kSpare = x86::r9;
const x86::Gp kOperand = x86::r10;
const x86::Gp kAddress = x86::r11;

x86::Mem field(std::size_t offset, std::uint32_t size = 8) {
  return x86::ptr(kState, static_cast<std::int32_t>(offset), size);
}
// The lower `bytes` of a register.
x86::Gp part(const x86::Gp& reg, unsigned bytes) {
  if (bytes == 1) return reg.r8();
  if (bytes == 2) return reg.r16();
  return bytes == 4 ? x86::Gp(reg.r32()) : reg;
}
#define WEIR_FIELD(name) field(offsetof(NativeState, name))

class Emitter {
 public:
  Emitter(const Code& code, asmjit::CodeHolder& holder) : code_(code), a_(&holder), random_(std::random_device{}()) {}

  void run() {
    labels_.resize(code_.steps.size());
    for (asmjit::Label& label : labels_) label = a_.newLabel();
    stop_ = a_.newLabel();
    prologue();
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      a_.bind(labels_[i]);
      if (!code_.steps[i].second) step(static_cast<std::uint32_t>(i));
    }
    for (const Lookup& lookup : lookups_) look_up(lookup);
    for (const Trap& trap : traps_) raise(trap);
  }

 private:
  struct Lookup {  // out of line: an access that is not in the window
    asmjit::Label from, back;
    std::uint32_t slot, size_and_write;
  };
  struct Trap {  // out of line: a fault
    asmjit::Label from;
    std::uint32_t slot;
    Fault fault;
  };

  void prologue() {
    for (const x86::Gp& saved : {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15}) a_.push(saved);
    a_.sub(x86::rsp, 8);
    a_.mov(kState, x86::rdi);
    a_.mov(WEIR_FIELD(host_stack), x86::rsp);
    a_.mov(x86::rbp, WEIR_FIELD(stack_top));
    reload(1);
    a_.xor_(x86::eax, x86::eax);
    for (const x86::Gp& zero : {x86::ebx, x86::r13d, x86::r14d, x86::r15d}) a_.xor_(zero, zero);
    a_.call(labels_[0]);
    asmjit::Label out = a_.newLabel();
    a_.jmp(out);
    // A run that ends early comes here from any depth, with r0 in the state.
    a_.bind(stop_);
    a_.mov(x86::rsp, WEIR_FIELD(host_stack));
    a_.mov(x86::rax, WEIR_FIELD(registers[0]));
    a_.bind(out);
    a_.add(x86::rsp, 8);
    for (const x86::Gp& saved : {x86::r15, x86::r14, x86::r13, x86::r12, x86::rbp, x86::rbx}) a_.pop(saved);
    a_.ret();
  }

  void spill() {
    for (std::size_t i = 0; i < 6; ++i) a_.mov(field(offsetof(NativeState, registers) + i * 8), kMap[i]);
  }
  void reload(std::size_t from) {
    for (std::size_t i = from; i < 6; ++i) a_.mov(kMap[i], field(offsetof(NativeState, registers) + i * 8));
  }
  template <typename Function>
  void call_host(Function* function) {  // rsi and rdx are set; rdi is the state
    a_.mov(x86::rdi, kState);
    a_.mov(x86::rax, reinterpret_cast<std::uint64_t>(function));
    a_.sub(x86::rsp, 8);
    a_.call(x86::rax);
    a_.add(x86::rsp, 8);
  }

  void look_up(const Lookup& lookup) {
    a_.bind(lookup.from);
    spill();
    a_.mov(WEIR_FIELD(address), kAddress);
    a_.mov(x86::esi, lookup.slot);
    a_.mov(x86::edx, lookup.size_and_write);
    call_host(native_access);
    a_.test(x86::eax, x86::eax);
    a_.jnz(stop_);
    reload(0);
    a_.mov(kAddress, WEIR_FIELD(address));
    a_.jmp(lookup.back);
  }
  void raise(const Trap& trap) {
    a_.bind(trap.from);
    a_.mov(WEIR_FIELD(address), kAddress);
    a_.mov(x86::esi, trap.slot);
    a_.mov(x86::edx, static_cast<std::uint32_t>(trap.fault));
    call_host(native_fault);
    a_.jmp(stop_);
  }
  asmjit::Label trap(std::uint32_t slot, Fault fault) {
    traps_.push_back({a_.newLabel(), slot, fault});
    return traps_.back().from;
  }

  // A constant in a register; blinded when asked.
  void constant(const x86::Gp& to, std::uint64_t value) {
    if (!code_.options.blind_constants) {
      if (value == 0) a_.xor_(to.r32(), to.r32());
      else if (value <= UINT32_MAX) a_.mov(to.r32(), static_cast<std::uint32_t>(value));
      else a_.mov(to, value);
      return;
    }
    const std::uint64_t mask = random_();
    const x86::Gp other = to.id() == kSpare.id() ? kOperand : kSpare;
    a_.mov(to, value ^ mask);
    a_.mov(other, mask);
    a_.xor_(to, other);
  }
  bool is_plain(std::uint64_t) const { return !code_.options.blind_constants; }

  void charge(std::uint32_t slot, std::int64_t cost) {
    a_.sub(WEIR_FIELD(budget), static_cast<std::int32_t>(cost > INT32_MAX ? INT32_MAX : cost));
    a_.js(trap(slot, Fault::kBudget));
  }

  // kAddress = base + offset, checked for an access. Returns the memory to use.
  x86::Mem access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size, bool write) {
    if (base == 10 && offset >= -static_cast<std::int32_t>(ebpf::kStackSize) &&
        offset + static_cast<std::int32_t>(size) <= 0)
      return x86::ptr(x86::rbp, offset, size);
    a_.lea(kAddress, x86::ptr(kMap[base], offset));
    a_.mov(kOperand, kAddress);
    a_.sub(kOperand, WEIR_FIELD(window));
    const unsigned index = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    const std::size_t limits = write ? offsetof(NativeState, fits_write) : offsetof(NativeState, fits_read);
    a_.cmp(kOperand, field(limits + index * 8));
    lookups_.push_back({a_.newLabel(), a_.newLabel(), slot, size | (write ? 0x100u : 0)});
    a_.jae(lookups_.back().from);
    a_.bind(lookups_.back().back);
    return x86::ptr(kAddress, 0, size);
  }

  void step(std::uint32_t at);
  void arithmetic(const ebpf::OpcodeInfo& row, const Step& step);
  void shift(const ebpf::OpcodeInfo& row, const Step& step, unsigned kind);
  void divide(const ebpf::OpcodeInfo& row, const Step& step, bool remainder, bool is_signed);
  void byte_order(const Step& step, Operation operation);
  void branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void call_local(std::uint32_t at, const Step& step);
  void call_helper(std::uint32_t at, const Step& step, bool by_register);
  void packet_load(const ebpf::OpcodeInfo& row, const Step& step);
  void load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);

  const Code& code_;
  x86::Assembler a_;
  std::mt19937_64 random_;
  std::vector<asmjit::Label> labels_;
  asmjit::Label stop_;
  std::vector<Lookup> lookups_;
  std::vector<Trap> traps_;
};

void Emitter::arithmetic(const ebpf::OpcodeInfo& row, const Step& step) {
  const bool wide = row.width == 8;
  const unsigned operation = row.code & 0xf0u;
  const bool by_register = row.shape == OperandShape::kAluRegister;
  if (operation == 0x60 || operation == 0x70 || operation == 0xc0) return shift(row, step, operation);
  if (operation == 0x30 || operation == 0x90) return divide(row, step, operation == 0x90, row.selected == 1);
  const x86::Gp dst = wide ? kMap[step.dst] : kMap[step.dst].r32();
  if (operation == 0xb0) {
    if (by_register) a_.mov(dst, wide ? kMap[step.src] : kMap[step.src].r32());
    else constant(kMap[step.dst], wide ? step.constant : step.constant & 0xffffffff);
    return;
  }
  const auto immediate = static_cast<std::int32_t>(step.constant);
  if (!by_register && is_plain(step.constant)) {
    switch (operation) {
      case 0x00: a_.add(dst, immediate); break;
      case 0x10: a_.sub(dst, immediate); break;
      case 0x20: a_.imul(dst, dst, immediate); break;
      case 0x40: a_.or_(dst, immediate); break;
      case 0x50: a_.and_(dst, immediate); break;
      default: a_.xor_(dst, immediate); break;
    }
    return;
  }
  if (!by_register) constant(kOperand, step.constant);
  const x86::Gp whole = by_register ? kMap[step.src] : kOperand;
  const x86::Gp src = wide ? whole : whole.r32();
  switch (operation) {
    case 0x00: a_.add(dst, src); break;
    case 0x10: a_.sub(dst, src); break;
    case 0x20: a_.imul(dst, src); break;
    case 0x40: a_.or_(dst, src); break;
    case 0x50: a_.and_(dst, src); break;
    default: a_.xor_(dst, src); break;
  }
}

void Emitter::shift(const ebpf::OpcodeInfo& row, const Step& step, unsigned kind) {
  const bool wide = row.width == 8;
  const x86::Gp dst = wide ? kMap[step.dst] : kMap[step.dst].r32();
  const auto emit = [&](const x86::Gp& reg, const auto& count) {
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
  // The count must be in cl, where r4 lives.
  const x86::Gp value = wide ? kOperand : kOperand.r32();
  a_.mov(value, dst);
  a_.mov(kSpare, x86::rcx);
  a_.mov(x86::rcx, kMap[step.src]);
  emit(value, x86::cl);
  a_.mov(x86::rcx, kSpare);
  a_.mov(dst, value);
}

void Emitter::divide(const ebpf::OpcodeInfo& row, const Step& step, bool remainder, bool is_signed) {
  const bool wide = row.width == 8;
  const auto sized = [&](const x86::Gp& reg) { return wide ? reg : reg.r32(); };
  const x86::Gp dst = sized(kMap[step.dst]);
  const x86::Gp divisor = sized(kAddress);
  if (row.shape == OperandShape::kAluRegister) a_.mov(divisor, sized(kMap[step.src]));
  else constant(kAddress, wide ? step.constant : step.constant & 0xffffffff);
  asmjit::Label zero = a_.newLabel();
  asmjit::Label minus_one = a_.newLabel();
  asmjit::Label done = a_.newLabel();
  a_.test(divisor, divisor);
  a_.jz(zero);
  if (is_signed) {
    a_.cmp(divisor, -1);
    a_.jz(minus_one);
  }
  a_.mov(kOperand, x86::rax);
  a_.mov(kSpare, x86::rdx);
  a_.mov(sized(x86::rax), dst);
  if (is_signed) {
    if (wide) a_.cqo();
    else a_.cdq();
    a_.idiv(divisor);
  } else {
    a_.xor_(x86::edx, x86::edx);
    a_.div(divisor);
  }
  a_.mov(divisor, sized(remainder ? x86::rdx : x86::rax));
  a_.mov(x86::rax, kOperand);
  a_.mov(x86::rdx, kSpare);
  a_.mov(dst, divisor);
  a_.jmp(done);
  if (is_signed) {
    a_.bind(minus_one);
    if (remainder) a_.xor_(dst.r32(), dst.r32());
    else a_.neg(dst);
    a_.jmp(done);
  }
  a_.bind(zero);
  if (!remainder) a_.xor_(dst.r32(), dst.r32());
  else if (!wide) a_.mov(dst, dst);
  a_.bind(done);
}

void Emitter::byte_order(const Step& step, Operation operation) {
  const x86::Gp reg = kMap[step.dst];
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

void Emitter::branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const auto target = static_cast<std::uint32_t>(step.offset);
  if (target <= at) charge(at, std::int64_t{at} - target + 1);
  const bool wide = row.width == 8;
  const auto sized = [&](const x86::Gp& reg) { return wide ? reg : reg.r32(); };
  const unsigned condition = row.code & 0xf0u;
  const x86::Gp dst = sized(kMap[step.dst]);
  if (row.shape == OperandShape::kBranchConstant && is_plain(step.constant)) {
    const auto immediate = static_cast<std::int32_t>(step.constant);
    if (condition == 0x40) a_.test(dst, immediate);
    else a_.cmp(dst, immediate);
  } else {
    x86::Gp src = sized(kMap[step.src]);
    if (row.shape == OperandShape::kBranchConstant) {
      constant(kOperand, step.constant);
      src = sized(kOperand);
    }
    if (condition == 0x40) a_.test(dst, src);
    else a_.cmp(dst, src);
  }
  const asmjit::Label& to = labels_[target];
  switch (condition) {
    case 0x10: a_.je(to); break;
    case 0x20: a_.ja(to); break;
    case 0x30: a_.jae(to); break;
    case 0x40:
    case 0x50: a_.jne(to); break;
    case 0x60: a_.jg(to); break;
    case 0x70: a_.jge(to); break;
    case 0xa0: a_.jb(to); break;
    case 0xb0: a_.jbe(to); break;
    case 0xc0: a_.jl(to); break;
    default: a_.jle(to); break;
  }
}

void Emitter::call_local(std::uint32_t at, const Step& step) {
  charge(at, 1 + (static_cast<std::uint32_t>(step.offset) <= at ? std::int64_t{at} - step.offset : 0));
  a_.dec(WEIR_FIELD(calls_left));
  a_.js(trap(at, Fault::kCallDepth));
  for (const x86::Gp& saved : {x86::rbx, x86::r13, x86::r14, x86::r15}) a_.push(saved);
  a_.sub(x86::rsp, 8);
  a_.sub(WEIR_FIELD(stack_begin), static_cast<std::int32_t>(ebpf::kStackSize));
  a_.sub(x86::rbp, static_cast<std::int32_t>(ebpf::kStackSize));
  a_.pxor(x86::xmm0, x86::xmm0);
  for (std::int32_t i = -static_cast<std::int32_t>(ebpf::kStackSize); i < 0; i += 16)
    a_.movups(x86::ptr(x86::rbp, i, 16), x86::xmm0);
  a_.call(labels_[static_cast<std::uint32_t>(step.offset)]);
  a_.add(x86::rbp, static_cast<std::int32_t>(ebpf::kStackSize));
  a_.add(WEIR_FIELD(stack_begin), static_cast<std::int32_t>(ebpf::kStackSize));
  a_.add(x86::rsp, 8);
  for (const x86::Gp& saved : {x86::r15, x86::r14, x86::r13, x86::rbx}) a_.pop(saved);
  a_.inc(WEIR_FIELD(calls_left));
}

void Emitter::call_helper(std::uint32_t at, const Step& step, bool by_register) {
  spill();
  if (by_register) a_.mov(x86::rdx, kMap[step.dst]);  // before rsi, which may be that register
  else a_.mov(x86::edx, static_cast<std::uint32_t>(step.constant));
  a_.mov(x86::esi, at);
  call_host(native_helper);
  a_.cmp(x86::eax, kStop);
  a_.je(stop_);
  a_.mov(kOperand.r32(), x86::eax);
  reload(0);
  asmjit::Label go_on = a_.newLabel();
  a_.test(kOperand.r32(), kOperand.r32());
  a_.jz(go_on);
  a_.ret();  // a tail call ended the function
  a_.bind(go_on);
}

void Emitter::packet_load(const ebpf::OpcodeInfo& row, const Step& step) {
  spill();
  if (row.shape == OperandShape::kPacketIndirect) a_.mov(kOperand, kMap[step.src]);
  else a_.xor_(kOperand.r32(), kOperand.r32());
  a_.mov(x86::edx, static_cast<std::uint32_t>(step.constant));
  a_.add(x86::edx, kOperand.r32());
  a_.mov(x86::esi, static_cast<std::uint32_t>(row.width));
  call_host(native_packet_load);
  a_.test(x86::eax, x86::eax);
  a_.jnz(stop_);
  reload(0);
}

void Emitter::load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const x86::Mem from = access(at, step.src, step.offset, row.width, false);
  const x86::Gp dst = kMap[step.dst];
  switch (row.operation) {
    case Operation::kLoad8:
    case Operation::kLoad16: a_.movzx(dst.r32(), from); break;
    case Operation::kLoad32: a_.mov(dst.r32(), from); break;
    case Operation::kLoad64: a_.mov(dst, from); break;
    case Operation::kLoadSigned32: a_.movsxd(dst, from); break;
    default: a_.movsx(dst, from); break;
  }
}

void Emitter::atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool wide = row.width == 8;
  const x86::Mem checked = access(at, step.dst, step.offset, row.width, true);
  a_.lea(kAddress, checked);
  const x86::Mem place = x86::ptr(kAddress, 0, row.width);
  a_.test(kAddress.r32(), static_cast<std::int32_t>(row.width) - 1);
  a_.jnz(trap(at, Fault::kUnaligned));
  const auto sized = [&](const x86::Gp& reg) { return wide ? reg : reg.r32(); };
  const x86::Gp src = sized(kMap[step.src]);
  const auto combine = [&](const auto& to, const x86::Gp& with, unsigned kind) {
    if (kind == 0x40) a_.or_(to, with);
    else if (kind == 0x50) a_.and_(to, with);
    else a_.xor_(to, with);
  };
  const auto operation = static_cast<ebpf::AtomicOperation>(row.selected);
  switch (operation) {
    case ebpf::AtomicOperation::kAdd: a_.lock().add(place, src); break;
    case ebpf::AtomicOperation::kOr: a_.lock().or_(place, src); break;
    case ebpf::AtomicOperation::kAnd: a_.lock().and_(place, src); break;
    case ebpf::AtomicOperation::kXor: a_.lock().xor_(place, src); break;
    case ebpf::AtomicOperation::kFetchAdd: a_.lock().xadd(place, src); break;
    case ebpf::AtomicOperation::kExchange: a_.xchg(place, src); break;
    case ebpf::AtomicOperation::kCompareExchange:
      a_.lock().cmpxchg(place, src);
      if (!wide) a_.mov(x86::eax, x86::eax);
      break;
    case ebpf::AtomicOperation::kFetchOr:
    case ebpf::AtomicOperation::kFetchAnd:
    case ebpf::AtomicOperation::kFetchXor: {
      const bool in_rax = step.src == 0;
      a_.mov(kSpare, x86::rax);
      asmjit::Label again = a_.newLabel();
      a_.mov(sized(x86::rax), place);
      a_.bind(again);
      a_.mov(sized(kOperand), sized(x86::rax));
      combine(sized(kOperand), in_rax ? sized(kSpare) : src, row.selected & 0xf0u);
      a_.lock().cmpxchg(place, sized(kOperand));
      a_.jne(again);
      a_.mov(src, sized(x86::rax));  // also cuts rax to 32 bits where src is rax
      if (!in_rax) a_.mov(x86::rax, kSpare);
      break;
    }
  }
}

void Emitter::step(std::uint32_t at) {
  const Step& step = code_.steps[at];
  const ebpf::OpcodeInfo& row = ebpf::info(step.operation);
  const x86::Gp dst = kMap[step.dst];
  switch (row.shape) {
    case OperandShape::kAluConstant:
    case OperandShape::kAluRegister: return arithmetic(row, step);
    case OperandShape::kNegate: a_.neg(row.width == 8 ? dst : dst.r32()); return;
    case OperandShape::kSignExtend: {
      const x86::Gp src = kMap[step.src];
      const x86::Gp to = row.width == 8 ? dst : dst.r32();
      if (row.selected == 8) a_.movsx(to, src.r8());
      else if (row.selected == 16) a_.movsx(to, src.r16());
      else a_.movsxd(to, src.r32());
      return;
    }
    case OperandShape::kByteOrder: return byte_order(step, row.operation);
    case OperandShape::kJump:
    case OperandShape::kJumpLong:
      if (static_cast<std::uint32_t>(step.offset) <= at) charge(at, std::int64_t{at} - step.offset + 1);
      a_.jmp(labels_[static_cast<std::uint32_t>(step.offset)]);
      return;
    case OperandShape::kBranchConstant:
    case OperandShape::kBranchRegister: return branch(at, row, step);
    case OperandShape::kCallLocal: return call_local(at, step);
    case OperandShape::kCallHelper: return call_helper(at, step, false);
    case OperandShape::kCallRegister:
      if (code_.options.register_calls) return call_helper(at, step, true);
      [[fallthrough]];
    case OperandShape::kCallKernel:
      if (row.shape == OperandShape::kCallKernel) constant(x86::rax, step.constant);
      else a_.mov(x86::rax, dst);
      a_.mov(WEIR_FIELD(registers[0]), x86::rax);
      a_.jmp(trap(at, Fault::kHelper));
      return;
    case OperandShape::kNone: a_.ret(); return;
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: constant(dst, step.constant); return;
    case OperandShape::kPacketAbsolute:
    case OperandShape::kPacketIndirect: return packet_load(row, step);
    case OperandShape::kLoad: return load(at, row, step);
    case OperandShape::kStoreConstant: {
      const x86::Mem to = access(at, step.dst, step.offset, row.width, true);
      constant(kOperand, step.constant);
      a_.mov(to, part(kOperand, row.width));
      return;
    }
    case OperandShape::kStoreRegister: {
      const x86::Mem to = access(at, step.dst, step.offset, row.width, true);
      const x86::Gp src = kMap[step.src];
      a_.mov(to, part(src, row.width));
      return;
    }
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare: return atomic(at, row, step);
  }
}

}  // namespace

Result<std::unique_ptr<NativeCode>> emit_native(const Code& code) {
  const auto broken = [](asmjit::Error error) {
    return fail(
        Error{.code = ErrorCode::kUnsupported,
              .message = std::string("no machine code could be made: ") + asmjit::DebugUtils::errorAsString(error)});
  };
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment::host());
  Emitter emitter(code, holder);
  emitter.run();
  if (const asmjit::Error error = holder.flatten(); error != asmjit::kErrorOk) return broken(error);
  if (const asmjit::Error error = holder.resolveUnresolvedLinks(); error != asmjit::kErrorOk) return broken(error);
  std::unique_ptr<NativeCode> native = NativeCode::allocate(holder.codeSize());
  if (native == nullptr) return broken(asmjit::kErrorOutOfMemory);
  if (const asmjit::Error error = holder.relocateToBase(reinterpret_cast<std::uint64_t>(native->data()));
      error != asmjit::kErrorOk)
    return broken(error);
  holder.copyFlattenedData(native->data(), holder.codeSize());
  if (!native->seal(holder.codeSize())) return fail(system_failure("make machine code executable", errno));
  return native;
}

}  // namespace weir::engine

#else

#include "engine/ebpf_native.h"

namespace weir::engine {
Result<std::unique_ptr<NativeCode>> emit_native(const Code&) {
  return fail(Error{.code = ErrorCode::kUnsupported, .message = "there is no machine code for this processor"});
}
}  // namespace weir::engine

#endif
