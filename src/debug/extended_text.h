// What commands about extended programs show: values, places, stops.
#pragma once

#include <string>
#include <vector>

#include <weir/debug/extended_session.h>

namespace weir::debug {

// What an address points to, else the number: short, and with the signed number beside it.
std::string value_text(const ExtendedSession& session, std::uint64_t value);
std::string long_text(const ExtendedSession& session, std::uint64_t value);
// The number that the bytes are on this machine, as text.
std::string bytes_text(const ExtendedSession& session, const std::vector<std::uint8_t>& bytes);
// "r1", "fp-8 4".
std::string watch_text(const ExtendedWatch& watch);
// Where the session is: packet and step, the source line, the next instruction, the registers.
std::string place_text(const ExtendedSession& session);
// Why it stopped, and where.
std::string stop_text(const ExtendedSession& session, const ExtendedStop& stop);

}  // namespace weir::debug
