// Extended programs as AArch64 code: the frame, arithmetic, jumps and calls. Exports assemble_extended_a64, and
// emit_native there.
//
// One pass over the steps, a label a slot. Functions of the program are entered with `bl`: who calls saves the link
// register and r6 to r9. Division and shifts mean in this processor what they mean in the program.
#include <cstring>

#include "engine/ebpf_a64_emitter.h"

namespace weir::engine {

void A64Emitter::run() {
  labels_.resize(code_.steps.size());
  for (asmjit::Label& label : labels_) label = a_.newLabel();
  stop_ = a_.newLabel();
  prologue();
  for (std::size_t i = 0; i < code_.steps.size(); ++i) {
    a_.bind(labels_[i]);
    if (!code_.steps[i].is_second()) step(static_cast<std::uint32_t>(i));
  }
  for (const Lookup& lookup : lookups_) look_up(lookup);
  for (const Trap& trap : traps_) raise(trap);
}

void A64Emitter::prologue() {
  must(a_.stp(a64::x29, kA64Link, a64::ptr_pre(a64::sp, -80)));
  must(a_.stp(a64::x19, a64::x20, a64::ptr(a64::sp, 16)));
  must(a_.stp(a64::x21, a64::x22, a64::ptr(a64::sp, 32)));
  must(a_.stp(a64::x23, a64::x24, a64::ptr(a64::sp, 48)));
  must(a_.str(a64::x25, a64::ptr(a64::sp, 64)));
  must(a_.mov(kA64State, a64::x0));
  must(a_.mov(kA64Operand, a64::sp));
  must(a_.str(kA64Operand, WEIR_FIELD(host_stack)));
  must(a_.ldr(kA64Map[10], WEIR_FIELD(stack_top)));
  clear_frame(facts_.frame_size);
  reload(1);
  for (const unsigned reg : {0u, 6u, 7u, 8u, 9u}) must(a_.mov(kA64Map[reg], a64::xzr));
  must(a_.ldr(kA64Budget, WEIR_FIELD(budget)));
  const asmjit::Label out = a_.newLabel();
  enter_callbacks(out);
  must(a_.bl(labels_[0]));
  must(a_.str(kA64Budget, WEIR_FIELD(budget)));
  must(a_.b(out));
  // A run that ends early comes here from any depth, with r0 in the state.
  must(a_.bind(stop_));
  must(a_.ldr(kA64Operand, WEIR_FIELD(host_stack)));
  must(a_.mov(a64::sp, kA64Operand));
  must(a_.ldr(kA64Map[0], WEIR_FIELD(registers[0])));
  must(a_.bind(out));
  must(a_.mov(a64::x0, kA64Map[0]));
  must(a_.ldr(a64::x25, a64::ptr(a64::sp, 64)));
  must(a_.ldp(a64::x23, a64::x24, a64::ptr(a64::sp, 48)));
  must(a_.ldp(a64::x21, a64::x22, a64::ptr(a64::sp, 32)));
  must(a_.ldp(a64::x19, a64::x20, a64::ptr(a64::sp, 16)));
  must(a_.ldp(a64::x29, kA64Link, a64::ptr_post(a64::sp, 80)));
  must(a_.ret(kA64Link));
}

// The code is entered again for a function that is called back.
void A64Emitter::enter_callbacks(const asmjit::Label& out) {
  for (const std::uint32_t slot : code_.callbacks) {
    const asmjit::Label other = a_.newLabel();
    must(a_.ldr(kA64Operand.w(), WEIR_FIELD(function)));
    plain(kA64Other, slot);
    must(a_.cmp(kA64Operand.w(), kA64Other.w()));
    must(a_.b(CondCode::kNE, other));
    must(a_.bl(labels_[slot]));
    must(a_.str(kA64Budget, WEIR_FIELD(budget)));
    must(a_.b(out));
    must(a_.bind(other));
  }
}

void A64Emitter::look_up(const Lookup& lookup) {
  must(a_.bind(lookup.from));
  spill();
  must(a_.str(kA64Address, WEIR_FIELD(address)));
  plain(a64::x1, lookup.slot);
  plain(a64::x2, lookup.size_and_write);
  call_host(kAccess);
  must(a_.cbnz(a64::w0, stop_));
  reload(0);
  must(a_.ldr(kA64Address, WEIR_FIELD(address)));
  must(a_.b(lookup.back));
}

void A64Emitter::raise(const Trap& trap) {
  must(a_.bind(trap.from));
  must(a_.str(kA64Address, WEIR_FIELD(address)));
  plain(a64::x1, trap.slot);
  plain(a64::x2, static_cast<std::uint64_t>(trap.fault));
  call_host(kFault);
  must(a_.b(stop_));
}

void A64Emitter::arithmetic(const ebpf::OpcodeInfo& row, const Step& step) {
  const bool is_wide = row.width == 8;
  const Gp dst = a64_sized(kA64Map[step.dst], is_wide);
  Gp src = a64_sized(kA64Map[step.src], is_wide);
  if (row.shape == OperandShape::kAluConstant) {
    constant(kA64Operand, is_wide ? step.constant : step.constant & 0xffffffff);
    src = a64_sized(kA64Operand, is_wide);
  }
  switch (row.code & 0xf0u) {
    case 0x00: must(a_.add(dst, dst, src)); break;
    case 0x10: must(a_.sub(dst, dst, src)); break;
    case 0x20: must(a_.mul(dst, dst, src)); break;
    case 0x30: divide(dst, src, false, row.selected == 1); break;
    case 0x40: must(a_.orr(dst, dst, src)); break;
    case 0x50: must(a_.and_(dst, dst, src)); break;
    case 0x60: must(a_.lsl(dst, dst, src)); break;
    case 0x70: must(a_.lsr(dst, dst, src)); break;
    case 0x90: divide(dst, src, true, row.selected == 1); break;
    case 0xa0: must(a_.eor(dst, dst, src)); break;
    case 0xb0: must(a_.mov(dst, src)); break;
    default: must(a_.asr(dst, dst, src)); break;
  }
}

// By zero the processor gives 0, and so the remainder is what was divided.
void A64Emitter::divide(const Gp& dst, const Gp& src, bool remainder, bool is_signed) {
  const Gp quotient = dst.isGpX() ? kA64Other : Gp(kA64Other.w());
  if (is_signed) must(a_.sdiv(quotient, dst, src));
  else must(a_.udiv(quotient, dst, src));
  if (remainder) must(a_.msub(dst, quotient, src, dst));
  else must(a_.mov(dst, quotient));
}

void A64Emitter::sign_extend(const ebpf::OpcodeInfo& row, const Step& step) {
  const Gp to = a64_sized(kA64Map[step.dst], row.width == 8);
  const Gp from = kA64Map[step.src].w();
  if (row.selected == 8) must(a_.sxtb(to, from));
  else if (row.selected == 16) must(a_.sxth(to, from));
  else must(a_.sxtw(to, from));
}

void A64Emitter::byte_order(const Step& step, Operation operation) {
  const Gp reg = kA64Map[step.dst];
  switch (operation) {
    case Operation::kLe16: must(a_.uxth(reg.w(), reg.w())); break;
    case Operation::kLe32: must(a_.mov(reg.w(), reg.w())); break;
    case Operation::kBe16:
    case Operation::kSwap16:
      must(a_.rev16(reg.w(), reg.w()));
      must(a_.uxth(reg.w(), reg.w()));
      break;
    case Operation::kBe32:
    case Operation::kSwap32: must(a_.rev(reg.w(), reg.w())); break;
    case Operation::kBe64:
    case Operation::kSwap64: must(a_.rev(reg, reg)); break;
    default: break;
  }
}

void A64Emitter::branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const auto target = static_cast<std::uint32_t>(step.offset);
  if (target <= at) charge(at, std::int64_t{at} - target + 1);
  const bool is_wide = row.width == 8;
  const Gp dst = a64_sized(kA64Map[step.dst], is_wide);
  Gp src = a64_sized(kA64Map[step.src], is_wide);
  if (row.shape == OperandShape::kBranchConstant) {
    constant(kA64Operand, is_wide ? step.constant : step.constant & 0xffffffff);
    src = a64_sized(kA64Operand, is_wide);
  }
  const unsigned condition = row.code & 0xf0u;
  if (condition == 0x40) must(a_.tst(dst, src));
  else must(a_.cmp(dst, src));
  CondCode code = CondCode::kLE;
  switch (condition) {
    case 0x10: code = CondCode::kEQ; break;
    case 0x20: code = CondCode::kHI; break;
    case 0x30: code = CondCode::kHS; break;
    case 0x40:
    case 0x50: code = CondCode::kNE; break;
    case 0x60: code = CondCode::kGT; break;
    case 0x70: code = CondCode::kGE; break;
    case 0xa0: code = CondCode::kLO; break;
    case 0xb0: code = CondCode::kLS; break;
    case 0xc0: code = CondCode::kLT; break;
    default: break;
  }
  must(a_.b(code, labels_[target]));
}

