// Calls in the interpreter: of the program's functions, of helpers, of other programs, and of functions that helpers
// call back. Part of Interpretation.
#include <algorithm>

#include "engine/ebpf_helpers.h"
#include "engine/ebpf_interpretation.h"

namespace weir::engine {

// What the first function of a program finds.
void Interpretation::begin() {
  std::memset(registers_, 0, sizeof registers_);
  std::copy(run_.arguments.begin(), run_.arguments.end(), &registers_[1]);
  enter(depth_);
}

// Back to the program whose function made the tail call.
void Interpretation::leave_program() {
  others_.pop_back();
  active_ = others_.empty() ? &first_ : others_.back().get();
}

const Activation& Interpretation::activation_at(std::uint32_t depth) const {
  for (std::size_t i = others_.size(); i-- > 0;)
    if (others_[i]->first <= depth) return *others_[i];
  return first_;
}

bool Interpretation::may_read(std::uint64_t address, std::uint64_t size) const {
  if (memory_.allows(address, size, false)) return true;
  for (std::uint32_t depth = 0; depth < depth_; ++depth) {
    const std::uint64_t offset = address - (frame_pointer(depth) - ebpf::kStackSize);
    if (offset < ebpf::kStackSize && size <= ebpf::kStackSize - offset) return true;
  }
  return false;
}

// Gives the function at this depth a stack of zeros.
bool Interpretation::enter(std::uint32_t depth) {
  if (depth - active_->first >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  depth_ = depth;
  look_at_stack();
  std::memset(reinterpret_cast<void*>(memory_.stack_begin), 0, ebpf::kStackSize);
  return true;
}

bool Interpretation::call(const Step& step, std::uint32_t& at) {
  const std::uint32_t within = depth_ - active_->first;
  if (within + 1 >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  Frame& frame = active_->frames[within];
  frame.back = at + 1;
  frame.code = code_;
  std::memcpy(frame.saved, &registers_[6], sizeof frame.saved);
  at = static_cast<std::uint32_t>(step.offset);
  return enter(depth_ + 1);
}

bool Interpretation::helper(std::int32_t number, std::uint32_t& at, bool& ended) {
  const runtime::HelperEntry* entry = code_->helper(number);
  if (entry != nullptr && entry->function == nullptr) {  // those that run code of the program
    if (number == static_cast<std::int32_t>(ebpf::Helper::kTailCall)) return tail_call(at);
    if (number == static_cast<std::int32_t>(ebpf::Helper::kLoop) ||
        number == static_cast<std::int32_t>(ebpf::Helper::kForEachMapElem))
      return call_with_function(number, at);
  }
  const HelperResult result = call_helper(*code_, memory_, run_, entry, number, registers_);
  if (result.fault != Fault::kNone) return stopped(result.fault, result.detail);
  registers_[0] = result.value;
  memory_.look_at_packet();
  ended = number == code_->options.unwind_helper && result.value == 0;
  ++at;
  return true;
}

// Goes on in another program, in place of the function that runs; where that cannot be, the call does nothing and the
// program goes on.
bool Interpretation::tail_call(std::uint32_t& at) {
  runtime::Map* map = code_->map_at(registers_[2]);
  if (map == nullptr || map->definition().type != ebpf::MapType::kProgArray) return stopped(Fault::kArgument, 2);
  if (registers_[1] != run_.arguments[0]) return stopped(Fault::kArgument, 1);
  const auto index = static_cast<std::uint32_t>(registers_[3]);
  ++at;
  if (index >= map->definition().max_entries || tail_calls_ >= ebpf::kMaximumTailCalls) return true;
  const auto held = static_cast<const runtime::ReferenceMap&>(*map).reference(&index);
  if (held == nullptr) return true;
  const Code* next = code_of(*static_cast<const ExtendedEngine*>(held.get()));
  ++tail_calls_;
  if (depth_ != active_->first) {
    active_ = others_.emplace_back(std::make_unique<Activation>()).get();
    active_->first = depth_;
  }
  code_ = next;
  memory_.use(*next);
  at = 0;
  begin();
  return true;
}

// Runs a function of the program to its end. The place of a fault goes into `at`.
bool Interpretation::call_back(std::uint64_t function, const CallbackArguments& arguments, std::uint64_t& result,
                               std::uint32_t& at) {
  const std::int64_t slot = code_->callback_at(function);
  if (slot < 0) return stopped(Fault::kArgument, 2);
  if (depth_ + 1 - active_->first >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  std::uint64_t saved[ebpf::kRegisters];
  std::memcpy(saved, registers_, sizeof saved);
  const std::uint32_t depth = depth_;
  const std::uint32_t base = base_depth_;
  const std::uint64_t budget = budget_;
  active_->frames[depth - active_->first].back = at;
  enter(depth + 1);
  base_depth_ = depth_;
  std::memset(registers_, 0, 10 * sizeof registers_[0]);
  std::copy(arguments.begin(), arguments.end(), &registers_[1]);
  const bool whole = whole_callbacks_ && base == 0;
  const std::uint64_t left = left_;
  budget_ = whole ? callbacks_left_ : left;
  const Code* const code = code_;
  const Outcome outcome = go_on(static_cast<std::uint32_t>(slot));
  const std::uint64_t rest = budget_ - outcome.steps;
  left_ = whole ? left : rest;
  if (whole) callbacks_left_ = rest;
  budget_ = budget;
  base_depth_ = base;
  if (outcome.fault != Fault::kNone) {
    at = outcome.instruction;
    return stopped(outcome.fault, outcome.address);
  }
  code_ = code;
  memory_.use(*code_);
  while (active_->first > depth) leave_program();
  depth_ = depth;
  std::memcpy(registers_, saved, sizeof saved);
  look_at_stack();
  result = outcome.value;
  return true;
}

// bpf_loop and bpf_for_each_map_elem.
bool Interpretation::call_with_function(std::int32_t number, std::uint32_t& at) {
  const auto back = [&](std::uint64_t function, const CallbackArguments& arguments, std::uint64_t& result) {
    return call_back(function, arguments, result, at);
  };
  std::uint64_t done = 0;
  bool good = false;
  if (number == static_cast<std::int32_t>(ebpf::Helper::kForEachMapElem)) {
    runtime::Map* map = code_->map_at(registers_[1]);
    if (map == nullptr) return stopped(Fault::kArgument, 1);
    good = run_each(*map, registers_, run_, done, back);
  } else {
    good = run_loop(registers_, done, back);
  }
  if (!good) return false;
  registers_[0] = done;
  ++at;
  return true;
}

}  // namespace weir::engine
