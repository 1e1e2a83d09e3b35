// Calls of extended programs in x86-64: of their own functions, of helpers, of C++. Part of X86Emitter.
//
// A checked call goes through native_helper() with r0 to r5 in the state. A proven one is made as C++ makes it, and
// only the registers that the program still reads are kept around it. A lookup in a plain array is no call at all.
#if defined(__x86_64__)

#include "engine/ebpf_x86.h"

namespace weir::engine {

using ebpf::OperandShape;
namespace x86 = asmjit::x86;

// The code is entered again for a function that is called back: its registers are those of a program.
void X86Emitter::enter_callbacks() {
  if (code_.callbacks.empty()) return;
  for (const unsigned reg : {0u, 6u, 7u, 8u, 9u}) a_.xor_(kX86Map[reg].r32(), kX86Map[reg].r32());
  for (std::size_t i = 1; i < 6; ++i) a_.mov(kX86Map[i], x86_field(offsetof(NativeState, registers) + i * 8));
  for (const std::uint32_t slot : code_.callbacks) {
    const asmjit::Label other = a_.newLabel();
    a_.cmp(x86_field(offsetof(NativeState, function), 4), slot);
    a_.jne(other);
    a_.call(labels_[slot]);
    tell_budget();
    leave();
    a_.bind(other);
  }
}

void X86Emitter::spill() {
  for (std::size_t i = 0; i < 6; ++i) a_.mov(x86_field(offsetof(NativeState, registers) + i * 8), kX86Map[i]);
  if (counts()) a_.mov(WEIR_STATE(budget), kX86Budget);
}

void X86Emitter::reload(std::size_t from) {
  for (std::size_t i = from; i < 6; ++i) a_.mov(kX86Map[i], x86_field(offsetof(NativeState, registers) + i * 8));
  if (counts()) a_.mov(kX86Budget, WEIR_STATE(budget));
}

// Inside of functions the stack is off by the address to return to.
void X86Emitter::call_host(const void* function, bool arguments_are_set) {
  if (!arguments_are_set) a_.mov(x86::rdi, kX86State);
  a_.mov(x86::rax, reinterpret_cast<std::uint64_t>(function));
  if (facts_.has_local_calls) a_.sub(x86::rsp, 8);
  a_.call(x86::rax);
  if (facts_.has_local_calls) a_.add(x86::rsp, 8);
}

void X86Emitter::call_local(std::uint32_t at, const Step& step) {
  if (is_bare_) return call_bare(step);
  charge(at, 1 + (static_cast<std::uint32_t>(step.offset) <= at ? std::int64_t{at} - step.offset : 0));
  a_.dec(WEIR_STATE(calls_left));
  a_.js(trap(at, Fault::kCallDepth));
  for (const Gp& saved : {x86::rbx, x86::r13, x86::r14, x86::r15}) a_.push(saved);
  a_.sub(x86::rsp, 8);
  a_.sub(WEIR_STATE(stack_begin), static_cast<std::int32_t>(ebpf::kStackSize));
  a_.sub(x86::rbp, static_cast<std::int32_t>(ebpf::kStackSize));
  clear_frame(ebpf::kStackSize);
  a_.call(labels_[static_cast<std::uint32_t>(step.offset)]);
  a_.add(x86::rbp, static_cast<std::int32_t>(ebpf::kStackSize));
  a_.add(WEIR_STATE(stack_begin), static_cast<std::int32_t>(ebpf::kStackSize));
  a_.add(x86::rsp, 8);
  for (const Gp& saved : {x86::r15, x86::r14, x86::r13, x86::rbx}) a_.pop(saved);
  a_.inc(WEIR_STATE(calls_left));
}

// Verified programs do not nest their functions too deep.
void X86Emitter::call_bare(const Step& step) {
  std::vector<Gp> saved = {x86::rbp};
  for (const unsigned reg : {6u, 7u, 8u, 9u})
    if ((facts_.used >> reg & 1) != 0) saved.push_back(kX86Map[reg]);
  const bool padded = saved.size() % 2 == 0;  // the address to return to is on the stack, too
  for (const Gp& reg : saved) a_.push(reg);
  if (padded) a_.sub(x86::rsp, 8);
  open_frame(ebpf::kStackSize);
  a_.call(labels_[static_cast<std::uint32_t>(step.offset)]);
  close_frame(ebpf::kStackSize);
  if (padded) a_.add(x86::rsp, 8);
  for (std::size_t i = saved.size(); i-- > 0;) a_.pop(saved[i]);
}

void X86Emitter::call_helper(std::uint32_t at, const Step& step, bool by_register) {
  if (!by_register && facts_.steps[at].call != CallKind::kChecked) return call_direct(at, step);
  spill();
  if (by_register) a_.mov(x86::rdx, kX86Map[step.dst]);  // before rsi, which may be that register
  else a_.mov(x86::edx, static_cast<std::uint32_t>(step.constant));
  a_.mov(x86::esi, at);
  call_host(reinterpret_cast<const void*>(&native_helper));
  a_.cmp(x86::eax, kStop);
  a_.je(stop_);
  a_.mov(kX86Operand.r32(), x86::eax);
  reload(0);
  return_if_told();  // a tail call ended the function
}

void X86Emitter::return_if_told() {
  const asmjit::Label go_on = a_.newLabel();
  a_.test(kX86Operand.r32(), kX86Operand.r32());
  a_.jz(go_on);
  epilogue();
  a_.bind(go_on);
}

// The arguments are proven: the function is called as C++ would, and only what is needed later is kept.
void X86Emitter::call_direct(std::uint32_t at, const Step& step) {
  const StepFacts& fact = facts_.steps[at];
  if (fact.call == CallKind::kArray) return array_lookup(fact);
  const auto is_kept = [&](std::size_t reg) { return (fact.live >> reg & 1) != 0; };
  for (std::size_t i = 1; i < 6; ++i)
    if (is_kept(i)) a_.mov(kept(i), kX86Map[i]);
  if (counts()) a_.mov(WEIR_STATE(budget), kX86Budget);
  if (fact.call == CallKind::kLookup) {  // the map and the key stand where C++ wants them
    call_host(reinterpret_cast<const void*>(fact.map->fast_lookup()), true);
  } else {
    a_.mov(x86::r9, x86::r8);
    a_.mov(x86::r8, x86::rcx);
    a_.mov(x86::rcx, x86::rdx);
    a_.mov(x86::rdx, x86::rsi);
    a_.mov(x86::rsi, x86::rdi);
    if (is_bare_) a_.mov(x86::rdi, kX86State);
    else a_.mov(x86::rdi, WEIR_STATE(run));
    const auto* helper = code_.helpers->find(static_cast<std::int32_t>(step.constant));
    call_host(reinterpret_cast<const void*>(helper->function), true);
  }
  for (std::size_t i = 1; i < 6; ++i)
    if (is_kept(i)) a_.mov(kX86Map[i], kept(i));
  if (counts()) a_.mov(kX86Budget, WEIR_STATE(budget));
}

void X86Emitter::array_lookup(const StepFacts& fact) {
  const std::uint32_t keys[] = {0, 1};
  auto* const first = static_cast<std::uint8_t*>(fact.map->lookup(&keys[0], 0));
  auto* const second = static_cast<std::uint8_t*>(fact.map->lookup(&keys[1], 0));
  const asmjit::Label outside = a_.newLabel();
  const asmjit::Label done = a_.newLabel();
  a_.mov(x86::eax, x86::ptr(x86::rsi, 0, 4));
  a_.cmp(x86::eax, fact.map->definition().max_entries);
  a_.jae(outside);
  const std::uint64_t stride = second != nullptr ? static_cast<std::uint64_t>(second - first) : 0;
  if (stride == 8) a_.shl(x86::rax, 3);
  else a_.imul(x86::rax, x86::rax, static_cast<std::int32_t>(stride));
  a_.mov(kX86Address, reinterpret_cast<std::uint64_t>(first));
  a_.add(x86::rax, kX86Address);
  a_.jmp(done);
  a_.bind(outside);
  a_.xor_(x86::eax, x86::eax);
  a_.bind(done);
}

void X86Emitter::unknown_call(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  if (row.shape == OperandShape::kCallKernel) constant(x86::rax, step.constant);
  else a_.mov(x86::rax, kX86Map[step.dst]);
  a_.mov(WEIR_STATE(registers[0]), x86::rax);
  a_.jmp(trap(at, Fault::kHelper));
}

void X86Emitter::packet_load(const ebpf::OpcodeInfo& row, const Step& step) {
  spill();
  if (row.shape == OperandShape::kPacketIndirect) a_.mov(kX86Operand, kX86Map[step.src]);
  else a_.xor_(kX86Operand.r32(), kX86Operand.r32());
  a_.mov(x86::edx, static_cast<std::uint32_t>(step.constant));
  a_.add(x86::edx, kX86Operand.r32());
  a_.mov(x86::esi, static_cast<std::uint32_t>(row.width));
  call_host(reinterpret_cast<const void*>(&native_packet_load));
  if (!facts_.has_local_calls) {
    a_.test(x86::eax, x86::eax);
    a_.jnz(stop_);
    return reload(0);
  }
  a_.mov(kX86Operand.r32(), x86::eax);
  reload(0);
  return_if_told();
}

}  // namespace weir::engine

#endif
