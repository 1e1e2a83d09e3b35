// Extended programs as AArch64 code. Exports assemble_extended_a64, and emit_native there.
//
// One pass over the steps, a label a slot. Registers: r0 x9, r1 to r5 x0 to x4, r6 to r9 x19 to x22, r10 x25; x23 is
// the NativeState, x24 what is left of the budget; x10 to x13 are free, x12 holds the address of an access. Functions
// of the program are entered with `bl`: who calls saves the link register and r6 to r9. Division and shifts mean in
// this processor what they mean in the program. Atomics are loops of exclusive loads and stores, which every processor
// has. Checks, the budget and blinded constants as in ebpf_x86.h; a call of a helper goes through native_helper().
#include <asmjit/arm/a64assembler.h>

#include <cstddef>
#include <cstring>
#include <random>

#include "engine/ebpf_a64.h"

namespace weir::engine {
namespace {

namespace a64 = asmjit::a64;
using a64::CondCode;
using a64::Gp;
using ebpf::OperandShape;
using ebpf::Operation;

const Gp kMap[ebpf::kRegisters] = {a64::x9,  a64::x0,  a64::x1,  a64::x2,  a64::x3, a64::x4,
                                   a64::x19, a64::x20, a64::x21, a64::x22, a64::x25};
const Gp kState = a64::x23;
const Gp kBudget = a64::x24;
const Gp kOperand = a64::x10;
const Gp kOther = a64::x11;
const Gp kAddress = a64::x12;
const Gp kStatus = a64::x13;
const Gp kLink = a64::x30;

enum HostFunction : std::int32_t { kAccess, kHelper, kPacketLoad, kFault };

a64::Mem field(std::size_t offset) { return a64::ptr(kState, static_cast<std::int32_t>(offset)); }
#define WEIR_FIELD(name) field(offsetof(NativeState, name))
Gp sized(const Gp& reg, bool wide) { return wide ? reg : Gp(reg.w()); }

class Emitter {
 public:
  Emitter(const Code& code, const Facts& facts, asmjit::CodeHolder& holder)
      : code_(code), facts_(facts), a_(&holder), random_(std::random_device{}()) {}

