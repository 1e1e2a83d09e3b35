// Functions that helpers call back: bpf_loop and bpf_for_each_map_elem. Exports Walk's members for it.
//
// The call is the head of a loop: from it one way goes on behind the call and one into the function, whose end leads
// back to the call with what the function did to the stacks of its callers. The way behind the call is walked first, so
// that it is known which numbers matter there. A number that changed from one round to the next and does not matter
// becomes unknown, so that rounds soon look alike; the walk ends where a round begins with no more than an earlier one
// did. Numbers that matter are followed round by round, as in other loops. Rounds of one call end with the helper's own
// limit, so a state that comes back within a call is no endless loop; calls that are made again and again are. Source:
// kernel/bpf/verifier.c, push_callback_call, prepare_func_exit and widen_imprecise_scalars.
#include <algorithm>

#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

using ebpf::Helper;
using ebpf::MapType;

namespace {

bool has_elements(MapType type) {
  return type == MapType::kHash || type == MapType::kArray || type == MapType::kLruHash ||
         type == MapType::kPercpuHash || type == MapType::kPercpuArray || type == MapType::kLruPercpuHash;
}

}  // namespace

bool Walk::calls_back(std::int32_t number) const {
  return &helpers_ == &runtime::Helpers::standard() && (number == static_cast<std::int32_t>(Helper::kLoop) ||
                                                        number == static_cast<std::int32_t>(Helper::kForEachMapElem));
}

bool Walk::in_callback() const {
  return std::any_of(state_.frames.begin(), state_.frames.end(), [](const Frame& frame) { return frame.is_callback; });
}

// Both: r2 is the function, r3 what it is given, r4 flags. bpf_loop has the number of rounds in r1, the other the map.
bool Walk::call_with_function(std::int32_t number) {
  Call call{.prototype = nullptr, .number = number};
  const bool over_map = number == static_cast<std::int32_t>(Helper::kForEachMapElem);
  for (unsigned i = 1; i <= 4; ++i)
    if (!readable(i)) return false;
  if (over_map && !map_argument(call, 1)) return false;
  if (!over_map && !reg(1).is_number())
    return refuse(Rule::kArgument, "r1, the number of rounds, is a pointer", "a number", {1}, "");
  if (reg(2).kind != Kind::kFunction)
    return refuse(Rule::kArgument, "r2 is no function", "the address of a function of the program", {2},
                  "give the function itself: it must be known which one is called");
  if (!reg(4).is_number()) return refuse(Rule::kArgument, "r4, flags, is a pointer", "a number", {4}, "");
  if (over_map && !has_elements(program_.maps[*call.map].type))
    return refuse(Rule::kArgument,
                  fmt::format("map '{}' of type '{}' has no elements to go through", program_.maps[*call.map].name,
                              ebpf::name_of(program_.maps[*call.map].type)),
                  "a hash or an array", {1}, "");
  mark_exact(reg(1));
  Frame& caller = state_.frame();
  if (caller.rounds == 0) caller.call = ++calls_with_functions_;
  const std::uint64_t most = over_map ? UINT64_MAX : reg(1).number.wide.umax;
  if (caller.rounds < most && !enter_callback(call)) return false;
  Frame& after = state_.frame();
  after.rounds = 0;
  for (unsigned i = 0; i <= 5; ++i) reg(i) = Value{};
  reg(0) = Value::of(Range::unknown());
  return true;
}

