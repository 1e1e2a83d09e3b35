// Packets that take a program down its paths: random bytes, then changed at the bytes that decided a branch, again and
// again, towards paths that were not taken yet.
#pragma once

#include <cstdint>
#include <random>
#include <set>
#include <span>
#include <vector>

#include <weir/cbpf/instruction.h>

namespace weir::reference {

using Bytes = std::vector<std::uint8_t>;

struct SteeredPackets {
  std::vector<Bytes> packets;
  std::set<std::uint32_t> edges;  // 2 * instruction + taken: every way out of a conditional jump that some packet took
  bool accepted = false;          // some packet gives a verdict other than 0
  bool rejected = false;
};

struct SteerOptions {
  std::uint32_t length = 256;  // of each packet
  std::uint32_t rounds = 6;    // random packets to start from
  std::uint32_t turns = 24;    // changes to each
  // Real packets: every other round starts from one of them, made as long as the others.
  std::span<const Bytes> seeds{};
};

SteeredPackets steer(std::span<const cbpf::Instruction> program, std::mt19937& random,
                     const SteerOptions& options = {});

// How many ways out of conditional jumps a program has.
std::size_t edge_count(std::span<const cbpf::Instruction> program);

}  // namespace weir::reference
