// Sums that machine code need not compute, since an address of the processor can hold them. Exports find_addresses.
//
// Compilers for BPF write `r5 = r1; r5 += r3; r0 = r5; r0 += 2; r5 = *(u16 *)(r5 + 0)`: each sum in a register of its
// own. x86-64 adds two registers and a constant in one `lea`, and in each load and store. This pass follows sums along
// straight code, gives each use of one its parts, and finds the sums that nothing else needs. A constant that is added
// to a register is kept back the same way: addresses take it in, and the register is advanced, by all that was kept
// back, where something else reads it. For verified programs only: others name the register of an access where it is
// looked up.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ebpf_facts.h"

namespace weir::engine {

// Register + register + number.
struct Address {
  std::int8_t base = -1;   // -1: there is no such address here
  std::int8_t index = -1;  // -1: none
  std::int32_t offset = 0;

  explicit operator bool() const { return base >= 0; }
};

struct StepAddress {
  Address sum;                // what this step and the next, a copy and an addition, compute
  bool is_needed = false;     // and whether something needs it in its register
  bool is_kept_back = false;  // an addition that is done later, or never
  Address memory;             // where this load or store goes
};

// A register gets what was kept back of it, before a step, or before what jumps to the step meets it.
struct Advance {
  std::uint32_t slot;
  bool before_label;
  std::uint8_t reg;
  std::int32_t by;
};

struct Addresses {
  std::vector<StepAddress> steps;
  std::vector<Advance> advances;  // in the order of the code
};

Addresses find_addresses(const Code& code, const Facts& facts);

}  // namespace weir::engine