// Leaves the way into the function for later.
bool Walk::enter_callback(const Call& call) {
  if (state_.frames.size() >= ebpf::kMaximumCallDepth)
    return refuse(Rule::kCall, fmt::format("more than {} functions would be active", ebpf::kMaximumCallDepth),
                  "fewer calls within calls, and no function that calls itself", {},
                  "let the compiler inline functions");
  Frame callee;
  callee.back = at_;
  callee.function = reg(2).size;
  callee.overwritten = ~std::uint64_t{0};
  callee.is_callback = true;
  callee.held = state_.held;
  if (call.map) {
    callee.registers[1] = Value::pointer(Kind::kMap);
    callee.registers[2] = Value::pointer(Kind::kMapKey);
    callee.registers[3] = Value::pointer(Kind::kMapValue);
    for (unsigned i = 1; i <= 3; ++i) callee.registers[i].map = *call.map;
    callee.registers[2].frame = static_cast<std::uint8_t>(state_.frames.size());
    callee.registers[4] = reg(3);
  } else {
    callee.registers[1] = Value::of(Range::unknown());
    callee.registers[2] = reg(3);
  }
  callee.registers[10] = Value::pointer(Kind::kStack);
  callee.registers[10].frame = static_cast<std::uint8_t>(state_.frames.size());
  State inside = state_;
  ++inside.frame().rounds;
  inside.frames.push_back(std::move(callee));
  const std::uint32_t function = inside.frame().function;
  return push(std::move(inside), function, at_, true);
}

// Back to the helper, which decides whether there is another round.
bool Walk::leave_callback() {
  if (!readable(0)) return false;
  mark_exact(reg(0));
  if (!reg(0).is_number() || reg(0).number.wide.umax > 1)
    return refuse(Rule::kReturn, "a function that is called back may return something else than 0 or 1",
                  "0 to go on or 1 to stop", {0}, "set r0 to 0 or 1 on every path before 'exit'");
  const std::vector<Held>& held = state_.frame().held;
  const auto same = [](const Held& a, const Held& b) { return a.reference == b.reference; };
  if (!std::equal(held.begin(), held.end(), state_.held.begin(), state_.held.end(), same))
    return refuse(Rule::kHeld, "a function that is called back holds other records at its end than at its start",
                  "each record submitted or discarded in the function that reserved it", {}, "");
  const std::size_t ended = state_.frames.size() - 1;
  const std::uint32_t last = at_;
  at_ = state_.frame().back;
  state_.frames.pop_back();
  // The key that the function was called with is gone.
  each_value(state_, [&](Value& value) {
    if (value.kind != Kind::kMapKey || value.frame != ended) return;
    value = Value::of(Range::unknown());
    value.size = last + 1;
  });
  ++state_.turns;
  widen();
  return true;
}

// Numbers that are not what they were in the round before become unknown, where that does not matter.
void Walk::widen() {
  const Checkpoint* before = parent_;
  for (; before != nullptr; before = before->parent)
    if (before->at == at_ && before->state.frames.size() == state_.frames.size()) break;
  if (before == nullptr) return;
  const auto meet = [](const Value& then, Value& now, bool exact, unsigned bytes) {
    if (exact || !then.is_number() || !now.is_number()) return;
    if (then.number == now.number && then.room == now.room) return;
    const Origins origins = now.origins;
    now = Value::of(bytes == 8 ? Range::unknown() : Range::of_bytes(bytes));
    now.origins = origins;
  };
  for (std::size_t i = 0; i < state_.frames.size(); ++i) {
    const Frame& then = before->state.frames[i];
    Frame& now = state_.frames[i];
    const Checkpoint::Marks& marks = before->marks[i];
    for (unsigned r = 0; r < 10; ++r)
      meet(then.registers[r], now.registers[r], (marks.exact_registers >> r & 1) != 0, 8);
    for (std::size_t s = 0; s < std::min(then.slots.size(), now.slots.size()); ++s)
      if (then.slots[s].kept != 0 && then.slots[s].kept == now.slots[s].kept)
        meet(then.slots[s].value, now.slots[s].value, (marks.exact_slots >> s & 1) != 0, now.slots[s].kept);
  }
}

// For a path that ends at a state that is not finished: what will matter there is not known yet, so all may.
void Walk::mark_all() {
  for (std::size_t i = 0; i < state_.frames.size(); ++i) {
    const Frame& frame = state_.frames[i];
    for (const Value& value : frame.registers) mark_exact(value, true);
    for (std::size_t s = 0; s < frame.slots.size(); ++s) {
      mark_read(static_cast<unsigned>(i), static_cast<unsigned>(s));
      if (frame.slots[s].kept != 0) mark_exact(frame.slots[s].value, true);
    }
  }
}

}  // namespace weir::verify
