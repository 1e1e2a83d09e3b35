// Extended programs as AArch64 code. Exports assemble_extended_a64.
//
// The code is bound to no place: it finds C++ functions and the addresses of maps through its NativeState. So a test on
// another machine can make it and run it under emulation.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ebpf_native.h"

namespace weir::engine {

Result<std::vector<std::uint8_t>> assemble_extended_a64(const Code& code, const Facts& facts);

}  // namespace weir::engine
