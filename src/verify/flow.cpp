// Reachability, functions, joins and live registers. Exports find_flow and register_use.
#include "verify/flow.h"

#include <algorithm>

namespace weir::verify {
namespace {

using ebpf::OperandShape;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

constexpr u16 kArguments = 0x3e;  // r1 to r5
constexpr u16 kClobbered = 0x3f;  // r0 to r5
constexpr u16 kKept = 0x3c0;      // r6 to r9
constexpr u16 kAllRegisters = 0x3ff;

class Finder {
 public:
  Finder(const ebpf::Program& program, const runtime::Helpers& helpers)
      : code_(program.instructions), helpers_(helpers) {}

  Flow run() {
    decode();
    find_functions();
    reach();
    find_joins();
    find_live();
    return std::move(flow_);
  }

 private:
  u32 size() const { return static_cast<u32>(code_.size()); }
  u32 next_of(u32 at) const { return at + (ebpf::is_wide(flow_.rows[at]->shape) ? 2 : 1); }
  bool falls_through(u32 at) const {
    const OperandShape shape = flow_.rows[at]->shape;
    return shape != OperandShape::kJump && shape != OperandShape::kJumpLong && shape != OperandShape::kNone;
  }
  // Where a jump or branch goes; false for others.
  bool jump_target(u32 at, u32& to) const {
    const OperandShape shape = flow_.rows[at]->shape;
    if (shape == OperandShape::kJumpLong) to = at + 1 + static_cast<u32>(code_[at].immediate);
    else if (shape == OperandShape::kJump || ebpf::is_branch(shape))
      to = at + 1 + static_cast<u32>(std::int32_t{code_[at].offset});
    else return false;
    return true;
  }
  bool call_target(u32 at, u32& to) const {
    const OperandShape shape = flow_.rows[at]->shape;
    if (shape != OperandShape::kCallLocal && shape != OperandShape::kWideFunction) return false;
    to = at + 1 + static_cast<u32>(code_[at].immediate);
    return true;
  }

  void decode() {
    flow_.rows.resize(size());
    for (u32 at = 0; at < size(); at = next_of(at)) flow_.rows[at] = ebpf::find(code_[at]);
  }

  void find_functions() {
    flow_.functions.push_back(0);
    for (u32 at = 0, to = 0; at < size(); at = next_of(at))
      if (call_target(at, to)) flow_.functions.push_back(to);
    std::sort(flow_.functions.begin(), flow_.functions.end());
    flow_.functions.erase(std::unique(flow_.functions.begin(), flow_.functions.end()), flow_.functions.end());
  }
  std::ptrdiff_t function_of(u32 at) const {
    return std::upper_bound(flow_.functions.begin(), flow_.functions.end(), at) - flow_.functions.begin();
  }

  // Everything that a path from the start leads to, and jumps that leave their function on the way.
  void reach() {
    std::vector<bool> seen(size());
    std::vector<u32> work{0};
    const auto go = [&](u32 from, u32 to, bool within) {
      if (within && function_of(from) != function_of(to)) flow_.flaws.push_back({true, from, to});
      if (!seen[to]) work.push_back(to);
      seen[to] = true;
    };
    seen[0] = true;
    while (!work.empty()) {
      const u32 at = work.back();
      work.pop_back();
      u32 to = 0;
      if (jump_target(at, to)) go(at, to, true);
      if (call_target(at, to)) go(at, to, false);
      if (falls_through(at)) go(at, next_of(at), true);
    }
    for (u32 at = 0; at < size(); at = next_of(at))
      if (!seen[at]) flow_.flaws.push_back({false, at, 0});
    std::sort(flow_.flaws.begin(), flow_.flaws.end(),
              [](const Flow::Flaw& a, const Flow::Flaw& b) { return a.instruction < b.instruction; });
  }

  void find_joins() {
    std::vector<std::uint8_t> ways(size());
    ways[0] = 1;  // the start
    const auto count = [&](u32 to) { ways[to] = static_cast<std::uint8_t>(std::min(2, ways[to] + 1)); };
    flow_.joins.assign(size(), false);
    for (u32 at = 0, to = 0; at < size(); at = next_of(at)) {
      if (jump_target(at, to)) count(to);
      if (falls_through(at)) count(next_of(at));
      if (call_target(at, to)) flow_.joins[to] = true;
      if (flow_.rows[at]->shape == OperandShape::kCallLocal) flow_.joins[at + 1] = true;
      if (calls_back(at)) flow_.joins[at] = true;
    }
    for (u32 at = 0; at < size(); ++at)
      if (ways[at] > 1) flow_.joins[at] = true;
  }

