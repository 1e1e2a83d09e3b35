// What the result of a program means, by its kind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <weir/ebpf/names.h>

namespace weir::tool {

// "XDP_PASS", "TC_ACT_SHOT", "SK_DROP"; empty where the kind gives the number no name. As kernels do, the lower 32 bits
// are looked at.
std::string_view action_name(ebpf::ProgramType type, std::uint64_t result);
// The same without what all of them begin with, as people read it: "pass", "shot".
std::string action_word(std::string_view name);

}  // namespace weir::tool
