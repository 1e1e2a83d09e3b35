// Loads, stores and atomics of extended programs in x86-64. Part of X86Emitter.
//
// access() gives the operand for an instruction, behind the comparison that it needs: none where it is proven, one with
// the context's size or the window else; what that does not allow is looked up out of line.
#if defined(__x86_64__)

#include "engine/ebpf_x86.h"

namespace weir::engine {

using ebpf::OperandShape;
using ebpf::Operation;
namespace x86 = asmjit::x86;

void X86Emitter::look_up(const Lookup& lookup) {
  a_.bind(lookup.from);
  a_.lea(kX86Address, x86::ptr(kX86Map[lookup.base], lookup.offset));
  spill();
  a_.mov(WEIR_STATE(address), kX86Address);
  a_.mov(x86::esi, lookup.slot);
  a_.mov(x86::edx, lookup.size_and_write);
  call_host(reinterpret_cast<const void*>(&native_access));
  a_.test(x86::eax, x86::eax);
  a_.jnz(stop_);
  reload(0);
  a_.jmp(lookup.back);
}

// The memory at base + offset, checked for an access.
x86::Mem X86Emitter::access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size,
                            bool write) {
  const StepFacts& fact = facts_.steps[slot];
  if (const Address& known = addresses_.steps[slot].memory; known && fact.access == AccessProof::kProven)
    return place(known, size);
  const Mem plain = x86::ptr(kX86Map[base], offset, size);
  if (fact.access == AccessProof::kProven) return plain;
  lookups_.push_back({a_.newLabel(), a_.newLabel(), slot, size | (write ? 0x100u : 0), base, offset});
  const Lookup& lookup = lookups_.back();
  if (fact.access == AccessProof::kContext) {
    a_.cmp(x86_field(write ? offsetof(NativeState, context_write) : offsetof(NativeState, context_read)), fact.end);
    a_.jb(lookup.from);
  } else {
    const unsigned index = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    const std::size_t limits = write ? offsetof(NativeState, fits_write) : offsetof(NativeState, fits_read);
    a_.mov(kX86Operand, WEIR_STATE(minus_window));
    a_.lea(kX86Operand, x86::ptr(kX86Operand, kX86Map[base], 0, offset));
    a_.cmp(kX86Operand, x86_field(limits + index * 8));
    a_.jae(lookup.from);
  }
  a_.bind(lookup.back);
  return plain;
}

x86::Mem X86Emitter::place(const Address& address, std::uint32_t size) {
  const Gp& base = kX86Map[static_cast<std::size_t>(address.base)];
  if (address.index < 0) return x86::ptr(base, address.offset, size);
  return x86::ptr(base, kX86Map[static_cast<std::size_t>(address.index)], 0, address.offset, size);
}

void X86Emitter::load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const Mem from = access(at, step.src, step.offset, row.width, false);
  const Gp dst = kX86Map[step.dst];
  switch (row.operation) {
    case Operation::kLoad8:
    case Operation::kLoad16: a_.movzx(dst.r32(), from); break;
    case Operation::kLoad32: a_.mov(dst.r32(), from); break;
    case Operation::kLoad64: a_.mov(dst, from); break;
    case Operation::kLoadSigned32: a_.movsxd(dst, from); break;
    default: a_.movsx(dst, from); break;
  }
}

void X86Emitter::store(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const Mem to = access(at, step.dst, step.offset, row.width, true);
  if (row.shape == OperandShape::kStoreRegister) {
    a_.mov(to, x86_part(kX86Map[step.src], row.width));
  } else if (is_plain()) {
    const auto value = static_cast<std::int64_t>(step.constant);
    const std::int64_t cut = row.width == 1   ? static_cast<std::int8_t>(value)
                             : row.width == 2 ? static_cast<std::int16_t>(value)
                                              : value;
    a_.mov(to, asmjit::imm(cut));
  } else {
    constant(kX86Operand, step.constant);
    a_.mov(to, x86_part(kX86Operand, row.width));
  }
}

// One register at a time can wait elsewhere: in r9, where bare code counts nothing, else in the state.
void X86Emitter::set_aside(const Gp& reg) {
  if (is_bare_) a_.mov(x86::r9, reg);
  else a_.mov(WEIR_STATE(scratch), reg);
}
void X86Emitter::take_back(const Gp& reg) {
  if (is_bare_) a_.mov(reg, x86::r9);
  else a_.mov(reg, WEIR_STATE(scratch));
}

void X86Emitter::fetch_and_combine(const ebpf::OpcodeInfo& row, const Step& step, const Mem& place) {
  const auto sized = [&](const Gp& reg) { return row.width == 8 ? reg : Gp(reg.r32()); };
  const Gp src = sized(kX86Map[step.src]);
  const bool in_rax = step.src == 0;
  const auto combine = [&](const Gp& to, const auto& with) {
    if ((row.selected & 0xf0) == 0x40) a_.or_(to, with);
    else if ((row.selected & 0xf0) == 0x50) a_.and_(to, with);
    else a_.xor_(to, with);
  };
  set_aside(x86::rax);
  const asmjit::Label again = a_.newLabel();
  a_.mov(sized(x86::rax), place);
  a_.bind(again);
  a_.mov(sized(kX86Operand), sized(x86::rax));
  if (in_rax && is_bare_) combine(sized(kX86Operand), sized(x86::r9));
  else if (in_rax) combine(sized(kX86Operand), x86_field(offsetof(NativeState, scratch), row.width));
  else combine(sized(kX86Operand), src);
  a_.lock().cmpxchg(place, sized(kX86Operand));
  a_.jne(again);
  a_.mov(src, sized(x86::rax));  // also cuts rax to 32 bits where src is rax
  if (in_rax) return;
  take_back(x86::rax);
}

// The same memory, and its address a multiple of its width.
x86::Mem X86Emitter::aligned(std::uint32_t at, const Mem& checked, std::uint32_t width) {
  if (code_.proven || width == 1) return checked;
  a_.lea(kX86Address, checked);
  a_.test(kX86Address.r32(), static_cast<std::int32_t>(width) - 1);
  a_.jnz(trap(at, Fault::kUnaligned));
  return x86::ptr(kX86Address, 0, width);
}

// This processor's loads acquire and its stores release.
void X86Emitter::ordered(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool loads = row.shape == OperandShape::kLoadAcquire;
  const Mem checked = access(at, loads ? step.src : step.dst, step.offset, row.width, !loads);
  const Mem place = aligned(at, checked, row.width);
  if (!loads) a_.mov(place, x86_part(kX86Map[step.src], row.width));
  else if (row.width == 8) a_.mov(kX86Map[step.dst], place);
  else if (row.width == 4) a_.mov(kX86Map[step.dst].r32(), place);
  else a_.movzx(kX86Map[step.dst].r32(), place);
}

void X86Emitter::atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool wide = row.width == 8;
  const Mem place = aligned(at, access(at, step.dst, step.offset, row.width, true), row.width);
  const Gp src = wide ? kX86Map[step.src] : kX86Map[step.src].r32();
  switch (static_cast<ebpf::AtomicOperation>(row.selected)) {
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
    case ebpf::AtomicOperation::kFetchXor: fetch_and_combine(row, step, place); break;
  }
}

}  // namespace weir::engine

#endif
