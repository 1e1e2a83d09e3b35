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

// What commands need from outside. Those left empty make their commands fail.
struct Hooks {
  std::function<Result<Capture>(const std::string& path)> open_capture{};
  std::function<Result<std::string>(const std::string& path)> read_file{};
  std::function<Result<cbpf::Program>(const std::string& expression, packet::LinkType link_type)> compile{};
  // Called with each program that was loaded (bpf_dbg gives it to the kernel); its error is shown, and in
  // Style::kBpfDbg the program is dropped.
  std::function<Status(const cbpf::Checked& program)> loaded{};
};

struct Reply {
  std::string text;     // whole lines
  bool failed = false;  // the command did not do what it was asked for
  bool quit = false;
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
