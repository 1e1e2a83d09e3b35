// The classic machine, one instruction at a time, telling what each did.
//
// execute() is a function of values: the same program, packet, surroundings and state always give the same next state,
// so a debugger can go back by running the packet again. Its meaning is that of every engine (net/core/filter.c).
// Plain values; thread-safe: no state.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include <weir/cbpf/instruction.h>
#include <weir/cbpf/program.h>
#include <weir/packet/packet.h>

namespace weir::debug {

// How a run over a packet ended.
enum class Ending : std::uint8_t {
  kRunning,         // not yet: pc is the next instruction
  kReturned,        // a ret instruction
  kOutsidePacket,   // a load beyond the captured bytes: the verdict is 0
  kDivisionByZero,  // div or mod by an X of 0: the verdict is 0
};

// The machine between two instructions. When it ended, pc is the instruction that ended it.
struct State {
  std::uint32_t pc = 0;
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  std::array<std::uint32_t, cbpf::kScratchWords> scratch{};
  std::uint16_t written = 0;  // bit i: M[i] was written
  Ending ending = Ending::kRunning;
  std::uint32_t verdict = 0;  // all 32 bits; 0 drops, anything else is how many bytes to keep
  friend bool operator==(const State&, const State&) = default;
};

// Bytes [offset, offset + size) of a packet.
struct ByteRange {
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// What one instruction did beside changing the state.
struct Effect {
  std::optional<ByteRange> load{};             // the packet's bytes that it read, or wanted to
  std::optional<cbpf::Extension> extension{};  // the extension that it read into A
  std::optional<bool> taken{};                 // conditional jumps: which way
};

struct Step {
  State state;  // after the instruction
  Effect effect;
};

// What an extension load reads when it is not what the packet's metadata says.
using ExtensionValues = std::map<cbpf::Extension, std::uint32_t>;

struct Surroundings {
  ExtensionValues set{};     // values set by hand
  std::uint32_t random = 0;  // what `rand` is made of: the same number gives the same run
};

// One instruction. The program's pc-th instruction must exist and `before` must be running.
Step execute(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings,
             const State& before);

// Runs from `from` to the end of the packet.
State finish(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings, State from);

// What the extension reads for this packet.
std::uint32_t extension_value(cbpf::Extension extension, const packet::Packet& packet, const Surroundings& surroundings,
                              const State& state);

}  // namespace weir::debug
