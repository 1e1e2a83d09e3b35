// What can be said of an extended program without running it. Exports find_facts, registers_of.
//
// Forward: a value a register, joined at targets (what differs is unknown), until nothing changes. The result of a
// lookup is null or a value of its map; a comparison with 0 tells which, for all registers with that result. Backward:
// liveness. Both take the edges that steps have; functions are entered with nothing known.
#include "engine/ebpf_facts.h"

#include <algorithm>
#include <deque>

namespace weir::engine {
namespace {

using ebpf::OperandShape;
using ebpf::Operation;
using runtime::ArgumentKind;

enum class Kind : std::uint8_t { kUnknown, kNumber, kFrame, kContext, kMap, kValue, kValueOrNull };

struct Value {
  Kind kind = Kind::kUnknown;
  std::int32_t offset = 0;      // kFrame, kContext, kValue: bytes from the start
  std::uint32_t lookup = 0;     // kValueOrNull: the slot that made it
  runtime::Map* map = nullptr;  // kMap, kValue, kValueOrNull
  std::uint64_t number = 0;     // kNumber
  friend bool operator==(const Value&, const Value&) = default;
};

struct State {
  bool reached = false;
  Value registers[ebpf::kRegisters] = {};
};

constexpr std::uint16_t bit(unsigned reg) { return static_cast<std::uint16_t>(1u << reg); }
constexpr std::uint16_t kArguments = 0x3e;  // r1 to r5
constexpr std::uint16_t kAll = 0x7ff;
constexpr std::int32_t kFrameLow = -static_cast<std::int32_t>(ebpf::kStackSize);

// Helpers that never ask what the program may touch, beyond their arguments.
bool is_self_contained(std::int32_t number) {
  using ebpf::Helper;
  switch (static_cast<Helper>(number)) {
    case Helper::kMapLookupElem:
    case Helper::kMapUpdateElem:
    case Helper::kMapDeleteElem:
    case Helper::kMapPushElem:
    case Helper::kMapPopElem:
    case Helper::kMapPeekElem:
    case Helper::kMapLookupPercpuElem:
    case Helper::kKtimeGetNs:
    case Helper::kKtimeGetBootNs:
    case Helper::kKtimeGetCoarseNs:
    case Helper::kKtimeGetTaiNs:
    case Helper::kJiffies64:
    case Helper::kGetPrandomU32:
    case Helper::kGetSmpProcessorId:
    case Helper::kGetNumaNodeId:
    case Helper::kCsumDiff:
    case Helper::kSkbLoadBytes:
    case Helper::kSkbStoreBytes:
    case Helper::kL3CsumReplace:
    case Helper::kL4CsumReplace:
    case Helper::kRedirect:
    case Helper::kXdpAdjustHead:
    case Helper::kXdpAdjustTail:
    case Helper::kXdpGetBuffLen: return true;
    default: return false;
  }
}

bool holds_values(const runtime::Map& map) {
  using ebpf::MapType;
  const MapType type = map.definition().type;
  return type == MapType::kArray || type == MapType::kPercpuArray || type == MapType::kHash ||
         type == MapType::kPercpuHash || type == MapType::kLruHash || type == MapType::kLruPercpuHash ||
         type == MapType::kLpmTrie;
}

class Analysis {
 public:
  explicit Analysis(const Code& code) : code_(code), standard_(code.helpers == &runtime::Helpers::standard()) {
    facts_.steps.resize(code.steps.size());
    entry_.resize(code.steps.size());
  }

  Facts run() {
    mark_targets();
    flow();
    liveness();
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      const Step& step = code_.steps[i];
      if (step.is_second()) continue;
      const RegisterUse use = registers_of(code_, step);
      if (step.operation != Operation::kCallHelper) facts_.used |= use.reads;
      facts_.used |= use.writes;
    }
    facts_.live_at_start &= facts_.used | kArguments;
    facts_.is_bare = code_.proven && !facts_.has_checked;
    for (std::size_t i = 0; i < code_.steps.size(); ++i) look_at_needs(i);
    // Frames of callers lie above: their places show where an access runs over.
    if (facts_.has_local_calls || escapes_) low_ = kFrameLow;
    facts_.frame_size = static_cast<std::uint32_t>((-low_ + 15) / 16 * 16);
    return std::move(facts_);
  }

