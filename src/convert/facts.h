// What is known at each instruction of a classic program, so that its conversion says no more than it must. Exports
// find_facts.
//
// One walk forward and one backward, since jumps lead forward only. Forward: the greatest numbers that A, X and scratch
// memory can hold. Backward: how many bytes a packet must have to match at all from here, whichever way it goes (a
// packet that is shorter is rejected, now or later), and whether A and X are read before they are written. Then forward
// again: how many bytes of the packet are known to be there, and with it which loads compare with its end, and for how
// many bytes: for all that any match needs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <weir/cbpf/program.h>

namespace weir::convert {

struct Facts {
  std::uint32_t compared = 0;         // a load at a fixed place: how many bytes to compare with the packet; 0: none
  std::uint32_t x_most = UINT32_MAX;  // X is at most this
  bool a_is_read = true;              // behind the instruction, before it is written
};

struct FactOptions {
  // Where a load at k reads (offset, size): from the packet's first byte on; UINT32_MAX: not known.
  std::function<std::uint32_t(std::uint32_t k)> place;
  std::function<bool(std::uint32_t k, unsigned size)> always_fails;
  bool moving_counts = false;      // a load at X + k shows that k bytes are there, too
  std::uint32_t most = INT32_MAX;  // no packet has more bytes
};

struct ProgramFacts {
  std::vector<Facts> at{};  // by instruction
  bool a_is_read = true;    // A and X of the beginning
  bool x_is_read = true;
};

bool is_packet_load(const cbpf::Instruction& instruction);
ProgramFacts find_facts(const cbpf::Program& program, const std::vector<bool>& reached, const FactOptions& options);

}  // namespace weir::convert
