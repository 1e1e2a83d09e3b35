// One x86 instruction in the form of objdump.
#pragma once

#include <cstdint>

#include <weir/debug/machine_code.h>

namespace weir::debug {

// The instruction at the start of `code`, which lies at `address`; "(bad)" of one byte when there is none.
MachineInstruction decode_x86(ByteSpan code, std::uint64_t address, bool wide);

}  // namespace weir::debug