  void run() {
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
  bool is_good() const { return good_; }

 private:
  struct Lookup {
    asmjit::Label from, back;
    std::uint32_t slot, size_and_write;
  };
  struct Trap {
    asmjit::Label from;
    std::uint32_t slot;
    Fault fault;
  };

  // asmjit reports what does not fit; whoever asks is told that there is no code.
  void must(asmjit::Error error) { good_ = good_ && error == asmjit::kErrorOk; }

  void prologue() {
    must(a_.stp(a64::x29, kLink, a64::ptr_pre(a64::sp, -80)));
    must(a_.stp(a64::x19, a64::x20, a64::ptr(a64::sp, 16)));
    must(a_.stp(a64::x21, a64::x22, a64::ptr(a64::sp, 32)));
    must(a_.stp(a64::x23, a64::x24, a64::ptr(a64::sp, 48)));
    must(a_.str(a64::x25, a64::ptr(a64::sp, 64)));
    must(a_.mov(kState, a64::x0));
    must(a_.mov(kOperand, a64::sp));
    must(a_.str(kOperand, WEIR_FIELD(host_stack)));
    must(a_.ldr(kMap[10], WEIR_FIELD(stack_top)));
    clear_frame(facts_.frame_size);
    reload(1);
    for (const unsigned reg : {0u, 6u, 7u, 8u, 9u}) must(a_.mov(kMap[reg], a64::xzr));
    must(a_.ldr(kBudget, WEIR_FIELD(budget)));
    const asmjit::Label out = a_.newLabel();
    enter_callbacks(out);
    must(a_.bl(labels_[0]));
    must(a_.b(out));
    // A run that ends early comes here from any depth, with r0 in the state.
    must(a_.bind(stop_));
    must(a_.ldr(kOperand, WEIR_FIELD(host_stack)));
    must(a_.mov(a64::sp, kOperand));
    must(a_.ldr(kMap[0], WEIR_FIELD(registers[0])));
    must(a_.bind(out));
    must(a_.mov(a64::x0, kMap[0]));
    must(a_.ldr(a64::x25, a64::ptr(a64::sp, 64)));
    must(a_.ldp(a64::x23, a64::x24, a64::ptr(a64::sp, 48)));
    must(a_.ldp(a64::x21, a64::x22, a64::ptr(a64::sp, 32)));
    must(a_.ldp(a64::x19, a64::x20, a64::ptr(a64::sp, 16)));
    must(a_.ldp(a64::x29, kLink, a64::ptr_post(a64::sp, 80)));
    must(a_.ret(kLink));
  }

  // The code is entered again for a function that is called back; what is left of the budget is told when it ends.
  void enter_callbacks(const asmjit::Label& out) {
    for (const std::uint32_t slot : code_.callbacks) {
      const asmjit::Label other = a_.newLabel();
      must(a_.ldr(kOperand.w(), WEIR_FIELD(function)));
      plain(kOther, slot);
      must(a_.cmp(kOperand.w(), kOther.w()));
      must(a_.b(CondCode::kNE, other));
      must(a_.bl(labels_[slot]));
      must(a_.str(kBudget, WEIR_FIELD(budget)));
      must(a_.b(out));
      must(a_.bind(other));
    }
  }

  void clear_frame(std::uint32_t bytes) {
    if (code_.proven) return;  // verified programs read what they wrote
    for (std::int32_t i = -static_cast<std::int32_t>(bytes); i < 0; i += 16)
      must(a_.stp(a64::xzr, a64::xzr, a64::ptr(kMap[10], i)));
  }
  void spill() {
    for (std::size_t i = 0; i < 6; ++i) must(a_.str(kMap[i], field(offsetof(NativeState, registers) + i * 8)));
    must(a_.str(kBudget, WEIR_FIELD(budget)));
  }
  void reload(std::size_t from) {
    for (std::size_t i = from; i < 6; ++i) must(a_.ldr(kMap[i], field(offsetof(NativeState, registers) + i * 8)));
  }
  void call_host(HostFunction function) {  // x1 and x2 are set; x0 becomes the state
    must(a_.mov(a64::x0, kState));
    must(a_.ldr(a64::x16, WEIR_FIELD(host)));
    must(a_.ldr(a64::x16, a64::ptr(a64::x16, function * 8)));
    must(a_.str(kLink, a64::ptr_pre(a64::sp, -16)));
    must(a_.blr(a64::x16));
    must(a_.ldr(kLink, a64::ptr_post(a64::sp, 16)));
  }

  void look_up(const Lookup& lookup) {
    must(a_.bind(lookup.from));
    spill();
    must(a_.str(kAddress, WEIR_FIELD(address)));
    plain(a64::x1, lookup.slot);
    plain(a64::x2, lookup.size_and_write);
    call_host(kAccess);
    must(a_.cbnz(a64::w0, stop_));
    reload(0);
    must(a_.ldr(kAddress, WEIR_FIELD(address)));
    must(a_.b(lookup.back));
  }
  void raise(const Trap& trap) {
    must(a_.bind(trap.from));
    must(a_.str(kAddress, WEIR_FIELD(address)));
    plain(a64::x1, trap.slot);
    plain(a64::x2, static_cast<std::uint64_t>(trap.fault));
    call_host(kFault);
    must(a_.b(stop_));
  }
  asmjit::Label trap(std::uint32_t slot, Fault fault) {
    traps_.push_back({a_.newLabel(), slot, fault});
    return traps_.back().from;
  }

  // A number in a register, 16 bits an instruction.
  void plain(const Gp& to, std::uint64_t value) {
    if (~value <= 0xffff) {
      must(a_.movn(to, ~value));
      return;
    }
    must(a_.movz(to, value & 0xffff));
    for (unsigned shift = 16; shift < 64; shift += 16)
      if ((value >> shift & 0xffff) != 0) must(a_.movk(to, value >> shift & 0xffff, shift));
  }
  // A constant of the program: blinded when asked.
  void constant(const Gp& to, std::uint64_t value) {
    if (!code_.options.blind_constants) return plain(to, value);
    const std::uint64_t mask = random_();
    plain(to, value ^ mask);
    plain(kOther, mask);
    must(a_.eor(to, to, kOther));
  }

  void charge(std::uint32_t slot, std::int64_t cost) {
    if (!facts_.counts_steps) return;
    plain(kOperand, static_cast<std::uint64_t>(cost));
    must(a_.subs(kBudget, kBudget, kOperand));
    must(a_.b(CondCode::kMI, trap(slot, Fault::kBudget)));
  }

  // kAddress = base + offset, checked for an access.
  void access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size, bool write) {
    if (offset >= 0 && offset < 4096) must(a_.add(kAddress, kMap[base], offset));
    else if (offset < 0 && offset > -4096) must(a_.sub(kAddress, kMap[base], -offset));
    else {
      plain(kAddress, static_cast<std::uint64_t>(std::int64_t{offset}));
      must(a_.add(kAddress, kAddress, kMap[base]));
    }
    const StepFacts& fact = facts_.steps[slot];
    if (fact.access == AccessProof::kProven) return;
    lookups_.push_back({a_.newLabel(), a_.newLabel(), slot, size | (write ? 0x100u : 0)});
    const Lookup& lookup = lookups_.back();
    if (fact.access == AccessProof::kContext) {
      must(a_.ldr(kOperand, write ? WEIR_FIELD(context_write) : WEIR_FIELD(context_read)));
      plain(kOther, static_cast<std::uint64_t>(fact.end));
      must(a_.cmp(kOperand, kOther));
      must(a_.b(CondCode::kLO, lookup.from));
    } else {
      const unsigned index = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
      must(a_.ldr(kOperand, WEIR_FIELD(minus_window)));
      must(a_.add(kOperand, kOperand, kAddress));
      must(a_.ldr(kOther,
                  field((write ? offsetof(NativeState, fits_write) : offsetof(NativeState, fits_read)) + index * 8)));
      must(a_.cmp(kOperand, kOther));
      must(a_.b(CondCode::kHS, lookup.from));
    }
    must(a_.bind(lookup.back));
  }

