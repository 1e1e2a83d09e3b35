// One run of an extended program in the interpreter. Exports Interpretation.
//
// Each function has 512 bytes of stack, a program's first one at the top; r6 to r9 and the place to return to are kept
// beside it, out of the program's reach. Every load, store and atomic asks Memory first. The loop over steps is in
// ebpf_interpreter.cpp, calls are in ebpf_interpreter_calls.cpp.
#pragma once

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "engine/ebpf_callbacks.h"
#include "engine/ebpf_code.h"
#include "engine/ebpf_memory.h"

namespace weir::engine {

struct Frame {
  std::uint32_t back;  // the slot to return to
  const Code* code;    // and its program: a tail call may have led into another
  std::uint64_t saved[4];
};

// The functions of one program that are active. What a tail call in a function leads into has its own.
struct Activation {
  std::uint32_t first = 0;  // the depth of the program's first function
  Frame frames[ebpf::kMaximumCallDepth];
  alignas(16) std::uint8_t stack[ebpf::kMaximumCallDepth * ebpf::kStackSize];

  std::uint64_t top() const { return reinterpret_cast<std::uint64_t>(stack + sizeof stack); }
  // r10 of the function at this depth.
  std::uint64_t frame_pointer(std::uint32_t depth) const {
    return top() - std::uint64_t{depth - first} * ebpf::kStackSize;
  }
};

class Interpretation {
 public:
  Interpretation(const Code& code, runtime::Invocation& run, std::uint64_t budget, std::uint32_t tail_calls = 0)
      : code_(&code), run_(run), memory_(code, run), tail_calls_(tail_calls) {
    begin();
    budget_ = budget != 0 ? budget : UINT64_MAX;
    run_.access = &memory_;
  }
  ~Interpretation() { run_.access = nullptr; }

  Outcome go() { return go_on(0); }
  // From this slot of the program that is active.
  Outcome go_on(std::uint32_t from);

  // For whoever looks at a run that stands still.
  void run_callbacks_whole(std::uint64_t budget) {
    whole_callbacks_ = true;
    callbacks_left_ = budget != 0 ? budget : UINT64_MAX;
  }
  bool callbacks_are_spent() const { return whole_callbacks_ && callbacks_left_ == 0; }
  const std::uint64_t* registers() const { return registers_; }
  std::uint32_t depth() const { return depth_; }
  std::uint32_t return_slot(std::uint32_t depth) const {
    const Activation& program = activation_at(depth);
    return program.frames[depth - program.first].back;
  }
  std::uint64_t frame_pointer(std::uint32_t depth) const { return activation_at(depth).frame_pointer(depth); }
  // Also stacks of functions that wait for another program.
  bool may_read(std::uint64_t address, std::uint64_t size) const;
  std::uint32_t tail_calls() const { return tail_calls_; }

 private:
  template <typename T>
  static T loaded(std::uint64_t address) {
    T value;
    std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
    return value;
  }
  template <typename T>
  bool load_to(const Step& step) {
    const std::uint64_t address = registers_[step.src] + static_cast<std::uint64_t>(std::int64_t{step.offset});
    if (!may(address, sizeof(T), false)) return false;
    // Signed types extend their sign, unsigned ones do not.
    registers_[step.dst] = static_cast<std::uint64_t>(static_cast<std::int64_t>(loaded<T>(address)));
    if constexpr (std::is_unsigned_v<T>) registers_[step.dst] = loaded<T>(address);
    return true;
  }
  template <typename T>
  bool store(const Step& step, std::uint64_t value) {
    const std::uint64_t address = registers_[step.dst] + static_cast<std::uint64_t>(std::int64_t{step.offset});
    if (!may(address, sizeof(T), true)) return false;
    const T cut = static_cast<T>(value);
    std::memcpy(reinterpret_cast<void*>(address), &cut, sizeof cut);
    return true;
  }
  bool may(std::uint64_t address, std::uint64_t size, bool write) {
    const Fault fault = memory_.check(address, size, write);
    return fault == Fault::kNone || stopped(fault, address);
  }
  template <typename T>
  T* aligned(std::uint64_t base, const Step& step, bool write);
  template <typename T>
  bool atomic(const Step& step);
  template <typename T>
  bool load_acquire(const Step& step);
  template <typename T>
  bool store_release(const Step& step);
  template <typename T>
  bool packet_load(std::uint64_t offset);
  void begin();
  bool enter(std::uint32_t depth);
  void look_at_stack();
  void leave_program();
  const Activation& activation_at(std::uint32_t depth) const;
  bool call(const Step& step, std::uint32_t& at);
  bool leave(std::uint32_t& at);
  bool helper(std::int32_t number, std::uint32_t& at, bool& ended);
  bool tail_call(std::uint32_t& at);
  bool call_with_function(std::int32_t number, std::uint32_t& at);
  bool call_back(std::uint64_t function, const CallbackArguments& arguments, std::uint64_t& result, std::uint32_t& at);
  // Not lambdas of go(): what is captured by reference lives in memory, and that loop must not.
  Outcome stop(Fault fault, std::uint32_t at, std::uint64_t left) const {
    return {0, fault, at, detail_, budget_ - left, &code_->program};
  }
  Outcome finish(std::uint64_t value, std::uint32_t at, std::uint64_t left) const {
    return {value, Fault::kNone, at, 0, budget_ - left, nullptr};
  }
  bool stopped(Fault fault, std::uint64_t detail) {
    fault_ = fault;
    detail_ = detail;
    return false;
  }

  const Code* code_;
  runtime::Invocation& run_;
  Memory memory_;
  std::uint64_t registers_[ebpf::kRegisters] = {};
  std::uint64_t budget_ = 0;
  Fault fault_ = Fault::kNone;
  std::uint64_t detail_ = 0;
  std::uint32_t depth_ = 0;
  std::uint32_t base_depth_ = 0;  // of the function that was called back, or of the program
  std::uint64_t left_ = 0;        // of the budget, while a helper runs
  bool whole_callbacks_ = false;  // functions that are called back have a budget of their own:
  std::uint64_t callbacks_left_ = 0;
  std::uint32_t tail_calls_ = 0;
  std::vector<std::unique_ptr<Activation>> others_{};  // of programs that tail calls in functions led into
  Activation* active_ = &first_;
  Activation first_;
};

// The stack of the function at this depth.
inline void Interpretation::look_at_stack() {
  registers_[10] = active_->frame_pointer(depth_);
  memory_.stack_begin = registers_[10] - ebpf::kStackSize;
  memory_.stack_end = active_->top();
}

// Back to the caller; false when the first function ends.
inline bool Interpretation::leave(std::uint32_t& at) {
  if (depth_ == base_depth_) return false;
  if (depth_ == active_->first) leave_program();
  const Frame& frame = active_->frames[--depth_ - active_->first];
  std::memcpy(&registers_[6], frame.saved, sizeof frame.saved);
  look_at_stack();
  at = frame.back;
  code_ = frame.code;
  memory_.use(*code_);
  return true;
}

}  // namespace weir::engine
