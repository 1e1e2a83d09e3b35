// Machine code of extended programs: memory for it, runs, and what it calls. Exports make_extended_native.
//
// The code checks accesses against the stack frame and one window itself and asks native_access() for all others, so it
// may run any checked program. Functions that helpers call back are run by entering the code again. Memory for code is
// written first and made executable then (W^X).
#include "engine/ebpf_native.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "engine/ebpf_callbacks.h"
#include "engine/ebpf_helpers.h"

namespace weir::engine {
namespace {

const void* const kHostFunctions[] = {
    reinterpret_cast<const void*>(&native_access), reinterpret_cast<const void*>(&native_helper),
    reinterpret_cast<const void*>(&native_packet_load), reinterpret_cast<const void*>(&native_fault)};

class ExtendedNative final : public ExtendedEngine {
 public:
  ExtendedNative(std::shared_ptr<const Code> code, const Facts& facts, std::unique_ptr<NativeCode> native)
      : code_(std::move(code)), native_(std::move(native)) {
    frame_size_ = facts.frame_size;
    is_bare_ = native_->is_bare();
    if (is_bare_ && code_->sight == Sight::kXdp) set_direct(native_->bare(), 0);
    // Socket filters follow no pointers of their context.
    if (is_bare_ && code_->premise.type == ebpf::ProgramType::kSocketFilter)
      set_direct(native_->bare(), runtime::PacketBuffer::kSocketContext);
    has_checked_ = facts.has_checked;
#if !defined(__x86_64__)
    // Proven calls go through native_helper() too.
    for (const StepFacts& fact : facts.steps) has_checked_ |= fact.call != CallKind::kChecked;
#endif
    for (std::size_t i = 0; i < code_->steps.size(); ++i)
      if (ebpf::is_wide(ebpf::info(code_->steps[i].operation).shape)) constants_.push_back(code_->steps[i].constant);
  }
  std::string_view name() const override { return "native"; }
  const ebpf::Program& program() const override { return code_->program; }
  const std::vector<std::shared_ptr<runtime::Map>>& maps() const override { return code_->maps; }
  ByteSpan code() const override { return native_->bytes(); }
  const Code& shared() const { return *code_; }

  Outcome run_whole(runtime::Invocation& invocation) const override {
    const std::uint64_t budget = code_->options.budget;
    std::int64_t left = budget == 0 || budget > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(budget);
    std::uint32_t tail_calls = 0;
    return start(invocation, left, tail_calls);
  }

  // What is left of the budget, and the tail calls that were made, are told to the program that led here.
  Outcome start(runtime::Invocation& invocation, std::int64_t& budget, std::uint32_t& tail_calls) const {
    if (code_->proven && !code_->premise_holds(invocation)) return {0, Fault::kArgument, 0, 1, 0, &code_->program};
    if (is_bare_) return {native_->bare()(invocation.arguments[0], &invocation)};
    if (!has_checked_) return run_unchecked(invocation, budget);
    alignas(16) std::uint8_t stack[ebpf::kMaximumCallDepth * ebpf::kStackSize];
    NativeState state;
    Memory memory(*code_, invocation);
    prepare_state(state, invocation, budget, stack + sizeof stack);
    state.tail_calls = &tail_calls;
    state.memory = &memory;
    memory.stack_end = state.stack_top;
    memory.stack_begin = state.stack_begin;
    invocation.access = &memory;
    state.look_at_run();
    const std::uint64_t value = native_->run(state);
    invocation.access = nullptr;
    budget = state.budget;
    return outcome_of(state, value);
  }

 private:
  // Nothing is asked at run time.
  Outcome run_unchecked(runtime::Invocation& invocation, std::int64_t& budget) const {
    alignas(16) std::uint8_t stack[ebpf::kMaximumCallDepth * ebpf::kStackSize];
    NativeState state;
    prepare_state(state, invocation, budget, stack + sizeof stack);
    const std::uint64_t value = native_->run(state);
    budget = state.budget;
    return state.fault == Fault::kNone ? Outcome{value} : outcome_of(state, value);
  }
  void prepare_state(NativeState& state, runtime::Invocation& invocation, std::int64_t budget,
                     std::uint8_t* stack_top) const {
    for (std::size_t i = 0; i < 5; ++i) state.registers[i + 1] = invocation.arguments[i];
    state.stack_top = reinterpret_cast<std::uint64_t>(stack_top);
    state.stack_begin = state.stack_top - frame_size_;
    state.budget = budget;
    state.calls_left = ebpf::kMaximumCallDepth - 1;
    state.fault = Fault::kNone;
    state.faulted = nullptr;
    state.code = code_.get();
    state.native = native_.get();
    state.function = 0;
    state.run = &invocation;
    state.cpu = invocation.cpu;
    state.host = kHostFunctions;
    state.constants = constants_.data();
  }
  Outcome outcome_of(const NativeState& state, std::uint64_t value) const {
    if (state.fault == Fault::kNone) return {value};
    return {0, state.fault, state.slot, state.detail, 0, state.faulted != nullptr ? state.faulted : &code_->program};
  }

