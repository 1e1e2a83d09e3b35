// Programs and packets for the tests of graphs.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include <weir/cbpf/program.h>
#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

#include "random_metadata.h"
#include "random_program.h"
#include "reference/steered_packets.h"

namespace weir::tests {

// Whether a program reads random numbers or netlink attributes, which the oracles cannot give twice, or at all.
inline bool is_unrepeatable(const cbpf::Program& program) {
  return std::any_of(program.begin(), program.end(),
                     [](const cbpf::Instruction& instruction) { return instruction.k == cbpf::kExtensionBase + 56; });
}

// A short packet with small bytes, often cut, with and without what Linux knows beside it.
class RandomPacket {
 public:
  explicit RandomPacket(ProgramMaker& maker)
      : bytes_(maker.below(72)), metadata_(some_metadata(maker)), beyond_(maker.below(9)), known_(maker.below(2) == 0) {
    for (std::uint8_t& byte : bytes_)
      byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
  }
  packet::Packet view() const {
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    return {bytes_.data(), size, size + beyond_, known_ ? &metadata_ : nullptr};
  }

 private:
  std::vector<std::uint8_t> bytes_;
  packet::Metadata metadata_;
  std::uint32_t beyond_;
  bool known_;
};

// Ethernet every other time, whose layouts are the most.
inline packet::LinkType some_link_type(std::mt19937& random) {
  const auto types = packet::link_types();
  return random() % 2 == 0 ? packet::LinkType::kEthernet : types[random() % types.size()].type;
}

// Calls `check` with packets steered down the program's paths, whole and cut at a few places, until it returns false.
template <typename Check>
void for_steered_packets(const cbpf::Program& program, std::mt19937& random, Check check) {
  constexpr std::uint32_t kLength = 200;
  const reference::SteerOptions steering{.length = kLength, .rounds = 3, .turns = 10};
  for (const reference::Bytes& bytes : reference::steer(program.instructions(), random, steering).packets) {
    std::uint32_t length = kLength;
    for (int cut = 0; cut < 4; ++cut, length = static_cast<std::uint32_t>(random() % 100))
      if (!check(packet::Packet{bytes.data(), length, kLength, nullptr})) return;
  }
}

}  // namespace weir::tests