void A64Emitter::call_local(std::uint32_t at, const Step& step) {
  charge(at, 1 + (static_cast<std::uint32_t>(step.offset) <= at ? std::int64_t{at} - step.offset : 0));
  must(a_.ldr(kA64Operand, WEIR_FIELD(calls_left)));
  must(a_.subs(kA64Operand, kA64Operand, 1));
  must(a_.b(CondCode::kMI, trap(at, Fault::kCallDepth)));
  must(a_.str(kA64Operand, WEIR_FIELD(calls_left)));
  must(a_.stp(a64::x19, a64::x20, a64::ptr_pre(a64::sp, -48)));
  must(a_.stp(a64::x21, a64::x22, a64::ptr(a64::sp, 16)));
  must(a_.str(kA64Link, a64::ptr(a64::sp, 32)));
  const auto move_frame = [&](bool down) {
    must(a_.ldr(kA64Operand, WEIR_FIELD(stack_begin)));
    for (const Gp& reg : {kA64Operand, kA64Map[10]})
      must(down ? a_.sub(reg, reg, ebpf::kStackSize) : a_.add(reg, reg, ebpf::kStackSize));
    must(a_.str(kA64Operand, WEIR_FIELD(stack_begin)));
  };
  move_frame(true);
  clear_frame(ebpf::kStackSize);
  must(a_.bl(labels_[static_cast<std::uint32_t>(step.offset)]));
  move_frame(false);
  must(a_.ldr(kA64Link, a64::ptr(a64::sp, 32)));
  must(a_.ldp(a64::x21, a64::x22, a64::ptr(a64::sp, 16)));
  must(a_.ldp(a64::x19, a64::x20, a64::ptr_post(a64::sp, 48)));
  must(a_.ldr(kA64Operand, WEIR_FIELD(calls_left)));
  must(a_.add(kA64Operand, kA64Operand, 1));
  must(a_.str(kA64Operand, WEIR_FIELD(calls_left)));
}

