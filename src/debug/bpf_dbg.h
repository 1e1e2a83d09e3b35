// What differs where the console speaks as bpf_dbg.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <weir/debug/console.h>

namespace weir::debug::bpf_dbg {

// The number that a text begins with, as strtol reads it: 0 for none.
std::int64_t leading_number(std::string_view text);

// What bpf_dbg shows where it stops.
std::string dump(const Session& session);

// `step N`: the N-th instruction of this packet from here. A packet that ends is left at once.
Reply step(Session& session, std::string_view arguments);

// Why bpf_dbg does not load this text.
std::string load_message(std::string_view text);

}  // namespace weir::debug::bpf_dbg
