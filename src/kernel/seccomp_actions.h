// The actions that a policy may name.
#pragma once

namespace weir::kernel {

inline constexpr const char* kActionHint = "actions: kill, kill-thread, trap, errno(N), notify, trace(N), log, allow";

}  // namespace weir::kernel
