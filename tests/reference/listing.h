// Reads the listings that `tcpdump -d` prints, for tests that compare weir with programs of other compilers.
//
// Shares no code with weir's own reader, so that a mistake there cannot hide one elsewhere. Knows the forms that libpcap
// prints, and jumps backward (protochain), which no checker lets pass. Empty for what it does not know.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <weir/cbpf/instruction.h>

namespace weir::reference {

std::optional<std::vector<cbpf::Instruction>> read_listing(std::string_view text);

}  // namespace weir::reference
