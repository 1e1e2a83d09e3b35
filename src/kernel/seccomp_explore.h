// Running a filter along all paths with a bound on the effort, for what asks about many calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <weir/kernel/seccomp_analysis.h>

namespace weir::kernel {

// Instructions that may still be followed; a fork counts as some. At 0 outcomes are not complete.
struct Effort {
  std::uint64_t left = 0;
};
// For all the questions about some filters: about a second. One filter as they are in use needs a hundredth of it.
constexpr Effort kEffortForAll{400'000'000};

Outcome outcome_of(std::span<const cbpf::Checked> filters, const CallPattern& pattern, Effort& effort);
std::vector<std::uint32_t> numbers_held_against(const cbpf::Checked& program, std::uint32_t audit_architecture,
                                                std::uint32_t number, unsigned argument, Effort& effort);

}  // namespace weir::kernel
