// Calls of helper functions with their arguments checked. Exports call_helper.
#pragma once

#include "engine/ebpf_code.h"
#include "engine/ebpf_memory.h"

namespace weir::engine {

struct HelperResult {
  std::uint64_t value = 0;
  Fault fault = Fault::kNone;
  std::uint64_t detail = 0;  // as Outcome::address
};

// `helper`: the entry of this number, null where there is none. registers: r0 to r10; r1 to r5 are the arguments.
HelperResult call_helper(const Code& code, const Memory& memory, runtime::Invocation& run,
                         const runtime::HelperEntry* helper, std::int32_t number, const std::uint64_t* registers);

}  // namespace weir::engine