 private:
  void look_at_needs(std::size_t at) {
    if (code_.steps[at].is_second()) return;
    const OperandShape shape = row(at).shape;
    if (shape == OperandShape::kPacketAbsolute || shape == OperandShape::kPacketIndirect ||
        shape == OperandShape::kCallKernel || shape == OperandShape::kCallRegister ||
        shape == OperandShape::kWideFunction)
      facts_.is_bare = false;
    if (shape != OperandShape::kCallHelper) return;
    if (facts_.steps[at].call == CallKind::kDirect) facts_.calls_helpers = true;
    if (facts_.steps[at].call != CallKind::kArray) facts_.has_calls = true;
  }
  const ebpf::OpcodeInfo& row(std::size_t at) const { return ebpf::info(code_.steps[at].operation); }

  template <typename Use>
  void each_successor(std::size_t at, Use use) const {
    const Step& step = code_.steps[at];
    const OperandShape shape = row(at).shape;
    if (shape == OperandShape::kNone) return;
    const bool jump = shape == OperandShape::kJump || shape == OperandShape::kJumpLong;
    if (jump || ebpf::is_branch(shape)) use(static_cast<std::size_t>(step.offset));
    if (!jump) use(at + (ebpf::is_wide(shape) ? 2 : 1));
  }

  void mark_targets() {
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      const Step& step = code_.steps[i];
      if (step.is_second()) continue;
      const OperandShape shape = row(i).shape;
      const bool call = shape == OperandShape::kCallLocal;
      const bool function = shape == OperandShape::kWideFunction;
      if (!call && !function && shape != OperandShape::kJump && shape != OperandShape::kJumpLong &&
          !ebpf::is_branch(shape))
        continue;
      StepFacts& target = facts_.steps[static_cast<std::size_t>(step.offset)];
      target.is_target = true;
      if (call || function) facts_.has_local_calls = true;
      else if (static_cast<std::size_t>(step.offset) <= i) target.is_loop_head = facts_.counts_steps = true;
    }
    if (facts_.has_local_calls) facts_.counts_steps = true;
    if (code_.proven) facts_.counts_steps = false;
  }

  void join(std::size_t at, const State& from) {
    State& to = entry_[at];
    bool changed = !to.reached;
    if (!to.reached) {
      to = from;
    } else {
      for (std::size_t i = 0; i < ebpf::kRegisters; ++i) {
        if (to.registers[i] == from.registers[i]) continue;
        lose(to.registers[i]);
        lose(from.registers[i]);
        if (to.registers[i].kind != Kind::kUnknown) changed = true;
        to.registers[i] = {};
      }
    }
    to.reached = true;
    if (changed) work_.push_back(at);
  }

  // A pointer to the frame goes where it is not followed.
  void lose(const Value& value) {
    if (value.kind == Kind::kFrame) escapes_ = true;
  }

  void flow() {
    State start;
    start.registers[1] = {Kind::kContext};
    start.registers[10] = {Kind::kFrame};
    join(0, start);
    while (!work_.empty()) {
      std::size_t at = work_.front();
      work_.pop_front();
      State state = entry_[at];
      // Along a straight line there is one way in: nothing to join.
      for (;;) {
        step(at, state);
        const OperandShape shape = row(at).shape;
        if (shape == OperandShape::kNone) break;
        if (shape == OperandShape::kJump || shape == OperandShape::kJumpLong || ebpf::is_branch(shape)) {
          branch(at, state);
          break;
        }
        at += ebpf::is_wide(shape) ? 2 : 1;
        if (facts_.steps[at].is_target) {
          join(at, state);
          break;
        }
      }
    }
  }

  void branch(std::size_t at, const State& state) {
    const Step& step = code_.steps[at];
    State taken = state;
    State next = state;
    const Value& tested = state.registers[step.dst];
    if (tested.kind == Kind::kValueOrNull && step.constant == 0) {
      if (step.operation == Operation::kJEq64K) settle(tested.lookup, taken, next);
      if (step.operation == Operation::kJNe64K) settle(tested.lookup, next, taken);
    }
    join(static_cast<std::size_t>(step.offset), taken);
    if (ebpf::is_branch(row(at).shape)) join(at + 1, next);
  }
  static void settle(std::uint32_t lookup, State& null, State& value) {
    for (Value& each : null.registers)
      if (each.kind == Kind::kValueOrNull && each.lookup == lookup) each = {};
    for (Value& each : value.registers)
      if (each.kind == Kind::kValueOrNull && each.lookup == lookup) each = {Kind::kValue, 0, 0, each.map};
  }