void A64Emitter::call_helper(std::uint32_t at, const Step& step, bool by_register) {
  spill();
  if (by_register) must(a_.mov(a64::x2, kA64Map[step.dst]));
  else plain(a64::x2, step.constant & 0xffffffff);
  plain(a64::x1, at);
  call_host(kHelper);
  must(a_.mov(kA64Status.w(), a64::w0));
  must(a_.cmp(kA64Status.w(), static_cast<std::uint32_t>(kStop)));
  must(a_.b(CondCode::kEQ, stop_));
  reload(0);
  must(a_.ldr(kA64Budget, WEIR_FIELD(budget)));
  return_if_told();  // a tail call ended the function
}

void A64Emitter::return_if_told() {
  const asmjit::Label go_on = a_.newLabel();
  must(a_.cbz(kA64Status.w(), go_on));
  must(a_.ret(kA64Link));
  must(a_.bind(go_on));
}

void A64Emitter::unknown_call(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  if (row.shape == OperandShape::kCallKernel) constant(kA64Operand, step.constant);
  else must(a_.mov(kA64Operand, kA64Map[step.dst]));
  must(a_.str(kA64Operand, WEIR_FIELD(registers[0])));
  must(a_.b(trap(at, Fault::kHelper)));
}

void A64Emitter::packet_load(const ebpf::OpcodeInfo& row, const Step& step) {
  spill();
  plain(kA64Operand, step.constant & 0xffffffff);
  if (row.shape == OperandShape::kPacketIndirect) must(a_.add(a64::w2, kA64Operand.w(), kA64Map[step.src].w()));
  else must(a_.mov(a64::w2, kA64Operand.w()));
  plain(a64::x1, row.width);
  call_host(kPacketLoad);
  must(a_.mov(kA64Status.w(), a64::w0));
  reload(0);
  return_if_told();
}

