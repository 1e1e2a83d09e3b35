// A classic program as a circuit of its packet.
//
// The packet is shared by all programs that are compared: its bits, how many of its bytes were captured, its length on
// the wire, and what Linux knows beside it. A program is run on all inputs at once: instructions in their order, with
// the condition under which each is reached; where paths join, registers are chosen by those conditions. Only
// registers that are still needed are joined.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

#include "prove/circuit.h"

namespace weir::prove {

class SymbolicPacket {
 public:
  // `longest`: bytes that may be loaded; a longer packet is like one of this length.
  SymbolicPacket(Circuit& circuit, Solver& solver, std::uint32_t longest);

  Literal holds(std::uint32_t bytes) const;  // at least so many were captured
  Word load(std::uint32_t at, std::uint32_t size);
  const Word& wire_length();
  const Word& beside(std::uint32_t extension);
  std::uint32_t longest() const { return longest_; }
  const std::map<std::uint32_t, Word>& all_beside() const { return beside_; }
  bool uses_wire_length() const { return wire_.has_value(); }
  bool is_loaded(std::uint32_t at) const { return bytes_.count(at) != 0; }

 private:
  const std::array<Literal, 8>& byte(std::uint32_t at);

  Circuit& circuit_;
  Solver& solver_;
  std::uint32_t longest_;
  std::vector<Literal> captured_;  // captured_[i]: byte i is there
  std::map<std::uint32_t, std::array<Literal, 8>> bytes_;
  std::optional<Word> wire_;
  std::map<std::uint32_t, Word> beside_;
};

// How far from the start a program may load, in bytes; a great number where nothing bounds it.
std::uint64_t furthest_load(const cbpf::Program& program);

// Looked at before each instruction, which may pass them by what one instruction makes.
struct Limits {
  Solver::Clock::time_point deadline = Solver::Clock::time_point::max();
  std::size_t variables = 0;  // of the solver
};

struct Execution {
  Literal accepted;  // the verdict is not 0
  Word verdict;
};
// Nothing where a limit was reached.
Result<std::optional<Execution>> execute(const cbpf::Program& program, Circuit& circuit, SymbolicPacket& packet,
                                         const Solver& solver, const Limits& limits);

}  // namespace weir::prove