  void step(std::size_t at, State& state) {
    const Step& step = code_.steps[at];
    const ebpf::OpcodeInfo& info = row(at);
    Value& dst = state.registers[step.dst];
    switch (info.shape) {
      case OperandShape::kAluConstant:
      case OperandShape::kAluRegister: return arithmetic(at, step, info, state);
      case OperandShape::kWideMap: return load_map(step, dst);
      case OperandShape::kLoad:
      case OperandShape::kStoreConstant:
      case OperandShape::kStoreRegister:
      case OperandShape::kAtomic:
      case OperandShape::kAtomicFetch:
      case OperandShape::kAtomicCompare:
      case OperandShape::kLoadAcquire:
      case OperandShape::kStoreRelease: return memory(at, step, info, state);
      case OperandShape::kCallHelper: return call(at, step, state);
      case OperandShape::kCallRegister:
        facts_.has_checked = true;
        give_away(state, 1, 5);
        state.registers[0] = {};
        return;
      case OperandShape::kCallLocal: {
        give_away(state, 0, 9);
        State callee;
        callee.registers[10] = {Kind::kFrame};
        join(static_cast<std::size_t>(step.offset), callee);
        for (std::size_t i = 0; i < 6; ++i) state.registers[i] = {};
        return;
      }
      case OperandShape::kWideFunction: {
        State callee;
        callee.registers[10] = {Kind::kFrame};
        join(static_cast<std::size_t>(step.offset), callee);
        [[fallthrough]];
      }
      case OperandShape::kNegate:
      case OperandShape::kByteOrder:
      case OperandShape::kSignExtend:
        lose(state.registers[info.shape == OperandShape::kSignExtend ? step.src : step.dst]);
        [[fallthrough]];
      default: forget(registers_of(code_, step).writes, state);
    }
  }
  static void forget(std::uint16_t writes, State& state) {
    for (unsigned i = 0; i < 10; ++i)
      if ((writes & bit(i)) != 0) state.registers[i] = {};
  }