  std::shared_ptr<const Code> code_;
  std::unique_ptr<NativeCode> native_;
  std::vector<std::uint64_t> constants_;
  std::uint32_t frame_size_ = 0;
  bool has_checked_ = false;
  bool is_bare_ = false;
};

std::uint32_t stop(NativeState* state, Fault fault, std::uint32_t slot, std::uint64_t detail) {
  state->fault = fault;
  state->slot = slot;
  state->detail = detail;
  return kStop;
}

// Runs the other program to its end: what it returns is what this function returns.
std::uint32_t tail_call(NativeState* state, std::uint32_t slot) {
  const std::uint64_t* r = state->registers;
  runtime::Map* map = state->code->map_at(r[2]);
  if (map == nullptr || map->definition().type != ebpf::MapType::kProgArray)
    return stop(state, Fault::kArgument, slot, 2);
  if (r[1] != state->run->arguments[0]) return stop(state, Fault::kArgument, slot, 1);
  const auto index = static_cast<std::uint32_t>(r[3]);
  if (index >= map->definition().max_entries || *state->tail_calls >= ebpf::kMaximumTailCalls) return kGoOn;
  const auto held = static_cast<const runtime::ReferenceMap&>(*map).reference(&index);
  if (held == nullptr) return kGoOn;
  const auto* engine = static_cast<const ExtendedEngine*>(held.get());
  const runtime::AccessRule* const saved = state->run->access;
  ++*state->tail_calls;
  Outcome outcome;
  if (const auto* native = dynamic_cast<const ExtendedNative*>(engine))
    outcome = native->start(*state->run, state->budget, *state->tail_calls);
  else outcome = interpret_nested(*code_of(*engine), *state->run, state->budget, *state->tail_calls);
  state->run->access = saved;
  state->look_at_run();  // the other program may have moved the packet
  if (outcome.fault != Fault::kNone) {
    state->faulted = outcome.program;
    return stop(state, outcome.fault, outcome.instruction, outcome.address);
  }
  // A proven program goes on behind the function that ended, with a context that the other one may have written.
  if (state->code->proven && !state->code->premise_holds(*state->run)) return stop(state, Fault::kArgument, slot, 1);
  state->registers[0] = outcome.value;
  return kReturn;
}

// Runs a function of the program to its end in the middle of a helper. The code is entered again, with the stack below
// the frames that are in use; what the run needs afterwards is kept here.
bool call_back(NativeState* state, std::uint32_t caller, std::uint64_t function, const CallbackArguments& arguments,
               std::uint64_t& result) {
  const std::int64_t slot = state->code->callback_at(function);
  Fault fault = Fault::kNone;
  if (slot < 0) fault = Fault::kArgument;
  else if (state->calls_left <= 0) fault = Fault::kCallDepth;
  else if (--state->budget < 0) fault = Fault::kBudget;
  if (fault != Fault::kNone) return stop(state, fault, caller, fault == Fault::kArgument ? 2 : 0) == kGoOn;
  std::uint64_t registers[6];
  std::memcpy(registers, state->registers, sizeof registers);
  const std::uint64_t host_stack = state->host_stack;
  const std::uint64_t stack_top = state->stack_top;
  const std::uint64_t stack_begin = state->stack_begin;
  const std::int64_t calls_left = state->calls_left;
  const std::uint32_t outer = state->function;
  std::copy(arguments.begin(), arguments.end(), &state->registers[1]);
  state->stack_top = stack_begin;
  state->stack_begin = stack_begin - ebpf::kStackSize;
  state->calls_left = calls_left - 1;
  state->function = static_cast<std::uint32_t>(slot);
  state->look_at_run();
  result = state->native->run(*state);
  std::memcpy(state->registers, registers, sizeof registers);
  state->host_stack = host_stack;
  state->stack_top = stack_top;
  state->stack_begin = stack_begin;
  state->calls_left = calls_left;
  state->function = outer;
  return state->fault == Fault::kNone;
}

std::uint32_t loop(NativeState* state, std::uint32_t slot, bool over_map) {
  const auto call = [&](std::uint64_t function, const CallbackArguments& arguments, std::uint64_t& result) {
    return call_back(state, slot, function, arguments, result);
  };
  std::uint64_t done = 0;
  bool good = false;
  if (over_map) {
    runtime::Map* map = state->code->map_at(state->registers[1]);
    if (map == nullptr) return stop(state, Fault::kArgument, slot, 1);
    good = run_each(*map, state->registers, *state->run, done, call);
  } else {
    good = run_loop(state->registers, done, call);
  }
  if (!good) return kStop;
  state->registers[0] = done;
  state->look_at_run();
  return kGoOn;
}

}  // namespace

const Code* native_code_of(const ExtendedEngine& engine) {
  const auto* native = dynamic_cast<const ExtendedNative*>(&engine);
  return native != nullptr ? &native->shared() : nullptr;
}

void NativeState::set_window(std::uint64_t begin, std::uint64_t size, bool writable) {
  minus_window = 0 - begin;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint64_t width = 1u << i;
    fits_read[i] = size >= width ? size - width + 1 : 0;
    fits_write[i] = writable ? fits_read[i] : 0;
  }
}

