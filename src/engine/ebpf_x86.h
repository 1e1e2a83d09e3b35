// The generator of x86-64 code for extended programs. Exports X86Emitter.
//
// One pass over the steps, a label a slot. The program's registers live in the processor's, as in Linux's own generator
// (arch/x86/net/bpf_jit_comp.c): r0 rax, r1 rdi, r2 rsi, r3 rdx, r4 rcx, r5 r8, r6 rbx, r7 r13, r8 r14, r9 r15, r10
// rbp. r12 is the NativeState, r9 what is left of the budget, r10 and r11 are free. Functions of the program are
// called as functions; a program without any ends where its `exit` stands.
//
// An access that Facts does not prove is compared with the context's size or the state's window, and looked up by
// native_access() when it is in neither. Steps are counted where control goes back or into a function. With blinded
// constants, each constant is the exclusive or of two numbers of which one is random, so that a program cannot place
// bytes of its choice in executable memory.
//
// A verified program that needs nothing of a NativeState is bare: a function of the addresses of the arguments and of
// the Invocation, with its frames on the processor's stack. There r12 holds the Invocation, where helpers need it, and
// r9 is free. Jumps are emitted twice: the second time it is known which are short.
#pragma once
#if defined(__x86_64__)

#include <asmjit/x86.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <vector>

#include "engine/ebpf_addresses.h"
#include "engine/ebpf_native.h"

namespace weir::engine {

class X86Emitter {
 public:
  // `before`: the offsets of labels in an emission of the same program that was not shorter; empty: none.
  X86Emitter(const Code& code, const Facts& facts, asmjit::CodeHolder& holder, std::vector<std::uint32_t> before,
             std::uint64_t seed);
  void run();
  std::vector<std::uint32_t> offsets() const;
  bool is_good() const { return is_good_; }  // false: bare code would need what it does not have

 private:
  using Gp = asmjit::x86::Gp;
  using Mem = asmjit::x86::Mem;
  struct Lookup {  // out of line: an access that the quick comparison does not allow
    asmjit::Label from, back;
    std::uint32_t slot, size_and_write;
    std::uint8_t base;
    std::int32_t offset;
  };
  struct Trap {  // out of line: a fault
    asmjit::Label from;
    std::uint32_t slot;
    Fault fault;
  };

  void prologue();
  void enter_callbacks();
  void enter_bare();
  void open_frame(std::uint32_t bytes);
  void close_frame(std::uint32_t bytes);
  Mem kept(std::size_t reg) const;  // where a register is kept around a direct call
  bool is_near(std::uint32_t from, std::uint32_t to) const;
  void epilogue();
  void tell_budget();
  void leave();
  void clear_frame(std::uint32_t bytes);
  void spill();
  void reload(std::size_t from);
  void call_host(const void* function, bool arguments_are_set = false);
  void look_up(const Lookup& lookup);
  void raise(const Trap& trap);
  asmjit::Label trap(std::uint32_t slot, Fault fault);
  void constant(const Gp& to, std::uint64_t value);
  bool is_plain() const { return !code_.options.blind_constants; }
  bool counts() const { return facts_.counts_steps; }
  void charge(std::uint32_t slot, std::int64_t cost);
  static Mem place(const Address& address, std::uint32_t size);
  Mem access(std::uint32_t slot, std::uint8_t base, std::int32_t offset, std::uint32_t size, bool write);

  void advance(std::size_t slot, bool before_label);
  void step(std::uint32_t at);
  bool fuse(std::uint32_t at);
  void arithmetic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void shift(const ebpf::OpcodeInfo& row, const Step& step, unsigned kind);
  void divide(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step, bool remainder);
  void sign_extend(const ebpf::OpcodeInfo& row, const Step& step);
  void byte_order(const Step& step, ebpf::Operation operation);
  bool keeps_flags(const ebpf::OpcodeInfo& row, const Step& step) const;
  void jump(std::uint32_t at, unsigned condition, std::uint32_t target);
  void branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void call_local(std::uint32_t at, const Step& step);
  void call_bare(const Step& step);
  void call_helper(std::uint32_t at, const Step& step, bool by_register);
  void call_direct(std::uint32_t at, const Step& step);
  void array_lookup(const StepFacts& fact);
  void unknown_call(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void return_if_told();  // by the NativeStatus in the operand's register
  void packet_load(const ebpf::OpcodeInfo& row, const Step& step);
  void load(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void store(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void atomic(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  void ordered(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step);
  Mem aligned(std::uint32_t at, const Mem& checked, std::uint32_t width);
  void set_aside(const Gp& reg);
  void take_back(const Gp& reg);
  void fetch_and_combine(const ebpf::OpcodeInfo& row, const Step& step, const Mem& place);

  const Code& code_;
  const Facts& facts_;
  asmjit::x86::Assembler a_;
  std::mt19937_64 random_;
  Addresses addresses_;
  std::size_t advanced_ = 0;  // of addresses_.advances
  std::vector<std::uint32_t> before_;
  bool has_bmi2_;
  bool is_bare_;
  bool is_good_ = true;
  int zero_flag_ = -1;  // the register whose being zero the flags tell
  bool zero_flag_wide_ = false;
  std::vector<asmjit::Label> labels_;
  asmjit::Label stop_;
  std::vector<Gp> saved_;   // registers of the caller that the code uses
  bool padded_ = false;     // eight bytes more on the stack, to keep it aligned
  bool has_frame_ = false;  // bare: rbp is the top of a frame of the program
  std::vector<Lookup> lookups_;
  std::vector<Trap> traps_;
};

// Where the program's registers live, and those that are free.
inline const asmjit::x86::Gp kX86Map[ebpf::kRegisters] = {
    asmjit::x86::rax, asmjit::x86::rdi, asmjit::x86::rsi, asmjit::x86::rdx, asmjit::x86::rcx, asmjit::x86::r8,
    asmjit::x86::rbx, asmjit::x86::r13, asmjit::x86::r14, asmjit::x86::r15, asmjit::x86::rbp};
inline const asmjit::x86::Gp kX86State = asmjit::x86::r12;
inline const asmjit::x86::Gp kX86Budget = asmjit::x86::r9;
inline constexpr std::uint32_t kX86Kept = 48;  // bytes below a bare frame: r1 to r5 around direct calls
inline const asmjit::x86::Gp kX86Operand = asmjit::x86::r10;
inline const asmjit::x86::Gp kX86Address = asmjit::x86::r11;

inline asmjit::x86::Mem x86_field(std::size_t offset, std::uint32_t size = 8) {
  return asmjit::x86::ptr(kX86State, static_cast<std::int32_t>(offset), size);
}
// The lower `bytes` of a register.
inline asmjit::x86::Gp x86_part(const asmjit::x86::Gp& reg, unsigned bytes) {
  if (bytes == 1) return reg.r8();
  if (bytes == 2) return reg.r16();
  return bytes == 4 ? asmjit::x86::Gp(reg.r32()) : reg;
}
#define WEIR_STATE(name) x86_field(offsetof(NativeState, name))

}  // namespace weir::engine

#endif
