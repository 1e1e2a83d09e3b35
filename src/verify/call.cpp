// Calls of helpers and of the program's own functions, their ends, and packet loads. Exports Walk's members for it.
#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

using ebpf::OperandShape;

bool Walk::call_local() {
  if (state_.frames.size() >= ebpf::kMaximumCallDepth)
    return refuse(Rule::kCall, fmt::format("more than {} functions would be active", ebpf::kMaximumCallDepth),
                  "fewer calls within calls, and no function that calls itself", {},
                  "let the compiler inline functions");
  Frame callee;
  callee.back = at_ + 1;
  callee.function = at_ + 1 + static_cast<std::uint32_t>(slot().immediate);
  callee.overwritten = ~std::uint64_t{0};
  for (unsigned i = 1; i <= 5; ++i) callee.registers[i] = reg(i);
  callee.registers[10] = Value::pointer(Kind::kStack);
  callee.registers[10].frame = static_cast<std::uint8_t>(state_.frames.size());
  for (unsigned i = 0; i <= 5; ++i) reg(i) = Value{};
  at_ = callee.function;
  state_.frames.push_back(std::move(callee));
  return true;
}

bool Walk::leave() {
  if (state_.frames.back().is_callback) return leave_callback();
  if (state_.frames.size() > 1) {
    const Value result = reg(0);
    if (result.kind == Kind::kStack && result.frame + 1u == state_.frames.size())
      return refuse(Rule::kReturn, "the function returns a pointer into its own stack", "a value that outlives it", {0},
                    "let the caller give the memory");
    at_ = state_.frames.back().back;
    state_.frames.pop_back();
    reg(0) = result;
    return true;
  }
  if (reg(0).kind == Kind::kNothing)
    return refuse(Rule::kReturn, "the program ends without a result", "a value in r0", {0},
                  "set r0 on every path before 'exit'");
  if (!nothing_held("the program ends")) return false;
  if (layout_ && layout_->greatest_result) {
    mark_exact(reg(0));
    const std::uint64_t least = layout_->least_result, greatest = *layout_->greatest_result;
    const auto& range = reg(0).number.wide;
    if (!reg(0).is_number() || range.umin < least || range.umax > greatest)
      return refuse(Rule::kReturn, "the program's result may be one that this kind of program does not have",
                    least == greatest ? fmt::format("r0 of {}", least)
                    : least == 0      ? fmt::format("r0 of at most {}", greatest)
                                      : fmt::format("r0 from {} to {}", least, greatest),
                    {0}, "");
  }
  ended_ = true;
  return true;
}

bool Walk::nothing_held(const char* what) {
  if (state_.held.empty()) return true;
  const std::uint32_t taken = state_.held.front().instruction;
  const bool is_record = code_[taken].immediate == static_cast<std::int32_t>(ebpf::Helper::kRingbufReserve) ||
                         &helpers_ != &runtime::Helpers::standard();
  if (is_record)
    return refuse(Rule::kHeld, fmt::format("{} while the record reserved at instruction {} is still held", what, taken),
                  "every reserved record submitted or discarded", {},
                  "call ringbuf_submit or ringbuf_discard on every path");
  return refuse(Rule::kHeld, fmt::format("{} while the socket looked up at instruction {} is still held", what, taken),
                "every socket that was looked up given back", {}, "call sk_release on every path");
}

// Pointers into the packet are numbers from now on: it may have moved.
void Walk::forget_packet(State& state) {
  each_value(state, [&](Value& value) {
    const bool is_length = value.is_number() && (value.identity == kLengthIdentity || value.room != 0);
    if (!value.is_packet() && !is_length) return;
    value = Value::of(is_length ? value.number : Range::unknown());
    if (!is_length) value.size = at_ + 1;
  });
}

void Walk::release(std::uint32_t reference) {
  std::erase_if(state_.held, [&](const Held& held) { return held.reference == reference; });
  each_value(state_, [&](Value& value) {
    if (!value.is_pointer() || value.reference != reference) return;
    value = Value::of(Range::unknown());
    value.size = at_ + 1;
  });
}

