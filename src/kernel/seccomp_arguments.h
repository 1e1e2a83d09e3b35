// Which arguments of which calls the kernel reads as 32 bits: int, unsigned, pid_t, and the like.
//
// On a machine of 64 bits a filter sees whole registers, but such an argument is cut to its lower half before the call
// looks at it. A filter that compares all 64 bits can then be gone around: 0x100000010 is not 16, and is AF_NETLINK
// to socket(2). Thread-safe: no state.
#pragma once

#include <string_view>

#include <weir/kernel/syscalls.h>

namespace weir::kernel {

// False for longs and pointers, and for calls that the table does not know.
bool is_int_argument(std::string_view syscall, unsigned argument);

// Whether registers have 64 bits, so that an int has an upper half.
bool has_wide_registers(Architecture architecture);

}  // namespace weir::kernel