void A64Emitter::wide(const Step& step, OperandShape shape) {
  const std::uint32_t index = constants_++;
  if (shape == OperandShape::kWideConstant) return constant(kA64Map[step.dst], step.constant);
  must(a_.ldr(kA64Operand, WEIR_FIELD(constants)));
  plain(kA64Other, std::uint64_t{index} * 8);
  must(a_.ldr(kA64Map[step.dst], a64::ptr(kA64Operand, kA64Other)));
}

void A64Emitter::step(std::uint32_t at) {
  const Step& step = code_.steps[at];
  const ebpf::OpcodeInfo& row = ebpf::info(step.operation);
  const Gp dst = kA64Map[step.dst];
  switch (row.shape) {
    case OperandShape::kAluConstant:
    case OperandShape::kAluRegister: return arithmetic(row, step);
    case OperandShape::kNegate: return must(a_.neg(a64_sized(dst, row.width == 8), a64_sized(dst, row.width == 8)));
    case OperandShape::kSignExtend: return sign_extend(row, step);
    case OperandShape::kByteOrder: return byte_order(step, row.operation);
    case OperandShape::kJump:
    case OperandShape::kJumpLong:
      if (static_cast<std::uint32_t>(step.offset) <= at) charge(at, std::int64_t{at} - step.offset + 1);
      return must(a_.b(labels_[static_cast<std::uint32_t>(step.offset)]));
    case OperandShape::kBranchConstant:
    case OperandShape::kBranchRegister: return branch(at, row, step);
    case OperandShape::kCallLocal: return call_local(at, step);
    case OperandShape::kCallHelper: return call_helper(at, step, false);
    case OperandShape::kCallRegister:
      if (code_.options.register_calls) return call_helper(at, step, true);
      [[fallthrough]];
    case OperandShape::kCallKernel: return unknown_call(at, row, step);
    case OperandShape::kNone: return must(a_.ret(kA64Link));
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: return wide(step, row.shape);
    case OperandShape::kPacketAbsolute:
    case OperandShape::kPacketIndirect: return packet_load(row, step);
    case OperandShape::kLoad: return load(at, row, step);
    case OperandShape::kStoreConstant:
      access(at, step.dst, step.offset, row.width, true);
      constant(kA64Operand, step.constant);
      return store(kA64Operand, row.width);
    case OperandShape::kStoreRegister:
      access(at, step.dst, step.offset, row.width, true);
      return store(kA64Map[step.src], row.width);
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare: return atomic(at, row, step);
    case OperandShape::kLoadAcquire:
    case OperandShape::kStoreRelease: return ordered(at, row, step);
    case OperandShape::kMayJump:
    case OperandShape::kAddressSpace: return;  // prepare() refuses them
  }
}

Result<std::vector<std::uint8_t>> assemble_extended_a64(const Code& code, const Facts& facts) {
  const auto broken = [] {
    return fail(Error{.code = ErrorCode::kUnsupported, .message = "the program is too large for AArch64 code"});
  };
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment(asmjit::Arch::kAArch64, asmjit::SubArch::kUnknown, asmjit::Vendor::kUnknown,
                                  asmjit::Platform::kLinux, asmjit::PlatformABI::kGNU));
  A64Emitter emitter(code, facts, holder);
  emitter.run();
  if (!emitter.is_good() || holder.flatten() != asmjit::kErrorOk ||
      holder.resolveUnresolvedLinks() != asmjit::kErrorOk || holder.relocateToBase(0) != asmjit::kErrorOk)
    return broken();
  std::vector<std::uint8_t> bytes(holder.codeSize());
  if (holder.copyFlattenedData(bytes.data(), bytes.size()) != asmjit::kErrorOk) return broken();
  return bytes;
}

#if defined(__aarch64__)
Result<std::unique_ptr<NativeCode>> emit_native(const Code& code, const Facts& facts) {
  WEIR_TRY(const std::vector<std::uint8_t> bytes, assemble_extended_a64(code, facts));
  std::unique_ptr<NativeCode> native = NativeCode::allocate(bytes.size());
  if (native == nullptr)
    return fail(Error{.code = ErrorCode::kUnsupported, .message = "there is no memory for machine code"});
  std::memcpy(native->data(), bytes.data(), bytes.size());
  if (!native->seal(bytes.size())) return fail(system_failure("make machine code executable", errno));
  return native;
}
#endif

}  // namespace weir::engine
