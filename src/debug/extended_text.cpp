// What commands about extended programs show: values, places, stops. Exports the texts.
#include "debug/extended_text.h"

#include <fmt/format.h>

#include <weir/debug/extended_trace.h>

namespace weir::debug {
using Reason = ExtendedStop::Reason;

std::string value_text(const ExtendedSession& session, std::uint64_t value) {
  const std::string place = session.address_text(value);
  if (!place.empty()) return place;
  return value < 10 ? std::to_string(value) : fmt::format("0x{:x}", value);
}

namespace {

std::string registers_text(const ExtendedSession& session) {
  std::string out;
  const auto registers = session.registers();
  for (std::size_t i = 0; i < 10; ++i)
    out += fmt::format("{}r{} {}{}", i % 5 == 0 ? "  " : "", i, value_text(session, registers[i]),
                       i % 5 == 4 ? "\n" : "  ");
  return out;
}

}  // namespace

std::string place_text(const ExtendedSession& session) {
  std::string out =
      fmt::format("packet {} of {}, step {}", session.packet_number(), session.packet_count(), session.step_number());
  const engine::Outcome& outcome = session.outcome();
  if (session.has_ended()) {
    if (outcome.fault == engine::Fault::kNone) return out + fmt::format(": ended, r0 = 0x{:x}\n", outcome.value);
    const Error error = engine::describe(outcome);
    return out +
           fmt::format(": stopped at instruction {}\n  {}\n  {}\n", outcome.instruction, error.message, error.hint);
  }
  const ebpf::Program& program = session.active_program();
  const std::string function = function_of(program, outcome.instruction);
  if (!function.empty()) out += ", in " + function;
  if (session.depth() > 0) out += fmt::format(", {} call{} deep", session.depth(), session.depth() == 1 ? "" : "s");
  out += "\n";
  if (const ebpf::SourceLine* line = program.line_of(outcome.instruction)) out += source_text(*line) + "\n";
  out += fmt::format("=> {}: {}\n", outcome.instruction, instruction_text(program, outcome.instruction));
  return out + registers_text(session);
}

std::string long_text(const ExtendedSession& session, std::uint64_t value) {
  const std::string place = session.address_text(value);
  return place.empty() ? fmt::format("0x{:x} ({})", value, static_cast<std::int64_t>(value)) : place;
}

std::string bytes_text(const ExtendedSession& session, const std::vector<std::uint8_t>& bytes) {
  if (bytes.empty()) return "not there";
  const std::uint64_t value = number_in(bytes);
  return bytes.size() == 8 ? long_text(session, value) : fmt::format("0x{:x} ({})", value, value);
}

std::string watch_text(const ExtendedWatch& watch) {
  return watch.reg ? fmt::format("r{}", *watch.reg) : fmt::format("{} {}", watch.place, watch.size);
}

namespace {

std::string watch_stop_text(const ExtendedSession& session, const ExtendedStop& stop) {
  for (const ExtendedWatch& watch : session.watches())
    if (watch.number == stop.number)
      return fmt::format("watch {}: {} was {}, is {}\n", watch.number, watch_text(watch),
                         bytes_text(session, watch.before), bytes_text(session, watch.value));
  return {};
}

}  // namespace

std::string stop_text(const ExtendedSession& session, const ExtendedStop& stop) {
  std::string out;
  if (stop.reason == Reason::kBreakpoint) out = fmt::format("breakpoint {}\n", stop.number);
  if (stop.reason == Reason::kWatch) out = watch_stop_text(session, stop);
  if (stop.reason == Reason::kStart) return "the run begins less far back\n";
  for (const std::string& line : session.has_ended() ? session.printed() : std::vector<std::string>())
    out += "printk: " + line + (!line.empty() && line.back() == '\n' ? "" : "\n");
  return out + place_text(session);
}

}  // namespace weir::debug
