// Calls that do what others do: families, and the multiplexers of older architectures. Thread-safe: no state.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <weir/kernel/syscalls.h>

namespace weir::kernel {

struct Family {
  std::string_view what;     // "open files"
  std::string_view members;  // names with spaces between
  // Do it too, but without what other members' arguments choose: a way around a call that is denied whole.
  std::string_view plain = {};
};
std::span<const Family> families();
std::vector<std::string_view> names_in(std::string_view list);

// One number for many calls, whose arguments are in memory.
struct Multiplexer {
  std::string_view name;
  std::string_view calls;
  bool carries(std::string_view call) const;
};
std::span<const Multiplexer> multiplexers_of(Architecture architecture);

}  // namespace weir::kernel