  // Helpers that call functions of the program: the functions lead back to the call.
  bool calls_back(u32 at) const {
    return flow_.rows[at]->shape == OperandShape::kCallHelper &&
           (code_[at].immediate == static_cast<std::int32_t>(ebpf::Helper::kLoop) ||
            code_[at].immediate == static_cast<std::int32_t>(ebpf::Helper::kForEachMapElem));
  }

  void find_live() {
    flow_.live.assign(size(), 0);
    for (bool changed = true; changed;) {
      changed = false;
      for (u32 at = size(); at-- > 0;) {
        if (flow_.rows[at] == nullptr) continue;
        const u16 live = live_before(at);
        changed |= live != flow_.live[at];
        flow_.live[at] = live;
      }
    }
  }
  u16 live_before(u32 at) const {
    u32 to = 0;
    u16 after = 0;
    if (falls_through(at)) after = flow_.live[next_of(at)];
    if (jump_target(at, to)) after |= flow_.live[to];
    if (flow_.rows[at]->shape == OperandShape::kCallLocal) {
      call_target(at, to);
      return static_cast<u16>((after & kKept) | (flow_.live[to] & kArguments));
    }
    const RegisterUse use = register_use(*flow_.rows[at], code_[at], helpers_);
    return static_cast<u16>((after & ~use.writes) | use.reads);
  }

  const std::vector<ebpf::Instruction>& code_;
  const runtime::Helpers& helpers_;
  Flow flow_;
};

u16 helper_reads(std::int32_t number, const runtime::Helpers& helpers) {
  const runtime::HelperEntry* entry = helpers.find(number);
  if (entry == nullptr) return kArguments;
  u16 reads = 0;
  for (unsigned i = 0; i < 5; ++i)
    if (entry->prototype.arguments[i] != runtime::ArgumentKind::kNone) reads |= static_cast<u16>(2u << i);
  return reads;
}

}  // namespace

RegisterUse register_use(const ebpf::OpcodeInfo& row, const ebpf::Instruction& instruction,
                         const runtime::Helpers& helpers) {
  const auto dst = static_cast<u16>(1u << instruction.dst), src = static_cast<u16>(1u << instruction.src);
  const auto both = static_cast<u16>(dst | src);
  const bool is_move = (row.code & 0xf0) == 0xb0;
  RegisterUse use;
  switch (row.shape) {
    case OperandShape::kAluConstant: use = {is_move ? u16{0} : dst, dst}; break;
    case OperandShape::kAluRegister: use = {is_move ? src : both, dst}; break;
    case OperandShape::kNegate:
    case OperandShape::kByteOrder: use = {dst, dst}; break;
    case OperandShape::kSignExtend: use = {src, dst}; break;
    case OperandShape::kJump:
    case OperandShape::kJumpLong: break;
    case OperandShape::kBranchConstant: use = {dst, 0}; break;
    case OperandShape::kBranchRegister: use = {both, 0}; break;
    case OperandShape::kCallHelper: use = {helper_reads(instruction.immediate, helpers), kClobbered}; break;
    case OperandShape::kCallLocal:
    case OperandShape::kCallKernel: use = {kArguments, kClobbered}; break;
    case OperandShape::kCallRegister: use = {static_cast<u16>(kArguments | dst), kClobbered}; break;
    case OperandShape::kNone: use = {1, 0}; break;  // exit
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: use = {0, dst}; break;
    case OperandShape::kPacketAbsolute: use = {1u << 6, kClobbered}; break;
    case OperandShape::kPacketIndirect: use = {static_cast<u16>(src | 1u << 6), kClobbered}; break;
    case OperandShape::kLoad:
    case OperandShape::kLoadAcquire:
    case OperandShape::kAddressSpace: use = {src, dst}; break;
    case OperandShape::kMayJump: break;
    case OperandShape::kStoreConstant: use = {dst, 0}; break;
    case OperandShape::kStoreRegister:
    case OperandShape::kStoreRelease:
    case OperandShape::kAtomic: use = {both, 0}; break;
    case OperandShape::kAtomicFetch: use = {both, src}; break;
    case OperandShape::kAtomicCompare: use = {static_cast<u16>(both | 1), 1}; break;
  }
  return {static_cast<u16>(use.reads & kAllRegisters), static_cast<u16>(use.writes & kAllRegisters)};
}

Flow find_flow(const ebpf::Program& program, const runtime::Helpers& helpers) { return Finder(program, helpers).run(); }

}  // namespace weir::verify
