// Loads, stores and atomics of extended programs in AArch64. Part of A64Emitter.
//
// access() leaves the address in kA64Address, behind the comparison that it needs: none where it is proven, one with
// the context's size or the window else; what that does not allow is looked up out of line. Atomics are loops of
// exclusive loads and stores, which every processor has.
#include "engine/ebpf_a64_emitter.h"

namespace weir::engine {

// kA64Address = base + offset, checked for an access.
void A64Emitter::access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size, bool write) {
  if (offset >= 0 && offset < 4096) must(a_.add(kA64Address, kA64Map[base], offset));
  else if (offset < 0 && offset > -4096) must(a_.sub(kA64Address, kA64Map[base], -offset));
  else {
    plain(kA64Address, static_cast<std::uint64_t>(std::int64_t{offset}));
    must(a_.add(kA64Address, kA64Address, kA64Map[base]));
  }
  const StepFacts& fact = facts_.steps[slot];
  if (fact.access == AccessProof::kProven) return;
  lookups_.push_back({a_.newLabel(), a_.newLabel(), slot, size | (write ? 0x100u : 0)});
  const Lookup& lookup = lookups_.back();
  if (fact.access == AccessProof::kContext) {
    must(a_.ldr(kA64Operand, write ? WEIR_FIELD(context_write) : WEIR_FIELD(context_read)));
    plain(kA64Other, static_cast<std::uint64_t>(fact.end));
    must(a_.cmp(kA64Operand, kA64Other));
    must(a_.b(CondCode::kLO, lookup.from));
  } else {
    const unsigned index = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    must(a_.ldr(kA64Operand, WEIR_FIELD(minus_window)));
    must(a_.add(kA64Operand, kA64Operand, kA64Address));
    must(a_.ldr(kA64Other,
                a64_field((write ? offsetof(NativeState, fits_write) : offsetof(NativeState, fits_read)) + index * 8)));
    must(a_.cmp(kA64Operand, kA64Other));
    must(a_.b(CondCode::kHS, lookup.from));
  }
  must(a_.bind(lookup.back));
}

// Stops where kA64Address is no multiple of the width.
void A64Emitter::aligned(std::uint32_t at, std::uint32_t width) {
  if (width == 1) return;
  must(a_.tst(kA64Address, std::uint64_t{width} - 1));
  must(a_.b(CondCode::kNE, trap(at, Fault::kUnaligned)));
}

void A64Emitter::load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  access(at, step.src, step.offset, row.width, false);
  const Gp dst = kA64Map[step.dst];
  const a64::Mem from = a64::ptr(kA64Address);
  switch (row.operation) {
    case Operation::kLoad8: must(a_.ldrb(dst.w(), from)); break;
    case Operation::kLoad16: must(a_.ldrh(dst.w(), from)); break;
    case Operation::kLoad32: must(a_.ldr(dst.w(), from)); break;
    case Operation::kLoad64: must(a_.ldr(dst, from)); break;
    case Operation::kLoadSigned8: must(a_.ldrsb(dst, from)); break;
    case Operation::kLoadSigned16: must(a_.ldrsh(dst, from)); break;
    default: must(a_.ldrsw(dst, from)); break;
  }
}

void A64Emitter::store(const Gp& from, unsigned width) {
  const a64::Mem to = a64::ptr(kA64Address);
  if (width == 1) must(a_.strb(from.w(), to));
  else if (width == 2) must(a_.strh(from.w(), to));
  else must(a_.str(a64_sized(from, width == 8), to));
}

void A64Emitter::compare_and_exchange(const Step& step, bool is_wide) {
  const asmjit::Label again = a_.newLabel();
  const asmjit::Label done = a_.newLabel();
  const a64::Mem place = a64::ptr(kA64Address);
  barrier();
  must(a_.bind(again));
  must(a_.ldxr(a64_sized(kA64Operand, is_wide), place));
  must(a_.cmp(a64_sized(kA64Operand, is_wide), a64_sized(kA64Map[0], is_wide)));
  must(a_.b(CondCode::kNE, done));
  must(a_.stxr(kA64Status.w(), a64_sized(kA64Map[step.src], is_wide), place));
  must(a_.cbnz(kA64Status.w(), again));
  must(a_.bind(done));
  barrier();
  must(a_.mov(a64_sized(kA64Map[0], is_wide), a64_sized(kA64Operand, is_wide)));
}

void A64Emitter::atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool is_wide = row.width == 8;
  access(at, step.dst, step.offset, row.width, true);
  aligned(at, row.width);
  const auto operation = static_cast<ebpf::AtomicOperation>(row.selected);
  if (operation == ebpf::AtomicOperation::kCompareExchange) return compare_and_exchange(step, is_wide);
  const Gp src = a64_sized(kA64Map[step.src], is_wide);
  const Gp old = a64_sized(kA64Operand, is_wide);
  Gp made = a64_sized(kA64Other, is_wide);
  const asmjit::Label again = a_.newLabel();
  barrier();
  must(a_.bind(again));
  must(a_.ldxr(old, a64::ptr(kA64Address)));
  switch (operation) {
    case ebpf::AtomicOperation::kAdd:
    case ebpf::AtomicOperation::kFetchAdd: must(a_.add(made, old, src)); break;
    case ebpf::AtomicOperation::kOr:
    case ebpf::AtomicOperation::kFetchOr: must(a_.orr(made, old, src)); break;
    case ebpf::AtomicOperation::kAnd:
    case ebpf::AtomicOperation::kFetchAnd: must(a_.and_(made, old, src)); break;
    case ebpf::AtomicOperation::kXor:
    case ebpf::AtomicOperation::kFetchXor: must(a_.eor(made, old, src)); break;
    default: made = src; break;
  }
  must(a_.stxr(kA64Status.w(), made, a64::ptr(kA64Address)));
  must(a_.cbnz(kA64Status.w(), again));
  barrier();
  if (row.shape == OperandShape::kAtomicFetch) must(a_.mov(src, old));
}

void A64Emitter::ordered(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool loads = row.shape == OperandShape::kLoadAcquire;
  access(at, loads ? step.src : step.dst, step.offset, row.width, !loads);
  aligned(at, row.width);
  const Gp reg = kA64Map[loads ? step.dst : step.src];
  const a64::Mem place = a64::ptr(kA64Address);
  if (row.width == 1) must(loads ? a_.ldarb(reg.w(), place) : a_.stlrb(reg.w(), place));
  else if (row.width == 2) must(loads ? a_.ldarh(reg.w(), place) : a_.stlrh(reg.w(), place));
  else must(loads ? a_.ldar(a64_sized(reg, row.width == 8), place) : a_.stlr(a64_sized(reg, row.width == 8), place));
}

}  // namespace weir::engine
