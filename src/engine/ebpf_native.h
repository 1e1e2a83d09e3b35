// What machine code of extended programs and the C++ around it share. Exports NativeState, NativeCode, emit_native.
//
// One NativeState a run. Its fields are read and written by generated code through offsetof. Nothing is set that a run
// may not need: short programs take less time than zeroing it would.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/ebpf_code.h"
#include "engine/ebpf_facts.h"
#include "engine/ebpf_memory.h"

namespace weir::engine {

class NativeCode;

struct NativeState {
  std::uint64_t registers[ebpf::kRegisters];  // r1 to r5 at the start; r0 to r5 around calls of C++
  std::uint64_t host_stack;                   // the stack pointer to which a run that ends early goes back
  std::uint64_t stack_top;
  std::uint64_t stack_begin;  // of the function that runs
  std::int64_t budget;
  std::int64_t calls_left;
  std::uint64_t address;  // kept while an access is looked up
  std::uint64_t scratch;
  std::uint64_t cpu;
  runtime::Invocation* run;
  Fault fault;
  std::uint32_t slot;
  std::uint64_t detail;
  std::uint32_t* tail_calls;  // of the run, in all its programs
  const ebpf::Program* faulted;
  const NativeCode* native;
  std::uint32_t function;  // the slot to begin at: 0, or that of a function that is called back
  const Code* code;
  Memory* memory;

  // What follows is set only for programs with checks. How many bytes there are from the first argument on.
  std::uint64_t context_read;
  std::uint64_t context_write;
  // The part of memory that other accesses are compared with first; what lies elsewhere is looked up. `fits[n]` is how
  // many addresses from the window's start on may start an access of 2^n bytes; 0: none.
  std::uint64_t minus_window;  // 0 - the window's address
  std::uint64_t fits_read[4];
  std::uint64_t fits_write[4];
  // The functions below and the addresses of maps, for code that is not bound to a place.
  const void* const* host;
  const std::uint64_t* constants;

  void set_window(std::uint64_t begin, std::uint64_t size, bool writable);
  void look_at_run();     // sets the context and the window from `run`
  void look_at_memory();  // tells `memory` what of the stack is in use, and where the packet is
};

// What a C++ function tells the code that called it. kStop: the run ends; kReturn: the function does.
enum NativeStatus : std::uint32_t { kGoOn = 0, kStop = 1, kReturn = 2 };

// Called by generated code.
std::uint32_t native_access(NativeState* state, std::uint32_t slot, std::uint32_t size_and_write);
std::uint32_t native_helper(NativeState* state, std::uint32_t slot, std::int32_t number);
std::uint32_t native_packet_load(NativeState* state, std::uint32_t size, std::uint32_t offset);
std::uint32_t native_fault(NativeState* state, std::uint32_t slot, std::uint32_t fault);

// Memory with machine code: written once, then executable and not writable.
class NativeCode {
 public:
  static std::unique_ptr<NativeCode> allocate(std::size_t size);
  ~NativeCode();
  std::uint8_t* data() const { return data_; }
  ByteSpan bytes() const { return {data_, size_}; }
  bool seal(std::size_t used);  // from now on executable, not writable
  std::uint64_t run(NativeState& state) const {
    return reinterpret_cast<std::uint64_t (*)(NativeState*)>(data_)(&state);
  }
  // Code that is a function of r1 and of the Invocation, without a NativeState.
  using Bare = std::uint64_t (*)(std::uint64_t r1, runtime::Invocation* run);
  bool is_bare() const { return is_bare_; }
  void set_bare(bool is_bare) { is_bare_ = is_bare; }
  Bare bare() const { return reinterpret_cast<Bare>(data_); }

 private:
  NativeCode(std::uint8_t* data, std::size_t mapped) : data_(data), mapped_(mapped) {}
  std::uint8_t* data_;
  std::size_t mapped_;
  std::size_t size_ = 0;
  bool is_bare_ = false;
};

// Machine code of this processor; kUnsupported where there is no generator for it.
Result<std::unique_ptr<NativeCode>> emit_native(const Code& code, const Facts& facts);

Result<ExtendedEnginePointer> make_extended_native(std::shared_ptr<const Code> code);

// The code of a native engine; null for others.
const Code* native_code_of(const ExtendedEngine& engine);

// Runs in the interpreter what machine code calls in a program array.
Outcome interpret_nested(const Code& code, runtime::Invocation& run, std::int64_t& budget, std::uint32_t& tail_calls);

}  // namespace weir::engine
