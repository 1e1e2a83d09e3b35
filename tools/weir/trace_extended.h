// weir trace for extended programs.
#pragma once

#include <cstdint>
#include <string>

namespace weir::tool {

struct ExtendedTraceOptions {
  std::string file{};     // the program
  std::string name{};     // which one of it; empty: the first
  std::string capture{};  // one of these two, or for programs on memory none
  std::string memory{};
  std::uint32_t packet = 1;
  bool allow_callx = false;
  bool json = false;
};
// Returns the exit status.
int trace_extended(const ExtendedTraceOptions& options);

}  // namespace weir::tool