void NativeState::look_at_memory() {
  memory->stack_begin = stack_begin;
  memory->look_at_packet();
}

void NativeState::look_at_run() {
  context_read = context_write = 0;
  for (const runtime::Region& region : run->regions) {
    const std::uint64_t offset = run->arguments[0] - region.begin;
    if (offset > region.size) continue;
    context_read = region.size - offset;
    if (region.writable) context_write = context_read;
    break;
  }
  if (run->packet != nullptr)
    set_window(reinterpret_cast<std::uint64_t>(run->packet->data()), run->packet->size(), true);
  else if (!run->regions.empty()) set_window(run->regions[0].begin, run->regions[0].size, run->regions[0].writable);
  else set_window(0, 0, false);
}

std::uint32_t native_access(NativeState* state, std::uint32_t slot, std::uint32_t size_and_write) {
  state->look_at_memory();
  const Fault fault = state->memory->check(state->address, size_and_write & 0xff, (size_and_write & 0x100) != 0);
  return fault == Fault::kNone ? kGoOn : stop(state, fault, slot, state->address);
}

std::uint32_t native_helper(NativeState* state, std::uint32_t slot, std::int32_t number) {
  state->look_at_memory();
  const runtime::HelperEntry* entry = state->code->helpers->find(number);
  if (entry != nullptr && entry->function == nullptr) {
    if (number == static_cast<std::int32_t>(ebpf::Helper::kTailCall)) return tail_call(state, slot);
    if (number == static_cast<std::int32_t>(ebpf::Helper::kLoop)) return loop(state, slot, false);
    if (number == static_cast<std::int32_t>(ebpf::Helper::kForEachMapElem)) return loop(state, slot, true);
  }
  const HelperResult result = call_helper(*state->code, *state->memory, *state->run, entry, number, state->registers);
  if (result.fault != Fault::kNone) return stop(state, result.fault, slot, result.detail);
  state->registers[0] = result.value;
  state->look_at_run();  // the helper may have moved the packet
  return number == state->code->options.unwind_helper && result.value == 0 ? kStop : kGoOn;
}

std::uint32_t native_packet_load(NativeState* state, std::uint32_t size, std::uint32_t offset) {
  const std::uint8_t* const at = packet_bytes(*state->run, offset, size);
  if (at == nullptr) {
    state->registers[0] = 0;
    return kReturn;
  }
  state->registers[0] = size == 1 ? *at : size == 2 ? load_be16(at) : load_be32(at);
  return kGoOn;
}

std::uint32_t native_fault(NativeState* state, std::uint32_t slot, std::uint32_t fault) {
  const auto kind = static_cast<Fault>(fault);
  return stop(state, kind, slot,
              kind == Fault::kUnaligned ? state->address
              : kind == Fault::kHelper  ? state->registers[0]
                                        : 0);
}

std::unique_ptr<NativeCode> NativeCode::allocate(std::size_t size) {
  const std::size_t mapped = (size + 4095) / 4096 * 4096;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return std::unique_ptr<NativeCode>(new NativeCode(static_cast<std::uint8_t*>(memory), mapped));
}
NativeCode::~NativeCode() { munmap(data_, mapped_); }
bool NativeCode::seal(std::size_t used) {
  size_ = used;
  if (mprotect(data_, mapped_, PROT_READ | PROT_EXEC) != 0) return false;
  __builtin___clear_cache(reinterpret_cast<char*>(data_), reinterpret_cast<char*>(data_ + used));
  return true;
}

Result<ExtendedEnginePointer> make_extended_native(std::shared_ptr<const Code> code) {
  const Facts facts = find_facts(*code);
  WEIR_TRY(std::unique_ptr<NativeCode> native, emit_native(*code, facts));
  return ExtendedEnginePointer(std::make_shared<ExtendedNative>(std::move(code), facts, std::move(native)));
}

}  // namespace weir::engine
