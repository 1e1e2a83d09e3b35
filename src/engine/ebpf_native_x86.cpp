// Machine code for x86-64: frames, constants, jumps, and what holds all together. Exports emit_native. See ebpf_x86.h.
#if defined(__x86_64__)

#include "engine/ebpf_x86.h"

#include "engine/ebpf_unroll.h"

namespace weir::engine {

using ebpf::OperandShape;
using ebpf::Operation;
namespace x86 = asmjit::x86;

X86Emitter::X86Emitter(const Code& code, const Facts& facts, asmjit::CodeHolder& holder,
                       std::vector<std::uint32_t> before, std::uint64_t seed)
    : code_(code),
      facts_(facts),
      a_(&holder),
      random_(seed),
      addresses_(find_addresses(code, facts)),
      before_(std::move(before)),
      has_bmi2_(__builtin_cpu_supports("bmi2") != 0),
      is_bare_(facts.is_bare) {
  a_.addEncodingOptions(asmjit::EncodingOptions::kOptimizedAlign);
}

void X86Emitter::run() {
  labels_.resize(code_.steps.size());
  for (asmjit::Label& label : labels_) label = a_.newLabel();
  stop_ = a_.newLabel();
  prologue();
  for (std::size_t i = 0; i < code_.steps.size(); ++i) {
    advance(i, true);
    // A short loop that lies in one line of the cache is decoded once.
    if (facts_.steps[i].is_loop_head) a_.align(asmjit::AlignMode::kCode, 64);
    a_.bind(labels_[i]);
    if (facts_.steps[i].is_target) zero_flag_ = -1;
    advance(i, false);
    if (code_.steps[i].is_second() || facts_.steps[i].is_idle || addresses_.steps[i].is_kept_back) continue;
    if (fuse(static_cast<std::uint32_t>(i))) a_.bind(labels_[++i]);
    else step(static_cast<std::uint32_t>(i));
  }
  if (is_bare_) {
    a_.bind(stop_);
    is_good_ = traps_.empty() && lookups_.empty();
    return;
  }
  // A run that ends early comes here from any depth, with r0 in the state.
  a_.bind(stop_);
  if (facts_.has_local_calls) a_.mov(x86::rsp, WEIR_STATE(host_stack));
  a_.mov(x86::rax, WEIR_STATE(registers[0]));
  leave();
  for (const Lookup& lookup : lookups_) look_up(lookup);
  for (const Trap& trap : traps_) raise(trap);
}

// Adds to registers what was kept back of them.
void X86Emitter::advance(std::size_t slot, bool before_label) {
  const std::vector<Advance>& all = addresses_.advances;
  for (; advanced_ < all.size() && all[advanced_].slot == slot && all[advanced_].before_label == before_label;
       ++advanced_) {
    a_.add(kX86Map[all[advanced_].reg], all[advanced_].by);
    zero_flag_ = -1;
  }
}

std::vector<std::uint32_t> X86Emitter::offsets() const {
  std::vector<std::uint32_t> out;
  for (const asmjit::Label& label : labels_) out.push_back(static_cast<std::uint32_t>(a_.code()->labelOffset(label)));
  return out;
}

// Whether a jump of two bytes reaches from one slot to another. The second emission is shorter than the first, but that
// the alignment of a loop may grow.
bool X86Emitter::is_near(std::uint32_t from, std::uint32_t to) const {
  if (before_.empty() || from + 1 >= before_.size()) return false;
  const std::uint32_t distance = from < to ? before_[to] - before_[from] : before_[from + 1] - before_[to];
  if (distance > 120) return false;
  for (std::uint32_t i = std::min(from, to) + 1; i <= std::max(from, to); ++i)
    if (facts_.steps[i].is_loop_head) return false;
  return true;
}

// Where r1 to r5 lie in an Invocation.
static std::int32_t arguments_at() {
  const runtime::Invocation run;
  return static_cast<std::int32_t>(reinterpret_cast<const char*>(run.arguments.data()) -
                                   reinterpret_cast<const char*>(&run));
}

void X86Emitter::enter_bare() {
  for (const unsigned reg : {6u, 7u, 8u, 9u})
    if ((facts_.used >> reg & 1) != 0) saved_.push_back(kX86Map[reg]);
  if (facts_.calls_helpers) saved_.push_back(kX86State);
  has_frame_ = (facts_.used >> 10 & 1) != 0 || facts_.has_local_calls || facts_.calls_helpers || facts_.has_calls;
  if (has_frame_) saved_.push_back(x86::rbp);
  for (const Gp& saved : saved_) a_.push(saved);
  padded_ = saved_.size() % 2 == 0;
  if (padded_ && has_frame_) a_.sub(x86::rsp, 8);
  padded_ = padded_ && has_frame_;
  if (facts_.calls_helpers) a_.mov(kX86State, x86::rsi);
  for (const unsigned reg : {3u, 4u, 5u, 2u})  // r1 is there; r2 is rsi, from which the others are read
    if ((facts_.live_at_start >> reg & 1) != 0)
      a_.mov(kX86Map[reg], x86::ptr(x86::rsi, arguments_at() + static_cast<std::int32_t>(reg - 1) * 8, 8));
  for (const unsigned reg : {0u, 6u, 7u, 8u, 9u})
    if ((facts_.live_at_start >> reg & 1) != 0) a_.xor_(kX86Map[reg].r32(), kX86Map[reg].r32());
  if (has_frame_) open_frame(facts_.frame_size);
  if (!facts_.has_local_calls) return;
  a_.call(labels_[0]);
  leave();
}
// rsp is a multiple of 16.
void X86Emitter::open_frame(std::uint32_t bytes) {
  a_.mov(x86::rbp, x86::rsp);
  a_.sub(x86::rsp, bytes + kX86Kept);
}
void X86Emitter::close_frame(std::uint32_t bytes) { a_.add(x86::rsp, bytes + kX86Kept); }

x86::Mem X86Emitter::kept(std::size_t reg) const {
  if (!is_bare_) return x86_field(offsetof(NativeState, registers) + reg * 8);
  // Inside of functions the address to return to lies between.
  return x86::ptr(x86::rsp, static_cast<std::int32_t>((reg - 1) * 8 + (facts_.has_local_calls ? 8 : 0)), 8);
}

void X86Emitter::prologue() {
  if (is_bare_) return enter_bare();
  saved_ = {kX86State};
  for (const unsigned reg : {6u, 7u, 8u, 9u, 10u})
    if ((facts_.used >> reg & 1) != 0 || facts_.has_local_calls) saved_.push_back(kX86Map[reg]);
  for (const Gp& saved : saved_) a_.push(saved);
  padded_ = saved_.size() % 2 == 0;
  if (padded_) a_.sub(x86::rsp, 8);
  a_.mov(kX86State, x86::rdi);
  if (facts_.has_local_calls) a_.mov(WEIR_STATE(host_stack), x86::rsp);
  if ((facts_.used >> 10 & 1) != 0 || facts_.has_local_calls) {
    a_.mov(x86::rbp, WEIR_STATE(stack_top));
    clear_frame(facts_.frame_size);
  }
  const std::uint16_t live = facts_.live_at_start;
  for (std::size_t i = 1; i < 6; ++i)
    if ((live >> i & 1) != 0) a_.mov(kX86Map[i], x86_field(offsetof(NativeState, registers) + i * 8));
  for (const unsigned reg : {0u, 6u, 7u, 8u, 9u})
    if ((live >> reg & 1) != 0) a_.xor_(kX86Map[reg].r32(), kX86Map[reg].r32());
  if (counts()) a_.mov(kX86Budget, WEIR_STATE(budget));
  if (!facts_.has_local_calls) return;
  enter_callbacks();
  a_.call(labels_[0]);
  tell_budget();
  leave();
}

// To the program that led here by a tail call, or whose helper called back.
void X86Emitter::tell_budget() {
  if (!is_bare_ && counts()) a_.mov(WEIR_STATE(budget), kX86Budget);
}

void X86Emitter::leave() {
  if (is_bare_ && has_frame_) close_frame(facts_.frame_size);
  if (padded_) a_.add(x86::rsp, 8);
  for (std::size_t i = saved_.size(); i-- > 0;) a_.pop(saved_[i]);
  a_.ret();
}

// The end of a function of the program, or of the program.
void X86Emitter::epilogue() {
  if (facts_.has_local_calls) {
    a_.ret();
    return;
  }
  tell_budget();
  leave();
}

void X86Emitter::clear_frame(std::uint32_t bytes) {
  if (bytes == 0 || code_.proven) return;  // verified programs read what they wrote
  a_.pxor(x86::xmm0, x86::xmm0);
  for (std::int32_t i = -static_cast<std::int32_t>(bytes); i < 0; i += 16)
    a_.movups(x86::ptr(x86::rbp, i, 16), x86::xmm0);
}

void X86Emitter::raise(const Trap& trap) {
  a_.bind(trap.from);
  a_.mov(WEIR_STATE(address), kX86Address);
  a_.mov(x86::esi, trap.slot);
  a_.mov(x86::edx, static_cast<std::uint32_t>(trap.fault));
  call_host(reinterpret_cast<const void*>(&native_fault));
  a_.jmp(stop_);
}

asmjit::Label X86Emitter::trap(std::uint32_t slot, Fault fault) {
  traps_.push_back({a_.newLabel(), slot, fault});
  return traps_.back().from;
}

// A constant in a register; blinded when asked. r11 may be overwritten unless it is `to`: then r10.
void X86Emitter::constant(const Gp& to, std::uint64_t value) {
  if (is_plain()) {
    if (value == 0) a_.xor_(to.r32(), to.r32());
    else if (value <= UINT32_MAX) a_.mov(to.r32(), static_cast<std::uint32_t>(value));
    else a_.mov(to, value);
    return;
  }
  const std::uint64_t mask = random_();
  const Gp other = to.id() == kX86Address.id() ? kX86Operand : kX86Address;
  a_.mov(to, value ^ mask);
  a_.mov(other, mask);
  a_.xor_(to, other);
}

void X86Emitter::charge(std::uint32_t slot, std::int64_t cost) {
  if (!counts()) return;
  zero_flag_ = -1;
  a_.sub(kX86Budget, static_cast<std::int32_t>(cost > INT32_MAX ? INT32_MAX : cost));
  a_.js(trap(slot, Fault::kBudget));
}

void X86Emitter::branch(std::uint32_t at, const ebpf::OpcodeInfo& row, const Step& step) {
  const auto target = static_cast<std::uint32_t>(step.offset);
  if (target <= at) charge(at, std::int64_t{at} - target + 1);
  const bool wide = row.width == 8;
  const auto sized = [&](const Gp& reg) { return wide ? reg : Gp(reg.r32()); };
  const unsigned condition = row.code & 0xf0u;
  const Gp dst = sized(kX86Map[step.dst]);
  if (row.shape == OperandShape::kBranchConstant && is_plain()) {
    const auto immediate = static_cast<std::int32_t>(step.constant);
    if (condition == 0x40) a_.test(dst, immediate);
    else if (immediate == 0 && (condition == 0x10 || condition == 0x50)) {
      if (zero_flag_ == step.dst && (wide || !zero_flag_wide_)) return jump(at, condition, target);
      a_.test(dst, dst);
    } else {
      a_.cmp(dst, immediate);
    }
  } else {
    Gp src = sized(kX86Map[step.src]);
    if (row.shape == OperandShape::kBranchConstant) {
      constant(kX86Operand, step.constant);
      src = sized(kX86Operand);
    }
    if (condition == 0x40) a_.test(dst, src);
    else a_.cmp(dst, src);
  }
  zero_flag_ = -1;
  jump(at, condition, target);
}

void X86Emitter::jump(std::uint32_t at, unsigned condition, std::uint32_t target) {
  const asmjit::Label& to = labels_[target];
  if (is_near(at, target)) a_.short_();
  switch (condition) {
    case 0x10: a_.je(to); break;
    case 0x20: a_.ja(to); break;
    case 0x30: a_.jae(to); break;
    case 0x40:
    case 0x50: a_.jne(to); break;
    case 0x60: a_.jg(to); break;
    case 0x70: a_.jge(to); break;
    case 0xa0: a_.jb(to); break;
    case 0xb0: a_.jbe(to); break;
    case 0xc0: a_.jl(to); break;
    default: a_.jle(to); break;
  }
}

// Moves leave the flags alone, and branches look after them.
bool X86Emitter::keeps_flags(const ebpf::OpcodeInfo& row, const Step& step) const {
  if (ebpf::is_branch(row.shape)) return true;
  if ((row.code & 0xf0) != 0xb0 || step.dst == zero_flag_) return false;
  if (row.shape == OperandShape::kAluConstant) return is_plain() && step.constant != 0;
  return row.shape == OperandShape::kAluRegister;
}

void X86Emitter::step(std::uint32_t at) {
  const Step& step = code_.steps[at];
  const ebpf::OpcodeInfo& row = ebpf::info(step.operation);
  const Gp dst = kX86Map[step.dst];
  if (!keeps_flags(row, step)) zero_flag_ = -1;
  switch (row.shape) {
    case OperandShape::kAluConstant:
    case OperandShape::kAluRegister: return arithmetic(at, row, step);
    case OperandShape::kNegate: a_.neg(row.width == 8 ? dst : Gp(dst.r32())); return;
    case OperandShape::kSignExtend: return sign_extend(row, step);
    case OperandShape::kByteOrder: return byte_order(step, row.operation);
    case OperandShape::kJump:
    case OperandShape::kJumpLong:
      if (static_cast<std::uint32_t>(step.offset) <= at) charge(at, std::int64_t{at} - step.offset + 1);
      if (is_near(at, static_cast<std::uint32_t>(step.offset))) a_.short_();
      a_.jmp(labels_[static_cast<std::uint32_t>(step.offset)]);
      return;
    case OperandShape::kBranchConstant:
    case OperandShape::kBranchRegister: return branch(at, row, step);
    case OperandShape::kCallLocal: return call_local(at, step);
    case OperandShape::kCallHelper: return call_helper(at, step, false);
    case OperandShape::kCallRegister:
      if (code_.options.register_calls) return call_helper(at, step, true);
      [[fallthrough]];
    case OperandShape::kCallKernel: return unknown_call(at, row, step);
    case OperandShape::kNone: return epilogue();
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: return constant(dst, step.constant);
    case OperandShape::kPacketAbsolute:
    case OperandShape::kPacketIndirect: return packet_load(row, step);
    case OperandShape::kLoad: return load(at, row, step);
    case OperandShape::kStoreConstant:
    case OperandShape::kStoreRegister: return store(at, row, step);
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare: return atomic(at, row, step);
    case OperandShape::kLoadAcquire:
    case OperandShape::kStoreRelease: return ordered(at, row, step);
    case OperandShape::kMayJump:
    case OperandShape::kAddressSpace: return;  // prepare() refuses them
  }
}

namespace {
class FirstError final : public asmjit::ErrorHandler {
 public:
  void handleError(asmjit::Error what, const char*, asmjit::BaseEmitter*) override {
    if (error == asmjit::kErrorOk) error = what;
  }
  asmjit::Error error = asmjit::kErrorOk;
};
}  // namespace

static Result<std::unique_ptr<NativeCode>> emit(const Code& code, const Facts& facts) {
  const auto broken = [](asmjit::Error error) {
    return fail(
        Error{.code = ErrorCode::kUnsupported,
              .message = std::string("no machine code could be made: ") + asmjit::DebugUtils::errorAsString(error)});
  };
  std::vector<std::uint32_t> before;
  const std::uint64_t seed = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
  {
    asmjit::CodeHolder first;
    first.init(asmjit::Environment::host());
    X86Emitter emitter(code, facts, first, {}, seed);
    emitter.run();
    before = emitter.offsets();
  }
  asmjit::CodeHolder holder;
  FirstError first_error;
  holder.init(asmjit::Environment::host());
  holder.setErrorHandler(&first_error);
  X86Emitter emitter(code, facts, holder, std::move(before), seed);
  emitter.run();
  if (first_error.error != asmjit::kErrorOk) return broken(first_error.error);
  if (!emitter.is_good()) return broken(asmjit::kErrorInvalidState);
  if (const asmjit::Error error = holder.flatten(); error != asmjit::kErrorOk) return broken(error);
  if (const asmjit::Error error = holder.resolveUnresolvedLinks(); error != asmjit::kErrorOk) return broken(error);
  std::unique_ptr<NativeCode> native = NativeCode::allocate(holder.codeSize());
  if (native == nullptr) return broken(asmjit::kErrorOutOfMemory);
  if (const asmjit::Error error = holder.relocateToBase(reinterpret_cast<std::uint64_t>(native->data()));
      error != asmjit::kErrorOk)
    return broken(error);
  holder.copyFlattenedData(native->data(), holder.codeSize());
  native->set_bare(facts.is_bare);
  if (!native->seal(holder.codeSize())) return fail(system_failure("make machine code executable", errno));
  return native;
}

Result<std::unique_ptr<NativeCode>> emit_native(const Code& code, const Facts& facts) {
  if (const std::unique_ptr<const Code> unrolled = unroll(code, facts)) return emit(*unrolled, find_facts(*unrolled));
  return emit(code, facts);
}

}  // namespace weir::engine

#elif !defined(__aarch64__)

#include "engine/ebpf_native.h"

namespace weir::engine {
Result<std::unique_ptr<NativeCode>> emit_native(const Code&, const Facts&) {
  return fail(Error{.code = ErrorCode::kUnsupported, .message = "there is no machine code for this processor"});
}
}  // namespace weir::engine

#endif