// Leaves the way for later on which this instruction ends the function: a tail call that succeeds gives what the other
// program gives, and that may have moved the packet; a packet load gives 0 where the packet is too short.
bool Walk::leave_early(const Value& result, bool packet_moves) {
  State caller = state_;
  const std::uint32_t back = caller.frame().back;
  caller.frames.pop_back();
  caller.registers()[0] = result;
  if (packet_moves && !on_memory_) forget_packet(caller);
  return push(std::move(caller), back, at_, true);
}

// The prototype: of the kernel's helpers for programs of the kernel, of the given ones for all others.
bool Walk::find_helper(std::int32_t number, const runtime::Prototype*& prototype) {
  const runtime::HelperEntry* entry = helpers_.find(number);
  const bool standard = &helpers_ == &runtime::Helpers::standard();
  const bool is_tail_call = number == static_cast<std::int32_t>(ebpf::Helper::kTailCall);
  const std::string name = ebpf::name_of(static_cast<ebpf::Helper>(number));
  const KernelHelper kernel = standard && !on_memory_ ? kernel_helper(layout_, number) : KernelHelper{};
  const bool by_engine = entry != nullptr && entry->function == nullptr && !is_tail_call && !calls_back(number);
  const bool is_here = (kernel.is_known || entry != nullptr) && !by_engine;
  if (!is_here) {
    const std::string_view why = why_unknown(number);
    const bool in_kernels = on_memory_ && standard && kernel_helper(layout_, number).is_known;
    return refuse(
        Rule::kHelper,
        in_kernels ? fmt::format("helper {} ({}) exists in a kernel only", number, name)
                   : fmt::format("helper {} ({}) does not exist here{}{}", number, name, why.empty() ? "" : ": ", why),
        "a helper that exists", {}, why.empty() ? "" : "let the kernel judge: weir prog load FILE");
  }
  if (kernel.is_known && kernel.prototype == nullptr)
    return refuse(Rule::kHelper,
                  fmt::format("programs of type '{}' may not call {}", ebpf::name_of(options_.premise.type), name),
                  "a helper for this kind of program", {}, "");
  prototype = kernel.is_known ? kernel.prototype : &entry->prototype;
  if (kernel.is_known && prototype->needs_gpl && !program_.license.empty() && !is_gpl_compatible(program_.license))
    return refuse(
        Rule::kHelper,
        fmt::format("the kernel keeps {} for programs under the GPL; the license is '{}'", name, program_.license),
        "a license that the GPL agrees with", {}, "such as \"GPL\" or \"Dual BSD/GPL\"");
  return true;
}

bool Walk::call_helper(std::int32_t number) {
  const runtime::Prototype* prototype = nullptr;
  if (!find_helper(number, prototype)) return false;
  const bool is_tail_call = number == static_cast<std::int32_t>(ebpf::Helper::kTailCall);
  if (calls_back(number)) return call_with_function(number);
  if (is_tail_call && in_callback())
    return refuse(Rule::kHelper, "a tail call in a function that is called back", "tail calls outside of them", {},
                  "let the function return 1 and make the tail call behind the loop");
  Call call{.prototype = prototype, .number = number};
  for (unsigned i = 0; i < 5; ++i)
    if (!argument(call, i)) return false;
  if (is_tail_call && !nothing_held("a tail call is made")) return false;
  if (is_tail_call && state_.frames.size() > 1 && !leave_early(Value::of(Range::unknown()), true)) return false;
  if (prototype->changes_packet) forget_packet(state_);
  if (call.released != 0) release(call.released);
  for (unsigned i = 0; i <= 5; ++i) reg(i) = Value{};
  return give_result(call);
}

// A value of the map that the first argument is, or a map where it holds maps.
bool Walk::give_value(const Call& call, bool may_be_null) {
  Value& result = reg(0);
  if (!call.map) return refuse(Rule::kHelper, "the helper has no map to give a value of", "a map argument", {}, "");
  const ebpf::MapDefinition& map = program_.maps[*call.map];
  const bool of_sockets = map.type == ebpf::MapType::kSockmap || map.type == ebpf::MapType::kSockhash;
  if (of_sockets) {
    give_socket(Kind::kSocket, 0);
    result.reference = result.identity;
    state_.held.push_back({result.reference, at_});
    return true;
  }
  const bool of_maps = runtime::holds_maps(map.type);
  result = Value::pointer(of_maps ? Kind::kMap : Kind::kMapValue);
  result.map = *call.map;
  result.may_be_null = may_be_null;
  if (may_be_null) result.identity = new_identity();
  if (!of_maps) return true;
  for (std::size_t i = 0; i < program_.maps.size(); ++i)
    if (program_.maps[i].name == map.inner && !map.inner.empty()) {
      if (runtime::holds_maps(program_.maps[i].type))
        return refuse(Rule::kArgument, fmt::format("map '{}' would hold maps of maps", map.name),
                      "an inner map that holds no maps", {}, "kernels have no maps of maps of maps");
      result.map = static_cast<std::uint16_t>(i);
      return true;
    }
  return refuse(Rule::kArgument, fmt::format("map '{}' does not say what its maps are like", map.name),
                "an inner map that the program declares", {}, "name one in the map's definition");
}

