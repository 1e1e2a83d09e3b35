// The queueing disciplines of an interface. Exports queueing_disciplines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/error.h>

namespace weir::kernel {

struct Discipline {
  std::string kind{};  // "clsact"
  std::uint32_t handle = 0;
};

// Adds those of the interface, also where it fails half way.
Status queueing_disciplines(std::uint32_t interface, std::vector<Discipline>& found);

}  // namespace weir::kernel
