// The debugger's terminal: reads command lines, hands them to a console, writes what it replies.
//
// On a terminal lines are edited with libedit, with a history in a file and completion on Tab; anything else is read
// line by line and each command is written before its reply, so that the output is a transcript.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include <weir/debug/console.h>
#include <weir/filter/compile.h>

namespace weir::tool {

struct ShellOptions {
  std::string name{};        // for libedit's settings
  std::FILE* input = stdin;  // not owned
  int output = 1;            // descriptor, not owned
  std::string output_name = "standard output";
  std::string history{};      // path; empty for none
  bool replies_only = false;  // no prompt, no commands repeated, no editing: for programs
  std::string settings{};     // path of a file of settings of the editor; may be missing
};

struct ShellResult {
  bool any_failed = false;
  Status written;
};

// What a console does with a line, and what may stand where the cursor is.
struct Dialogue {
  std::function<debug::Reply(std::string_view line)> execute;
  std::function<debug::Completion(std::string_view before)> complete;
};
template <typename Console>
Dialogue dialogue_with(Console& console) {
  return {[&console](std::string_view line) { return console.execute(line); },
          [&console](std::string_view before) { return console.complete(before); }};
}

// Until `quit` or the end of the input.
ShellResult run_shell(const Dialogue& console, const ShellOptions& options);

// A console for this program: captures, files and expressions from outside. Expressions are compiled for the link type
// of the capture, the rest as `options` says.
debug::Hooks shell_hooks(const filter::CompileOptions& options = {});

// $HOME/NAME, or empty without a home.
std::string in_home(const std::string& name);

}  // namespace weir::tool