// A socket or null; it is void when what `reference` says is given back.
void Walk::give_socket(Kind kind, std::uint32_t reference) {
  Value& result = reg(0);
  result = Value::pointer(kind);
  result.may_be_null = true;
  result.identity = new_identity();
  result.reference = reference;
}

bool Walk::give_result(const Call& call) {
  using runtime::ResultKind;
  constexpr std::uint64_t kGreatestError = 4095;  // MAX_ERRNO
  Value& result = reg(0);
  switch (call.prototype->result) {
    case ResultKind::kInteger: result = Value::of(Range::unknown()); return true;
    case ResultKind::kNothing: return true;
    case ResultKind::kMapValueOrNull: {
      const bool exists = call.value_exists && call.number == static_cast<std::int32_t>(ebpf::Helper::kMapLookupElem) &&
                          &helpers_ == &runtime::Helpers::standard();
      return give_value(call, !exists);
    }
    case ResultKind::kMapValue: return give_value(call, false);
    case ResultKind::kRecordOrNull:
      result = Value::pointer(Kind::kRecord);
      result.size = static_cast<std::uint32_t>(call.record_size);
      result.may_be_null = true;
      result.identity = new_identity();
      result.reference = result.identity;
      state_.held.push_back({result.reference, at_});
      return true;
    case ResultKind::kSizeOrError: {
      Range range = Range::unknown();
      range.wide.smin = -static_cast<std::int64_t>(kGreatestError);
      range.wide.smax = call.written_most;
      range.tighten();
      result = Value::of(range);
      return true;
    }
    case ResultKind::kSocketOrNull: give_socket(Kind::kSocket, call.socket_reference); return true;
    case ResultKind::kTcpSocketOrNull: give_socket(Kind::kTcpSocket, call.socket_reference); return true;
    case ResultKind::kListenerOrNull: give_socket(Kind::kSocket, 0); return true;
    case ResultKind::kTakenSocketOrNull:
    case ResultKind::kTakenSocketCommonOrNull:
      give_socket(call.prototype->result == ResultKind::kTakenSocketOrNull ? Kind::kSocket : Kind::kSocketCommon, 0);
      result.reference = result.identity;
      state_.held.push_back({result.reference, at_});
      return true;
  }
  return true;
}

bool Walk::packet_load(const ebpf::OpcodeInfo& row) {
  if (!on_memory_ && !(layout_ && layout_->packet_loads))
    return refuse(Rule::kContextAccess,
                  fmt::format("programs of type '{}' have no packet loads", ebpf::name_of(options_.premise.type)),
                  "loads through pointers", {}, "load data and data_end from the context and compare them");
  if (!on_memory_) {
    if (!readable(6)) return false;
    const Value& context = reg(6);
    if (context.kind != Kind::kContext || context.offset != 0 || !context.number.is_constant())
      return refuse(Rule::kArgument, "r6 is not the context", "the context (r1 at the start) in r6", {6},
                    "packet loads read the packet of the context in r6: copy r1 to r6 at the start");
  }
  if (row.shape == OperandShape::kPacketIndirect && !readable(slot().src)) return false;
  if (in_callback())
    return refuse(Rule::kContextAccess, "a packet load, which may end the function, in a function that is called back",
                  "loads through pointers", {}, "");
  if (!nothing_held("a packet load that ends the program where the packet is too short")) return false;
  if (state_.frames.size() > 1 && !leave_early(Value::constant(0), false)) return false;
  for (unsigned i = 0; i <= 5; ++i) reg(i) = Value{};
  reg(0) = Value::of(Range::of_bytes(row.width));
  return true;
}

}  // namespace weir::verify
