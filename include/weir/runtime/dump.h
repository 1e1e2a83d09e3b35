// Maps as text, for people. Not for programs: those walk a Map themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <weir/runtime/map.h>

namespace weir::runtime {

// "07 00 00 00"
std::string hex_text(const void* bytes, std::size_t size);

// The bytes of a decimal number or a hexadecimal one (0x1f), as large as the key or value that it stands for, in this
// machine's order; a minus makes it the two's complement. ErrorCode::kLimit where it does not fit,
// kBadInput where it is no number.
Result<std::vector<std::uint8_t>> bytes_of_number(std::string_view text, std::size_t size);

// Calls `use` with each key and its value on CPU 0, `most` entries at most; not for maps of programs and maps.
void each_entry(Map& map, const std::function<void(const std::vector<std::uint8_t>& key, const void* value)>& use,
                std::uint32_t most = 100'000);

// Calls `use` with each key of a map of maps or of programs that has something in its place, and with that.
void each_reference(
    const ReferenceMap& map,
    const std::function<void(const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held)>& use);

// Calls `use` with the values of a queue or a stack, in the order in which they can be taken; all of them stay.
void each_value(Map& map, const std::function<void(ByteSpan value)>& use);

// A line for the map and one for each entry, 100,000 at most; further ones are counted, and so are entries of arrays
// that are all zeros. Nothing is taken out: the bytes of ring buffers are only counted. name_of_held: of what maps of
// maps and of programs hold (engine::name_of_held).
std::string text_of(Map& map, const std::function<std::string(const std::shared_ptr<const void>&)>& name_of_held);

}  // namespace weir::runtime
