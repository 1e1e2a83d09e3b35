// What is suspicious in a policy, as warnings: rules that never act, and rules that a call gets around.
#pragma once

#include <span>

#include <weir/kernel/seccomp.h>

namespace weir::kernel {

// Warnings have the rules' places. `architectures`: those that the policy is compiled for.
Warnings lint_policy(const Policy& policy, std::span<const Architecture> architectures);

}  // namespace weir::kernel