  // Atomics are ordered with all that stands before and behind them.
  void barrier() { must(a_.dmb(asmjit::imm(a64::Predicate::DB::kISH))); }

  void step(std::uint32_t at);
  void arithmetic(const ebpf::OpcodeInfo& row, const Step& step);
  void divide(const Gp& dst, const Gp& src, bool remainder, bool is_signed);
  void sign_extend(const ebpf::OpcodeInfo& row, const Step& step);
  void byte_order(const Step& step, Operation operation);
  void branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void call_local(std::uint32_t at, const Step& step);
  void call_helper(std::uint32_t at, const Step& step, bool by_register);
  void unknown_call(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void packet_load(const ebpf::OpcodeInfo& row, const Step& step);
  void wide(const Step& step, OperandShape shape);
  void load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void store(const Gp& from, unsigned width);
  void atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void compare_and_exchange(const Step& step, bool is_wide);

  const Code& code_;
  const Facts& facts_;
  a64::Assembler a_;
  std::mt19937_64 random_;
  bool good_ = true;
  std::vector<asmjit::Label> labels_;
  asmjit::Label stop_;
  std::vector<Lookup> lookups_;
  std::vector<Trap> traps_;
  std::uint32_t constants_ = 0;  // 64-bit constants so far: indices into NativeState::constants
};

void Emitter::arithmetic(const ebpf::OpcodeInfo& row, const Step& step) {
  const bool is_wide = row.width == 8;
  const Gp dst = sized(kMap[step.dst], is_wide);
  Gp src = sized(kMap[step.src], is_wide);
  if (row.shape == OperandShape::kAluConstant) {
    constant(kOperand, is_wide ? step.constant : step.constant & 0xffffffff);
    src = sized(kOperand, is_wide);
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
void Emitter::divide(const Gp& dst, const Gp& src, bool remainder, bool is_signed) {
  const Gp quotient = dst.isGpX() ? kOther : Gp(kOther.w());
  if (is_signed) must(a_.sdiv(quotient, dst, src));
  else must(a_.udiv(quotient, dst, src));
  if (remainder) must(a_.msub(dst, quotient, src, dst));
  else must(a_.mov(dst, quotient));
}

void Emitter::sign_extend(const ebpf::OpcodeInfo& row, const Step& step) {
  const Gp to = sized(kMap[step.dst], row.width == 8);
  const Gp from = kMap[step.src].w();
  if (row.selected == 8) must(a_.sxtb(to, from));
  else if (row.selected == 16) must(a_.sxth(to, from));
  else must(a_.sxtw(to, from));
}

void Emitter::byte_order(const Step& step, Operation operation) {
  const Gp reg = kMap[step.dst];
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

void Emitter::branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const auto target = static_cast<std::uint32_t>(step.offset);
  if (target <= at) charge(at, std::int64_t{at} - target + 1);
  const bool is_wide = row.width == 8;
  const Gp dst = sized(kMap[step.dst], is_wide);
  Gp src = sized(kMap[step.src], is_wide);
  if (row.shape == OperandShape::kBranchConstant) {
    constant(kOperand, is_wide ? step.constant : step.constant & 0xffffffff);
    src = sized(kOperand, is_wide);
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

void Emitter::call_local(std::uint32_t at, const Step& step) {
  charge(at, 1 + (static_cast<std::uint32_t>(step.offset) <= at ? std::int64_t{at} - step.offset : 0));
  must(a_.ldr(kOperand, WEIR_FIELD(calls_left)));
  must(a_.subs(kOperand, kOperand, 1));
  must(a_.b(CondCode::kMI, trap(at, Fault::kCallDepth)));
  must(a_.str(kOperand, WEIR_FIELD(calls_left)));
  must(a_.stp(a64::x19, a64::x20, a64::ptr_pre(a64::sp, -48)));
  must(a_.stp(a64::x21, a64::x22, a64::ptr(a64::sp, 16)));
  must(a_.str(kLink, a64::ptr(a64::sp, 32)));
  const auto move_frame = [&](bool down) {
    must(a_.ldr(kOperand, WEIR_FIELD(stack_begin)));
    for (const Gp& reg : {kOperand, kMap[10]})
      must(down ? a_.sub(reg, reg, ebpf::kStackSize) : a_.add(reg, reg, ebpf::kStackSize));
    must(a_.str(kOperand, WEIR_FIELD(stack_begin)));
  };
  move_frame(true);
  clear_frame(ebpf::kStackSize);
  must(a_.bl(labels_[static_cast<std::uint32_t>(step.offset)]));
  move_frame(false);
  must(a_.ldr(kLink, a64::ptr(a64::sp, 32)));
  must(a_.ldp(a64::x21, a64::x22, a64::ptr(a64::sp, 16)));
  must(a_.ldp(a64::x19, a64::x20, a64::ptr_post(a64::sp, 48)));
  must(a_.ldr(kOperand, WEIR_FIELD(calls_left)));
  must(a_.add(kOperand, kOperand, 1));
  must(a_.str(kOperand, WEIR_FIELD(calls_left)));
}

void Emitter::call_helper(std::uint32_t at, const Step& step, bool by_register) {
  spill();
  if (by_register) must(a_.mov(a64::x2, kMap[step.dst]));
  else plain(a64::x2, step.constant & 0xffffffff);
  plain(a64::x1, at);
  call_host(kHelper);
  must(a_.mov(kStatus.w(), a64::w0));
  must(a_.cmp(kStatus.w(), static_cast<std::uint32_t>(kStop)));
  must(a_.b(CondCode::kEQ, stop_));
  reload(0);
  must(a_.ldr(kBudget, WEIR_FIELD(budget)));
  const asmjit::Label go_on = a_.newLabel();
  must(a_.cbz(kStatus.w(), go_on));
  must(a_.ret(kLink));  // a tail call ended the function
  must(a_.bind(go_on));
}

void Emitter::unknown_call(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  if (row.shape == OperandShape::kCallKernel) constant(kOperand, step.constant);
  else must(a_.mov(kOperand, kMap[step.dst]));
  must(a_.str(kOperand, WEIR_FIELD(registers[0])));
  must(a_.b(trap(at, Fault::kHelper)));
}

void Emitter::packet_load(const ebpf::OpcodeInfo& row, const Step& step) {
  spill();
  plain(kOperand, step.constant & 0xffffffff);
  if (row.shape == OperandShape::kPacketIndirect) must(a_.add(a64::w2, kOperand.w(), kMap[step.src].w()));
  else must(a_.mov(a64::w2, kOperand.w()));
  plain(a64::x1, row.width);
  call_host(kPacketLoad);
  must(a_.cbnz(a64::w0, stop_));
  reload(0);
}

void Emitter::wide(const Step& step, OperandShape shape) {
  const std::uint32_t index = constants_++;
  if (shape == OperandShape::kWideConstant) return constant(kMap[step.dst], step.constant);
  must(a_.ldr(kOperand, WEIR_FIELD(constants)));
  plain(kOther, std::uint64_t{index} * 8);
  must(a_.ldr(kMap[step.dst], a64::ptr(kOperand, kOther)));
}

void Emitter::load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  access(at, step.src, step.offset, row.width, false);
  const Gp dst = kMap[step.dst];
  const a64::Mem from = a64::ptr(kAddress);
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

void Emitter::store(const Gp& from, unsigned width) {
  const a64::Mem to = a64::ptr(kAddress);
  if (width == 1) must(a_.strb(from.w(), to));
  else if (width == 2) must(a_.strh(from.w(), to));
  else must(a_.str(sized(from, width == 8), to));
}

void Emitter::compare_and_exchange(const Step& step, bool is_wide) {
  const asmjit::Label again = a_.newLabel();
  const asmjit::Label done = a_.newLabel();
  const a64::Mem place = a64::ptr(kAddress);
  barrier();
  must(a_.bind(again));
  must(a_.ldxr(sized(kOperand, is_wide), place));
  must(a_.cmp(sized(kOperand, is_wide), sized(kMap[0], is_wide)));
  must(a_.b(CondCode::kNE, done));
  must(a_.stxr(kStatus.w(), sized(kMap[step.src], is_wide), place));
  must(a_.cbnz(kStatus.w(), again));
  must(a_.bind(done));
  barrier();
  must(a_.mov(sized(kMap[0], is_wide), sized(kOperand, is_wide)));
}

void Emitter::atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const bool is_wide = row.width == 8;
  access(at, step.dst, step.offset, row.width, true);
  must(a_.tst(kAddress, static_cast<std::uint64_t>(row.width - 1)));
  must(a_.b(CondCode::kNE, trap(at, Fault::kUnaligned)));
  const auto operation = static_cast<ebpf::AtomicOperation>(row.selected);
  if (operation == ebpf::AtomicOperation::kCompareExchange) return compare_and_exchange(step, is_wide);
  const Gp src = sized(kMap[step.src], is_wide);
  const Gp old = sized(kOperand, is_wide);
  Gp made = sized(kOther, is_wide);
  const asmjit::Label again = a_.newLabel();
  barrier();
  must(a_.bind(again));
  must(a_.ldxr(old, a64::ptr(kAddress)));
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
  must(a_.stxr(kStatus.w(), made, a64::ptr(kAddress)));
  must(a_.cbnz(kStatus.w(), again));
  barrier();
  if (row.shape == OperandShape::kAtomicFetch) must(a_.mov(src, old));
}

void Emitter::step(std::uint32_t at) {
  const Step& step = code_.steps[at];
  const ebpf::OpcodeInfo& row = ebpf::info(step.operation);
  const Gp dst = kMap[step.dst];
  switch (row.shape) {
    case OperandShape::kAluConstant:
    case OperandShape::kAluRegister: return arithmetic(row, step);
    case OperandShape::kNegate: return must(a_.neg(sized(dst, row.width == 8), sized(dst, row.width == 8)));
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
    case OperandShape::kNone: return must(a_.ret(kLink));
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: return wide(step, row.shape);
    case OperandShape::kPacketAbsolute:
    case OperandShape::kPacketIndirect: return packet_load(row, step);
    case OperandShape::kLoad: return load(at, row, step);
    case OperandShape::kStoreConstant:
      access(at, step.dst, step.offset, row.width, true);
      constant(kOperand, step.constant);
      return store(kOperand, row.width);
    case OperandShape::kStoreRegister:
      access(at, step.dst, step.offset, row.width, true);
      return store(kMap[step.src], row.width);
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare: return atomic(at, row, step);
  }
}

}  // namespace

Result<std::vector<std::uint8_t>> assemble_extended_a64(const Code& code, const Facts& facts) {
  const auto broken = [] {
    return fail(Error{.code = ErrorCode::kUnsupported, .message = "the program is too large for AArch64 code"});
  };
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment(asmjit::Arch::kAArch64, asmjit::SubArch::kUnknown, asmjit::Vendor::kUnknown,
                                  asmjit::Platform::kLinux, asmjit::PlatformABI::kGNU));
  Emitter emitter(code, facts, holder);
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
