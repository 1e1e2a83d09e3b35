// The debugger's commands: a line of text in, text out. The whole of `weir debug` but for the terminal.
//
//   Console console(hooks);
//   Reply reply = console.execute("load bpf 2,40 0 0 12,6 0 0 1,");
//
// Any line is taken; what is wrong with it is said in the reply. help_text() lists the commands. In Style::kBpfDbg the
// replies look as those of bpf_dbg and commands must be spelled in full; both styles know the same commands.
// Not synchronised.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/debug/session.h>
#include <weir/debug/text.h>

namespace weir::debug {

struct Capture {
  std::shared_ptr<const PacketList> packets;
  Warnings warnings{};  // damage after the last packet, what is odd
};

// An expression as a program.
struct CompiledExpression {
  cbpf::Program program;
  Warnings warnings{};  // their places are in the expression
};

// What commands need from outside. Those left empty make their commands fail.
struct Hooks {
  std::function<Result<Capture>(const std::string& path)> open_capture{};
  std::function<Result<std::string>(const std::string& path)> read_file{};
  std::function<Result<CompiledExpression>(const std::string& expression, packet::LinkType link_type)> compile{};
  // Called with each program that was loaded (bpf_dbg gives it to the kernel); its error is shown, and in
  // Style::kBpfDbg the program is dropped.
  std::function<Status(const cbpf::Checked& program)> loaded{};
};

// Why a session came to a halt, as data.
struct Halt {
  // "step", "breakpoint", "watch", "run-end" (all packets, or as many as were asked for, have ended) or "start" (the
  // run begins less far back); of extended programs also "packet-end" and "fault".
  std::string_view reason{};
  std::uint32_t number = 0;               // of the breakpoint or the watch
  std::optional<std::uint64_t> before{};  // the watch's value; empty where there was none
  std::optional<std::uint64_t> now{};
  Counts counts{};  // classic, "run-end"
};

struct Reply {
  std::string text;     // whole lines
  bool failed = false;  // the command did not do what it was asked for
  bool quit = false;
  // The same as data, for programs that read it:
  std::string_view command{};            // its whole name; empty where there is none of it
  std::optional<Diagnostic> error{};     // why it failed, in Style::kOwn
  std::optional<Halt> halt{};            // of commands that move
  std::optional<std::uint64_t> value{};  // of `print`
  std::vector<std::uint8_t> bytes{};     // of `memory` and `packet`
};

// What may stand where the cursor is.
struct Completion {
  std::vector<std::string> words{};  // those that begin with what is there
  bool files = false;                // or the name of a file
};

class Console {
 public:
  explicit Console(Hooks hooks, Style style = Style::kOwn) : hooks_(std::move(hooks)), style_(style) {}

  Reply execute(std::string_view line);
  // For the text before the cursor.
  Completion complete(std::string_view before) const;
  static std::string help_text(std::string_view command = {});

  Session& session() { return session_; }
  const Session& session() const { return session_; }
  // Loads a program from text in any form; from an expression; a capture.
  Reply load_program(const std::string& text);
  Reply load_expression(const std::string& text);
  Reply load_capture(const std::string& path);

  struct Command;

 private:
  friend struct ConsoleCommands;
  Reply load_program_as_bpf_dbg(const std::string& text);
  Hooks hooks_;
  Style style_;
  Session session_;
  std::string expression_;  // what the program was compiled from, for captures of other link types
};

}  // namespace weir::debug