  void give_away(const State& state, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i <= to; ++i) lose(state.registers[i]);
  }

  void arithmetic(std::size_t at, const Step& step, const ebpf::OpcodeInfo& info, State& state) {
    Value& dst = state.registers[step.dst];
    if (step.operation == Operation::kMov64K || step.operation == Operation::kMov32K) {
      const bool wide = step.operation == Operation::kMov64K;
      const Value now{Kind::kNumber, 0, 0, nullptr, wide ? step.constant : step.constant & 0xffffffff};
      facts_.steps[at].is_idle = dst == now;
      dst = now;
      return;
    }
    const bool constant = info.shape == OperandShape::kAluConstant;
    if (step.operation == Operation::kMov64X) {
      dst = state.registers[step.src];
      return;
    }
    if (!constant) lose(state.registers[step.src]);
    const bool add = step.operation == Operation::kAdd64K;
    if ((add || step.operation == Operation::kSub64K) &&
        (dst.kind == Kind::kFrame || dst.kind == Kind::kContext || dst.kind == Kind::kValue)) {
      const auto by = static_cast<std::int64_t>(step.constant);
      const std::int64_t sum = add ? dst.offset + by : dst.offset - by;
      if (sum >= -(1 << 28) && sum <= (1 << 28)) {
        dst.offset = static_cast<std::int32_t>(sum);
        return;
      }
    }
    if (info.code != 0xb7 && info.code != 0xb4 && info.code != 0xbc) lose(dst);
    dst = {};
  }

  void load_map(const Step& step, Value& dst) {
    dst = {};
    if (step.operation != Operation::kLoadMapDescriptor && step.operation != Operation::kLoadMapIndex) return;
    dst = {Kind::kMap, 0, 0, reinterpret_cast<runtime::Map*>(step.constant)};
  }

  void memory(std::size_t at, const Step& step, const ebpf::OpcodeInfo& info, State& state) {
    StepFacts& fact = facts_.steps[at];
    const bool load = info.shape == OperandShape::kLoad || info.shape == OperandShape::kLoadAcquire;
    if (!load && info.shape != OperandShape::kStoreConstant) lose(state.registers[step.src]);
    const Value& base = state.registers[load ? step.src : step.dst];
    const std::int64_t from = std::int64_t{base.offset} + step.offset;
    fact.access = AccessProof::kNone;
    if (base.kind == Kind::kFrame) {
      if (from >= kFrameLow && from + info.width <= 0) {
        low_ = std::min(low_, static_cast<std::int32_t>(from));
        fact.access = AccessProof::kProven;
      } else {
        escapes_ = true;
      }
    } else if (base.kind == Kind::kValue && inside(base, step.offset, info.width) &&
               (load || (base.map->definition().flags & (1u << 7)) == 0)) {  // BPF_F_RDONLY_PROG
      fact.access = AccessProof::kProven;
    } else if (base.kind == Kind::kContext && from >= 0) {
      fact.access = AccessProof::kContext;
      fact.end = static_cast<std::int32_t>(from + info.width);
      facts_.uses_context = true;
    }
    if (code_.proven) fact.access = AccessProof::kProven;
    if (fact.access != AccessProof::kProven) facts_.has_checked = true;
    forget(registers_of(code_, step).writes, state);
  }
  static bool inside(const Value& value, std::int64_t offset, std::uint64_t size) {
    const std::int64_t from = value.offset + offset;
    return from >= 0 && static_cast<std::uint64_t>(from) + size <= value.map->value_size();
  }

  void call(std::size_t at, const Step& step, State& state) {
    StepFacts& fact = facts_.steps[at];
    const auto number = static_cast<std::int32_t>(step.constant);
    const runtime::HelperEntry* helper = code_.helpers->find(number);
    fact.call = CallKind::kChecked;
    fact.map = nullptr;
    if (helper != nullptr && helper->function != nullptr && standard_ && is_self_contained(number) &&
        number != code_.options.unwind_helper &&
        (code_.proven || (!helper->prototype.changes_packet && arguments_are_good(*helper, state)))) {
      fact.call = CallKind::kDirect;
      for (std::size_t i = 1; i <= 5; ++i)  // arguments that point to the frame reach up from there
        if (helper->prototype.arguments[i - 1] != ArgumentKind::kNone && state.registers[i].kind == Kind::kFrame)
          low_ = std::min(low_, std::max(state.registers[i].offset, kFrameLow));
    } else {
      give_away(state, 1, 5);
      facts_.has_checked = true;
    }
    const Value map = state.registers[1];
    for (Value& each : state.registers)
      if (each.kind == Kind::kValueOrNull && each.lookup == at) each = {};
    state.registers[0] = {};
    if (!standard_ || number != static_cast<std::int32_t>(ebpf::Helper::kMapLookupElem) || map.kind != Kind::kMap ||
        !holds_values(*map.map))
      return;
    state.registers[0] = {Kind::kValueOrNull, 0, static_cast<std::uint32_t>(at), map.map};
    if (fact.call != CallKind::kDirect) return;
    fact.map = map.map;
    if (map.map->definition().type == ebpf::MapType::kArray) fact.call = CallKind::kArray;
    else if (map.map->fast_lookup() != nullptr) fact.call = CallKind::kLookup;
  }

  bool arguments_are_good(const runtime::HelperEntry& helper, const State& state) const {
    const runtime::Map* map = nullptr;
    for (std::size_t i = 0; i < 5; ++i) {
      const Value& value = state.registers[i + 1];
      switch (helper.prototype.arguments[i]) {
        case ArgumentKind::kNone:
        case ArgumentKind::kAnything: break;
        case ArgumentKind::kContext:
          if (value.kind != Kind::kContext || value.offset != 0) return false;
          break;
        case ArgumentKind::kMap:
          if (value.kind != Kind::kMap) return false;
          map = value.map;
          break;
        case ArgumentKind::kMapKey:
          if (map == nullptr || !is_readable(value, map->key_size())) return false;
          break;
        case ArgumentKind::kMapValue:
          if (map == nullptr || !is_readable(value, map->value_size())) return false;
          break;
        case ArgumentKind::kMapValueOut:
          if (map == nullptr || value.kind != Kind::kFrame || !is_readable(value, map->value_size())) return false;
          break;
        default: return false;
      }
    }
    return true;
  }
  static bool is_readable(const Value& value, std::uint64_t size) {
    if (value.kind == Kind::kFrame)
      return value.offset >= kFrameLow && value.offset + static_cast<std::int64_t>(size) <= 0;
    return value.kind == Kind::kValue && inside(value, 0, size);
  }

  void liveness() {
    const std::size_t count = code_.steps.size();
    std::vector<std::uint16_t> before(count, 0);
    int turns = 0;
    for (bool changed = true; changed;) {
      changed = false;
      if (++turns > 60) {  // jumps back in a row: everything is needed everywhere, which is never wrong
        for (StepFacts& fact : facts_.steps) fact.live = kAll;
        facts_.live_at_start = kAll;
        return;
      }
      for (std::size_t i = count; i-- > 0;) {
        if (code_.steps[i].is_second()) continue;
        std::uint16_t after = 0;
        each_successor(i, [&](std::size_t next) { after |= before[next]; });
        const OperandShape shape = row(i).shape;
        if (shape == OperandShape::kNone) after = facts_.has_local_calls ? 0x3f : 1;
        facts_.steps[i].live = after;
        RegisterUse use = registers_of(code_, code_.steps[i]);
        if (facts_.steps[i].is_idle) use = {};  // what the register holds is needed before it, too
        const auto now = static_cast<std::uint16_t>((after & ~use.writes) | use.reads);
        if (now != before[i]) changed = true;
        before[i] = now;
      }
    }
    facts_.live_at_start = before[0];
  }

  const Code& code_;
  bool standard_;
  Facts facts_;
  std::vector<State> entry_;
  std::deque<std::size_t> work_;
  std::int32_t low_ = 0;  // the lowest byte of the frame that is touched
  bool escapes_ = false;
};

}  // namespace

