// bpf_dbg's own ways: how it reads numbers, steps and complains. Exports leading_number, dump, step, load_message.
//
// bpf_dbg executes the instruction that it shows. So a step that shows a packet's last instruction leaves the packet in
// the same command, a packet that ends before the N-th instruction is left without a dump, and no step shows two
// packets. Source: recorded sessions, and filter.rst of Linux, section bpf_dbg.
#include "debug/bpf_dbg.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>

#include <weir/cbpf/program.h>

#include "debug/commands.h"

namespace weir::debug::bpf_dbg {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\v\f";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes a decimal number of at most `maximum` off the front, and blanks before it.
bool take_number(std::string_view& text, std::uint64_t maximum, std::uint64_t& value) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value > maximum) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

// The packet is left, uncounted.
std::string leave(Session& session) { return session.leave() ? "(next packet)\n" : "(going back to first packet)\n"; }

std::string dump_and_execute(Session& session) {
  std::string out = dump(session);
  if (session.ends_now()) out += leave(session);
  return out;
}

}  // namespace

std::int64_t leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  std::int64_t value = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1))
    value = std::min(value * 10 + (text.front() - '0'), kMost);
  return negative ? -value : value;
}

std::string dump(const Session& session) {
  return registers_text(session.program(), session.state(), Style::kBpfDbg) +
         packet_text(session.packet(), Style::kBpfDbg) + "(breakpoint)\n";
}

Reply step(Session& session, std::string_view arguments) {
  std::int64_t steps = leading_number(arguments);
  if (steps == 0) steps = 1;
  if (steps < 0) {
    // At a packet's start the instruction shown last is the packet's before.
    const std::uint64_t back = static_cast<std::uint64_t>(-steps) + (session.at_start() ? 1 : 0);
    if (session.back(back).reason == Stop::Reason::kStart) return {"reached bottom of register history stack!\n", true};
    return say(dump_and_execute(session));
  }
  for (; steps > 0; --steps) {
    if (!session.at_start() && session.ends_now()) return say(leave(session));
    session.step(1);
  }
  return say(dump_and_execute(session));
}

std::string load_message(std::string_view text) {
  std::uint64_t length = 0;
  if (!take_number(text, cbpf::kMaximumLength, length) || length == 0 || text.empty() || text.front() != ',')
    return "syntax error in head length encoding!\n";
  std::uint64_t count = 0;
  for (std::size_t comma = 0; comma != std::string_view::npos && comma + 1 < text.size(); ++count) {
    if (count == length) return "program exceeds encoded length!\n";
    text.remove_prefix(comma + 1);
    std::string_view fields = text;
    std::uint64_t value = 0;
    for (const std::uint64_t maximum : {0xffffu, 0xffu, 0xffu, 0xffffffffu})
      if (!take_number(fields, maximum, value)) return fmt::format("syntax error at instruction {}!\n", count);
    comma = text.find(',');
  }
  if (count != length) return "syntax error exceeding encoded length!\n";
  return "program not allowed to run by kernel!\n";
}

}  // namespace weir::debug::bpf_dbg
