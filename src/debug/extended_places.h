// What commands about extended programs name: numbers, registers, instructions, conditions, addresses.
#pragma once

#include <optional>
#include <string_view>

#include <weir/debug/extended_session.h>

namespace weir::debug {

// Decimal, or hexadecimal after 0x; a minus makes it the two's complement.
std::optional<std::uint64_t> number_of(std::string_view text);
// "r0" to "r10", "fp".
std::optional<std::uint8_t> register_of(std::string_view text);
// A slot, a function, or ":LINE" or "FILE:LINE" of the source.
Result<std::uint32_t> slot_of(const ebpf::Program& program, std::string_view text);
// "r1 == 5".
Result<ExtendedCondition> condition_of(std::string_view text);
// rN, fp, packet, memory, context, map[key], or a number; then +N or -N.
Result<std::uint64_t> address_of(const ExtendedSession& session, std::string_view text);
// The same with a size after it: 1, 2, 4 or 8, and 8 where `bytes` is empty.
Result<std::uint64_t> place_and_size(const ExtendedSession& session, std::string_view place, std::string_view bytes,
                                     std::uint64_t& size);

}  // namespace weir::debug