RegisterUse registers_of(const Code& code, const Step& step) {
  const ebpf::OpcodeInfo& row = ebpf::info(step.operation);
  const std::uint16_t dst = bit(step.dst);
  const std::uint16_t src = bit(step.src);
  const bool move = (row.code & 0xf0) == 0xb0;
  switch (row.shape) {
    case OperandShape::kAluConstant: return {move ? std::uint16_t{0} : dst, dst};
    case OperandShape::kAluRegister: return {static_cast<std::uint16_t>(move ? src : (src | dst)), dst};
    case OperandShape::kNegate:
    case OperandShape::kByteOrder: return {dst, dst};
    case OperandShape::kSignExtend: return {src, dst};
    case OperandShape::kJump:
    case OperandShape::kJumpLong: return {};
    case OperandShape::kBranchConstant: return {dst, 0};
    case OperandShape::kBranchRegister: return {static_cast<std::uint16_t>(src | dst), 0};
    case OperandShape::kCallHelper: {
      const runtime::HelperEntry* helper = code.helpers->find(static_cast<std::int32_t>(step.constant));
      if (helper == nullptr || code.helpers != &runtime::Helpers::standard() || helper->function == nullptr)
        return {kArguments, bit(0)};
      std::uint16_t reads = 0;
      for (unsigned i = 0; i < 5; ++i)
        if (helper->prototype.arguments[i] != ArgumentKind::kNone) reads |= bit(i + 1);
      return {reads, bit(0)};
    }
    case OperandShape::kCallLocal: return {kAll, 0x3f};
    case OperandShape::kCallKernel: return {0, 0};
    case OperandShape::kCallRegister: return {static_cast<std::uint16_t>(kArguments | dst), bit(0)};
    case OperandShape::kNone: return {bit(0), 0};
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: return {0, dst};
    case OperandShape::kPacketAbsolute: return {0, bit(0)};
    case OperandShape::kPacketIndirect: return {src, bit(0)};
    case OperandShape::kLoad:
    case OperandShape::kLoadAcquire:
    case OperandShape::kAddressSpace: return {src, dst};
    case OperandShape::kMayJump: return {};
    case OperandShape::kStoreConstant: return {dst, 0};
    case OperandShape::kStoreRegister:
    case OperandShape::kStoreRelease:
    case OperandShape::kAtomic: return {static_cast<std::uint16_t>(src | dst), 0};
    case OperandShape::kAtomicFetch: return {static_cast<std::uint16_t>(src | dst), src};
    case OperandShape::kAtomicCompare: return {static_cast<std::uint16_t>(src | dst | bit(0)), bit(0)};
  }
  return {kAll, kAll};
}

Facts find_facts(const Code& code) { return Analysis(code).run(); }

}  // namespace weir::engine
