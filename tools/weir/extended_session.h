// A debugger's session over an extended program of a file, as `weir trace -X` and `weir debug -X` open it.
#pragma once

#include <memory>
#include <string>

#include <weir/debug/extended_session.h>

namespace weir::tool {

struct SessionFiles {
  std::string program{};
  std::string name{};     // which one of it, or its section; empty: the first
  std::string capture{};  // one of these two, or for programs on memory none
  std::string memory{};
  bool allow_callx = false;
};
// Warnings about the capture are reported. `text` gets the text of the program's file, for errors with a place in it.
Result<std::unique_ptr<debug::ExtendedSession>> open_session(const SessionFiles& files, std::string& text);

}  // namespace weir::tool
