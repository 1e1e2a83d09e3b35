// Short loops that run a known number of times, with several rounds in a row. Exports unroll.
//
// Compilers for processors do this; those for BPF do it little, since programs may not be long. The test for the end
// stands once for several rounds, and constants that are added in each round become parts of addresses.
#pragma once

#include <memory>

#include "engine/ebpf_facts.h"

namespace weir::engine {

// The same program with such loops unrolled, for code generators only: its slots are others than the program's. Null
// where there is nothing to do. For programs that facts say are bare.
std::unique_ptr<const Code> unroll(const Code& code, const Facts& facts);

}  // namespace weir::engine
