// Calls in the interpreter: of the program's functions, of helpers, of other programs, and of functions that helpers
// call back. Part of Interpretation.
#include <algorithm>

#include "engine/ebpf_helpers.h"
#include "engine/ebpf_interpretation.h"

namespace weir::engine {

// Gives the function at this depth a stack of zeros.
bool Interpretation::enter(std::uint32_t depth) {
  if (depth >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  depth_ = depth;
  const auto top = reinterpret_cast<std::uint64_t>(stack_ + sizeof stack_);
  registers_[10] = top - std::uint64_t{depth} * ebpf::kStackSize;
  memory_.stack_begin = registers_[10] - ebpf::kStackSize;
  memory_.stack_end = top;
  std::memset(reinterpret_cast<void*>(memory_.stack_begin), 0, ebpf::kStackSize);
  return true;
}

bool Interpretation::call(const Step& step, std::uint32_t& at) {
  if (depth_ + 1 >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  Frame& frame = frames_[depth_];
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

// Goes on in another program; where that cannot be, the call does nothing and the program goes on.
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
  code_ = next;
  memory_.use(*next);
  at = 0;
  return enter(depth_);
}

// Runs a function of the program to its end. The place of a fault goes into `at`.
bool Interpretation::call_back(std::uint64_t function, const CallbackArguments& arguments, std::uint64_t& result,
                               std::uint32_t& at) {
  const std::int64_t slot = code_->callback_at(function);
  if (slot < 0) return stopped(Fault::kArgument, 2);
  if (depth_ + 1 >= ebpf::kMaximumCallDepth) return stopped(Fault::kCallDepth, 0);
  std::uint64_t saved[ebpf::kRegisters];
  std::memcpy(saved, registers_, sizeof saved);
  const std::uint32_t depth = depth_;
  const std::uint32_t base = base_depth_;
  const std::uint64_t budget = budget_;
  enter(depth + 1);
  base_depth_ = depth_;
  std::memset(registers_, 0, 10 * sizeof registers_[0]);
  std::copy(arguments.begin(), arguments.end(), &registers_[1]);
  if (!whole_callbacks_) budget_ = left_;
  else budget_ = 1'000'000'000;
  const Code* const code = code_;
  const Outcome outcome = go_on(static_cast<std::uint32_t>(slot));
  left_ = whole_callbacks_ ? left_ : budget_ - outcome.steps;
  budget_ = budget;
  base_depth_ = base;
  if (outcome.fault != Fault::kNone) {
    at = outcome.instruction;
    return stopped(outcome.fault, outcome.address);
  }
  code_ = code;
  memory_.use(*code_);
  depth_ = depth;
  std::memcpy(registers_, saved, sizeof saved);
  memory_.stack_begin = registers_[10] - ebpf::kStackSize;
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
