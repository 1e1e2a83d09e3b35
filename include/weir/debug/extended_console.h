// The debugger's commands for extended programs: a line of text in, text out.
//
//   ExtendedConsole console(std::move(session));
//   Reply reply = console.execute("breakpoint count if r0 == 0");
//
// Any line is taken; what is wrong with it is said in the reply. help_text() lists the commands. Not synchronised.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <weir/debug/console.h>
#include <weir/debug/extended_session.h>

namespace weir::debug {

class ExtendedConsole {
 public:
  explicit ExtendedConsole(std::unique_ptr<ExtendedSession> session) : session_(std::move(session)) {}

  Reply execute(std::string_view line);
  Completion complete(std::string_view before) const;
  static std::string help_text();
  ExtendedSession& session() { return *session_; }

 private:
  friend struct ExtendedCommands;
  std::unique_ptr<ExtendedSession> session_;
};

}  // namespace weir::debug
