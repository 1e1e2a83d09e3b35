// The emitter of AArch64 code for extended programs: its registers, and what its parts share.
//
// The parts: ebpf_native_a64.cpp has the frame, arithmetic, jumps and calls, ebpf_a64_memory.cpp loads, stores and
// atomics. Registers: r0 x9, r1 to r5 x0 to x4, r6 to r9 x19 to x22, r10 x25; x23 is the NativeState, x24 what is left
// of the budget; x10 to x13 are free, x12 holds the address of an access. Checks, the budget and blinded constants as
// in ebpf_x86.h; a call of a helper goes through native_helper().
#pragma once

#include <asmjit/arm/a64assembler.h>

#include <cstddef>
#include <random>

#include "engine/ebpf_a64.h"

namespace weir::engine {

namespace a64 = asmjit::a64;
using a64::CondCode;
using a64::Gp;
using ebpf::OperandShape;
using ebpf::Operation;

inline const Gp kA64Map[ebpf::kRegisters] = {a64::x9,  a64::x0,  a64::x1,  a64::x2,  a64::x3, a64::x4,
                                             a64::x19, a64::x20, a64::x21, a64::x22, a64::x25};
inline const Gp kA64State = a64::x23;
inline const Gp kA64Budget = a64::x24;
inline const Gp kA64Operand = a64::x10;
inline const Gp kA64Other = a64::x11;
inline const Gp kA64Address = a64::x12;
inline const Gp kA64Status = a64::x13;
inline const Gp kA64Link = a64::x30;

enum A64Host : std::int32_t { kAccess, kHelper, kPacketLoad, kFault };

inline a64::Mem a64_field(std::size_t offset) { return a64::ptr(kA64State, static_cast<std::int32_t>(offset)); }
#define WEIR_FIELD(name) a64_field(offsetof(NativeState, name))
inline Gp a64_sized(const Gp& reg, bool wide) { return wide ? reg : Gp(reg.w()); }

class A64Emitter {
 public:
  A64Emitter(const Code& code, const Facts& facts, asmjit::CodeHolder& holder)
      : code_(code), facts_(facts), a_(&holder), random_(std::random_device{}()) {}

  void run();
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

  void prologue();
  void enter_callbacks(const asmjit::Label& out);
  void clear_frame(std::uint32_t bytes) {
    if (code_.proven) return;  // verified programs read what they wrote
    for (std::int32_t i = -static_cast<std::int32_t>(bytes); i < 0; i += 16)
      must(a_.stp(a64::xzr, a64::xzr, a64::ptr(kA64Map[10], i)));
  }
  void spill() {
    for (std::size_t i = 0; i < 6; ++i) must(a_.str(kA64Map[i], a64_field(offsetof(NativeState, registers) + i * 8)));
    must(a_.str(kA64Budget, WEIR_FIELD(budget)));
  }
  void reload(std::size_t from) {
    for (std::size_t i = from; i < 6; ++i)
      must(a_.ldr(kA64Map[i], a64_field(offsetof(NativeState, registers) + i * 8)));
  }
  void call_host(A64Host function) {  // x1 and x2 are set; x0 becomes the state
    must(a_.mov(a64::x0, kA64State));
    must(a_.ldr(a64::x16, WEIR_FIELD(host)));
    must(a_.ldr(a64::x16, a64::ptr(a64::x16, function * 8)));
    must(a_.str(kA64Link, a64::ptr_pre(a64::sp, -16)));
    must(a_.blr(a64::x16));
    must(a_.ldr(kA64Link, a64::ptr_post(a64::sp, 16)));
  }

  void look_up(const Lookup& lookup);
  void raise(const Trap& trap);
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
    plain(kA64Other, mask);
    must(a_.eor(to, to, kA64Other));
  }

  void charge(std::uint32_t slot, std::int64_t cost) {
    if (!facts_.counts_steps) return;
    plain(kA64Operand, static_cast<std::uint64_t>(cost));
    must(a_.subs(kA64Budget, kA64Budget, kA64Operand));
    must(a_.b(CondCode::kMI, trap(slot, Fault::kBudget)));
  }

  void access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size, bool write);
  void aligned(std::uint32_t at, std::uint32_t width);
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
  void return_if_told();  // by the NativeStatus
  void packet_load(const ebpf::OpcodeInfo& row, const Step& step);
  void wide(const Step& step, OperandShape shape);
  void load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void store(const Gp& from, unsigned width);
  void ordered(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
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

}  // namespace weir::engine
