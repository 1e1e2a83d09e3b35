// How often a randomised test goes round: few in a normal run, as many as WEIR_ROUNDS says in a long one.
#pragma once

#include <cstdlib>

namespace weir::tests {

inline int rounds(int normally) {
  const char* asked = std::getenv("WEIR_ROUNDS");
  return asked != nullptr ? std::atoi(asked) : normally;
}

}  // namespace weir::tests
