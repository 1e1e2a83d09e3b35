// Policies as JSON.
//
//   {"version": 1, "architectures": ["x86_64"], "default": "errno(EPERM)", "mismatch": "kill",
//    "rules": [{"action": "allow", "syscalls": ["ioctl"],
//               "any_of": [[{"arg": 1, "op": "==", "value": 21505, "mask": 18446744073709551615}]]}]}
//
// `version`, `architectures`, `default`, `mismatch`, `any_of` and `mask` may be missing.
#pragma once

#include <string>

#include <weir/kernel/seccomp.h>

namespace weir::tool {

Result<kernel::Policy> policy_from_json(const std::string& text);
std::string policy_to_json(const kernel::Policy& policy);

}  // namespace weir::tool
