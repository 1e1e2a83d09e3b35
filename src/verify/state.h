// What the verifier knows at one point of one path: registers and stacks of all active functions. Exports State.
//
// A copy of the State is what a branch leaves behind for its other side, and what is kept at joins to recognise what
// was seen before. Value types.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/ebpf/instruction.h>

#include "verify/value.h"

namespace weir::verify {

inline constexpr unsigned kStackSlots = ebpf::kStackSize / 8;

// Eight bytes of stack. What was written whole is kept as a Value; other bytes are only known to be written.
struct Slot {
  std::uint8_t written = 0;  // a bit a byte, the lowest address first
  std::uint8_t kept = 0;     // how many bytes, from the lowest address on, `value` stands for: 0, 1, 2, 4 or 8
  Value value{};
};

// A thing to release: its number and the instruction that took it.
struct Held {
  std::uint32_t reference = 0;
  std::uint32_t instruction = 0;
};

struct Frame {
  Value registers[ebpf::kRegisters];
  std::vector<Slot> slots{};      // slot n is the bytes from r10 - 8 (n + 1) on; as many as were used
  std::uint64_t overwritten = 0;  // slots that were written whole since the last checkpoint, or did not exist there
  std::uint32_t back = 0;         // the instruction to return to
  std::uint32_t function = 0;     // where the function starts
  bool is_callback = false;       // a helper called it: `back` is the call itself
  std::vector<Held> held{};       // is_callback: what was held at its start
  std::uint32_t rounds = 0;       // of functions that the helper called here has called back
  std::uint32_t call = 0;         // which call of a helper these are rounds of
};

struct State {
  std::vector<Frame> frames{};  // the running function last
  std::vector<Held> held{};
  std::uint32_t turns = 0;  // ends of functions that were called back, so far

  Frame& frame() { return frames.back(); }
  const Frame& frame() const { return frames.back(); }
  Value* registers() { return frames.back().registers; }
  const Value* registers() const { return frames.back().registers; }
};

// Calls `use` with every Value of the state, also those in stack slots.
template <typename Use>
void each_value(State& state, Use use) {
  for (Frame& frame : state.frames) {
    for (Value& value : frame.registers) use(value);
    for (Slot& slot : frame.slots)
      if (slot.kept != 0) use(slot.value);
  }
}

}  // namespace weir::verify
