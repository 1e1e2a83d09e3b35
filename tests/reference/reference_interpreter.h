// The naive reference: what a classic program means, on one page. Linked into tests only.
//
// Every engine and every pass is compared with it. It takes one instruction at a time, trusts nothing (each access is
// checked with abort), and has no cleverness at all. Meaning: docs/semantics.md.
#pragma once

#include <cstdint>

#include <weir/cbpf/program.h>
#include <weir/packet/packet.h>

namespace weir::reference {

struct Outcome {
  std::uint32_t verdict = 0;
  bool implicit = false;  // ended by a load outside of the packet or a division by zero
  std::uint32_t executed = 0;
};

Outcome run(const cbpf::Program& program, const packet::Packet& packet);

}  // namespace weir::reference
