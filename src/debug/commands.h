// The table of the debugger's commands.
#pragma once

#include <span>
#include <string_view>

#include <weir/debug/console.h>

namespace weir::debug {

enum class Argument : std::uint8_t { kNone, kLoad, kBreakpoint, kExpression, kExtension, kCommand };

struct Console::Command {
  std::string_view name;
  std::string_view arguments;  // for the help
  std::string_view help;       // one line
  Reply (*run)(Console& console, std::string_view arguments);
  Argument completes;
  bool needs_program;
  bool needs_packets;
};

std::span<const Console::Command> commands();

Reply refuse(const Diagnostic& diagnostic, std::string_view text = {});
Reply say(std::string text);

// Without blanks at both ends.
std::string_view trim(std::string_view text);
// The first word of the text, which loses it.
std::string_view take_word(std::string_view& text);

}  // namespace weir::debug
