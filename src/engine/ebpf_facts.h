// What can be said of an extended program without running it. Exports Facts, find_facts.
//
// A small forward analysis of what registers are (a number, the frame, the context, a value of a known map), and a
// backward one of which registers are read later. Code generators leave out the checks that it proves and save only
// what is needed around calls. It never refuses a program: what it does not understand is `unknown` and checked at run
// time. For a verified program every access and argument is proven from the start.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ebpf_code.h"

namespace weir::engine {

enum class AccessProof : std::uint8_t {
  kNone,     // compare with the window, else look it up
  kContext,  // at a constant distance from the first argument: compare with how much of it there is
  kProven,   // cannot go wrong
};

enum class CallKind : std::uint8_t {
  kChecked,  // arguments are looked at when it is called
  kDirect,   // arguments are proven: call the function
  kLookup,   // a lookup with a proven key in a map that has a function for it
  kArray,    // a lookup with a proven key in a plain array: an index and a comparison
};

struct StepFacts {
  AccessProof access = AccessProof::kNone;
  CallKind call = CallKind::kChecked;
  bool is_target = false;     // something jumps or calls here
  bool is_loop_head = false;  // something jumps back here
  bool is_idle = false;       // sets a register to what it holds already
  std::uint16_t live = 0;     // registers that are read after this step, a bit each
  std::int32_t end = 0;       // kContext: where the access ends
  runtime::Map* map = nullptr;
};

struct Facts {
  std::vector<StepFacts> steps;
  std::uint16_t live_at_start = 0;
  std::uint16_t used = 0;  // registers that occur
  std::uint32_t frame_size = ebpf::kStackSize;
  bool has_local_calls = false;
  bool counts_steps = false;   // control may go back: the budget must be counted
  bool has_checked = false;    // some access or call is checked at run time
  bool uses_context = false;   // some access is kContext
  bool is_bare = false;        // proven through and through: no NativeState is needed
  bool calls_helpers = false;  // some call of a helper is kDirect: the Invocation is needed
  bool has_calls = false;      // some call goes to C++
};

Facts find_facts(const Code& code);

// The registers that a step reads and writes, a bit each. `helpers` tells how many arguments a helper reads.
struct RegisterUse {
  std::uint16_t reads = 0;
  std::uint16_t writes = 0;
};
RegisterUse registers_of(const Code& code, const Step& step);

}  // namespace weir::engine
