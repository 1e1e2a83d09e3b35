// Two programs with the same verdicts, for fuzz targets of what rewrites programs.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>

#include <weir/cbpf/program.h>
#include <weir/packet/packet.h>

#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"

namespace weir::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

// On a few packets for each program, whole and cut. Long programs are looked at with fewer.
inline void require_equal_verdicts(const cbpf::Program& a, const cbpf::Program& b, std::size_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  constexpr std::uint32_t kLength = 120;
  const std::uint32_t turns = a.size() > 200 ? 2 : 6;
  for (const cbpf::Program* program : {&a, &b})
    for (const reference::Bytes& bytes :
         reference::steer(program->instructions(), random, {.length = kLength, .rounds = 2, .turns = turns}).packets) {
      std::uint32_t length = kLength;
      for (int cut = 0; cut < 4; ++cut, length = random() % 80) {
        const packet::Packet packet{bytes.data(), length, kLength, nullptr};
        require(reference::run(a, packet).verdict == reference::run(b, packet).verdict);
      }
    }
}

}  // namespace weir::fuzz
