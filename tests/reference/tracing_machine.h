// A naive classic machine that also says which packet bytes decided each branch, so that a test can change them and
// drive a program down its other paths.
//
// Meaning: net/core/filter.c (shift counts masked with 31, [x + k] wraps, scratch words start as 0). Checks nothing but
// what would leave memory; a program that runs longer than kStepLimit (jumps backward) gives verdict 0.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weir/cbpf/instruction.h>
#include <weir/packet/packet.h>

namespace weir::reference {

inline constexpr std::uint32_t kStepLimit = 1u << 20;

// A branch whose left side came straight from the packet (perhaps masked) and whose right side did not.
struct Decision {
  std::uint32_t instruction = 0;
  std::uint32_t address = 0;
  std::uint32_t size = 0;
  std::uint32_t mask = 0xffffffff;
  std::uint16_t code = 0;  // of the jump
  std::uint32_t operand = 0;
  bool taken = false;
};

struct Trace {
  std::uint32_t verdict = 0;
  bool left_outside = false;  // ended by a load outside of the packet or a division by zero
  std::vector<Decision> decisions{};
  std::vector<std::uint32_t> edges{};  // 2 * instruction + taken, of every conditional jump
};

Trace run(std::span<const cbpf::Instruction> program, const packet::Packet& packet);

// Changes the packet's bytes so that the decision turns out otherwise. False where it cannot.
bool turn(const Decision& decision, std::vector<std::uint8_t>& packet);

}  // namespace weir::reference
