// Numbers in policies: decimal, 0x..., octal behind a leading 0 (as in C and chmod), negative, or a constant's name.
//
// A negative number has no width yet: as 64 bits -100 is 0xffffffffffffff9c, as 32 bits 0xffffff9c. Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include <weir/base/error.h>

namespace weir::kernel {

struct PolicyNumber {
  std::uint64_t value = 0;  // of 64 bits, two's complement
  bool negative = false;
};

// Errors have no place: the whole text is wrong.
Result<PolicyNumber> read_policy_number(std::string_view text);

}  // namespace weir::kernel
