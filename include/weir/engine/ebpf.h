// Runs extended programs: an interpreter that checks every access, and machine code.
//
// load_extended() takes a Checked program (or a Verified one), makes or borrows its maps and gives an ExtendedEngine:
// immutable, to be run from any number of threads, each run with an Invocation of its own. A run that does what it must
// not do (an access outside of its memory, too many instructions, a helper with bad arguments) stops with a Fault and
// touches nothing outside: no program can crash its host. Budgets and steps count instructions. load_extended() gives
// errors of ErrorCode::kUsage (options that do not fit the program), kLimit (maps that are too large) and kUnsupported
// (maps or machines that are not there). Source of meaning: RFC 9669; of limits: kernel/bpf/core.c, verifier.c.
//
//   engine::ExtendedOptions options;
//   auto loaded = engine::load_extended(*ebpf::check(*program), options);
//   runtime::Invocation run{.arguments = {address, size}, .regions = {{address, size, true}}};
//   engine::Outcome outcome = (*loaded)->run(run);      // outcome.value is r0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/ebpf/program.h>
#include <weir/ebpf/verified.h>
#include <weir/runtime/helpers.h>
#include <weir/runtime/map.h>

namespace weir::engine {

enum class ExtendedKind : std::uint8_t { kAutomatic, kInterpreter, kNative };

// Why a run stopped.
enum class Fault : std::uint32_t {
  kNone,       // it ended with exit
  kOutside,    // an access to memory that is not the program's
  kReadOnly,   // a write to memory that the program may only read
  kUnaligned,  // an atomic on an address that is no multiple of its width
  kBudget,     // more instructions than allowed
  kCallDepth,  // more functions active than allowed
  kHelper,     // a helper that does not exist
  kArgument,   // a helper called with what it does not take
};
std::string_view name_of(Fault fault);

struct Outcome {
  std::uint64_t value = 0;  // r0, when fault is kNone
  Fault fault = Fault::kNone;
  std::uint32_t instruction = 0;  // the slot that faulted
  std::uint64_t address = 0;  // kOutside, kReadOnly, kUnaligned: what it wanted; kHelper: the number; kArgument: which
  std::uint64_t steps = 0;    // instructions run (the interpreter; 0 for machine code)
  const ebpf::Program* program = nullptr;  // the one that faulted (after a tail call another); lives in its engine

  explicit operator bool() const { return fault == Fault::kNone; }
};
// The fault as an error with the instruction, and its source line where the program has lines.
Error describe(const Outcome& outcome);

struct ExtendedOptions {
  ExtendedKind kind = ExtendedKind::kAutomatic;
  // Instructions of one run; 0: as many as it likes. Machine code counts where it jumps back and calls.
  std::uint64_t budget = 1'000'000'000;
  const runtime::Helpers* helpers = nullptr;          // null: the standard ones; must outlive the engine
  std::vector<std::shared_ptr<runtime::Map>> maps{};  // those of the program, in its order; empty: made new
  runtime::MapOptions map_options{};
  bool register_calls = false;  // callx calls the helper whose number the register holds, as uBPF does
  // A helper after which the program ends when it gives 0, as uBPF's unwind function; negative: none.
  std::int32_t unwind_helper = -1;
  bool blind_constants = false;  // machine code: constants of the program never stand in the code
};

class ExtendedEngine {
 public:
  virtual ~ExtendedEngine() = default;
  virtual std::string_view name() const = 0;  // "interpreter", "native"
  virtual const ebpf::Program& program() const = 0;
  // The program's maps, in its order.
  virtual const std::vector<std::shared_ptr<runtime::Map>>& maps() const = 0;
  // Here, so that a short program costs a comparison and a call.
  Outcome run(runtime::Invocation& invocation) const {
    const runtime::PacketBuffer* const packet = invocation.packet;
    if (direct_ != nullptr && packet != nullptr &&
        invocation.arguments[0] == reinterpret_cast<std::uint64_t>(packet->xdp_context()) + direct_offset_)
      return {direct_(invocation.arguments[0], &invocation)};
    return run_whole(invocation);
  }
  // The machine code, for those who want to look at it; empty for interpreters.
  virtual ByteSpan code() const { return {}; }

 protected:
  using Direct = std::uint64_t (*)(std::uint64_t r1, runtime::Invocation* invocation);
  virtual Outcome run_whole(runtime::Invocation& invocation) const = 0;
  // A verified program that needs nothing but the context of a packet, and where its kind of context lies from the
  // first one.
  void set_direct(Direct direct, std::uint32_t offset) {
    direct_ = direct;
    direct_offset_ = offset;
  }

 private:
  Direct direct_ = nullptr;
  std::uint32_t direct_offset_ = 0;
};

using ExtendedEnginePointer = std::shared_ptr<const ExtendedEngine>;

Result<ExtendedEnginePointer> load_extended(const ebpf::Checked& program, const ExtendedOptions& options = {});

// The same for a verified program: machine code checks nothing that the proof covers and counts no instructions; on
// x86-64, one that needs no state of the run (no tail calls, ldabs or ldind, functions called back, or helpers that
// look at memory beyond their arguments) is called like a C function, with its stack on the thread's. The interpreter
// checks and counts as above. The premise must hold where a run begins, and still where a program that a function led
// into by a tail call has ended: r1 is the context of the invocation's packet (XDP, sockets and tc) and points to it,
// or memory in the first region (kUnspec); else machine code ends with Fault::kArgument. Contexts of XDP must not be
// writable. Programs of other types, other helpers than the standard ones, an unwind helper and given maps that are not
// as the program defines them (of maps of maps: nor made with the inner map) void the proof: then everything is
// checked. Constants of the program (contents of arrays with BPF_F_RDONLY_PROG) must stay what they are.
//
// On AArch64 machine code does all that it does on x86-64, but calls every helper through the same checks, and knows no
// bare calls: verified programs leave out the checks of their accesses only.
Result<ExtendedEnginePointer> load_extended(const ebpf::Verified& program, const ExtendedOptions& options = {});

// Puts a loaded program into a program array, for tail calls. The array keeps it; where the program uses that array,
// the two keep each other until the array is cleared (runtime::ReferenceMap::clear).
Status set_tail_call(runtime::Map& array, std::uint32_t index, ExtendedEnginePointer program);
// What a slot of a map of programs or of maps holds, by name; `maps`: all of a program. Empty for a map that is none of
// them.
std::string name_of_held(const runtime::Map& map, const std::shared_ptr<const void>& held,
                         std::span<const std::shared_ptr<runtime::Map>> maps);

}  // namespace weir::engine
