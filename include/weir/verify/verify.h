// The verifier of extended programs: walks all paths before the program runs once.
//
// First the control flow: every instruction can be reached, functions end with an exit or a jump and are entered by
// calls only. Then every path, with what is known of each register and stack byte: numbers as bits and intervals,
// pointers with the memory that they point to and where. What a program of its kind may do to memory and helpers must
// be proven at each instruction. Paths that come to a point with no more than was seen there are not walked again.
// Loops are walked round by round: they must end within the instruction budget.
//
//   Result<ebpf::Checked> checked = ebpf::check(program);
//   verify::Report report = verify::examine(*checked, {.premise = {.type = ebpf::ProgramType::kXdp}});
//   if (!report.verified) puts(verify::explain(*report.refusal).c_str());
//
// The rules are the kernel's for a loader with all rights (kernel/bpf/verifier.c), but for what programs of user space
// may do more: see weir-verify(1). Thread-safe: no state.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/ebpf/program.h>
#include <weir/ebpf/verified.h>
#include <weir/runtime/helpers.h>

namespace weir::verify {

// What was broken. name_of() gives the text that machines read: "packet-bounds".
enum class Rule : std::uint8_t {
  kStructure,       // not an instruction, a jump to nowhere: what ebpf::check() finds
  kUnreachable,     // no path leads to the instruction
  kFunctionBounds,  // a jump or the end of a function leads into another
  kUninitialised,   // a register or a stack byte that was never written is read
  kNotAPointer,     // memory is accessed through a number
  kNull,            // a pointer that may be null is used
  kStackBounds,
  kMapBounds,
  kPacketBounds,
  kRecordBounds,
  kContextAccess,  // the context has no such field, or it may not be accessed so
  kReadOnly,
  kAlignment,
  kPointerArithmetic,
  kHelper,    // no such helper, or not for this kind of program
  kArgument,  // a helper's argument is not what it takes
  kHeld,      // a record is neither submitted nor discarded
  kCall,      // too many functions active, or a call that does not exist here
  kReturn,    // r0 at exit
  kEndless,   // a loop comes back to where it was and nothing has changed
  kTooComplex,
};
std::string_view name_of(Rule rule);

// A branch on the way to the instruction.
struct Decision {
  std::uint32_t instruction = 0;
  bool taken = false;
  bool sure = false;   // what was known before told it: the other side cannot happen here
  std::string text{};  // "if r2 > r3 goto +5"
  std::optional<ebpf::SourceLine> line{};
};

struct Refusal {
  Rule rule = Rule::kStructure;
  std::uint32_t instruction = 0;
  std::string text{};                      // the instruction, disassembled
  std::optional<ebpf::SourceLine> line{};  // where it comes from, when the program tells
  std::string message{};                   // what is wrong, one line
  std::string required{};                  // what must be known here
  std::vector<std::string> known{};        // what is known: a line a register
  std::vector<Decision> path{};            // the last decisions that led here, in order
  std::size_t decisions_before = 0;        // how many there were before those
  std::string suggestion{};                // what to change
};

struct Statistics {
  std::uint64_t steps = 0;        // instructions walked, on all paths
  std::uint32_t paths = 0;        // ways that were walked to an end
  std::uint32_t known_paths = 0;  // of them: ended where nothing new could follow
  std::uint32_t checkpoints = 0;  // states that were kept
  std::uint32_t stack = 0;        // bytes of stack that any one function uses at most
};

struct Options {
  ebpf::Premise premise{};
  const runtime::Helpers* helpers = nullptr;  // null: the standard ones
  bool register_calls = false;                // callx calls the helper whose number the register holds
  bool unwritten_stack = false;      // bytes of the stack that were never written may be read, and hold anything
  std::uint64_t budget = 1'000'000;  // instructions to walk in all; the kernel's limit
  std::size_t path_length = 12;      // decisions that a refusal tells
  // Called with a line for each step, as the kernel's log has it.
  std::function<void(std::string_view)> log{};
};

struct Report {
  std::optional<ebpf::Verified> verified{};  // one of the two
  std::optional<Refusal> refusal{};
  Statistics statistics{};
};

// All there is to say. A program that ebpf::check() refuses is a refusal too: the Program form checks first.
Report examine(const ebpf::Checked& program, const Options& options = {});
Report examine(const ebpf::Program& program, const Options& options = {});

// The proof, or the refusal as an Error with the InstructionPlace and the suggestion as its hint.
Result<ebpf::Verified> verify(const ebpf::Checked& program, const Options& options = {});

// The refusal as text of several lines: where, what is required, what is known, by which path, what to change.
std::string explain(const Refusal& refusal);
Error to_error(const Refusal& refusal);

}  // namespace weir::verify
