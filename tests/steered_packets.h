// Packets that reach deep into a program: random bytes into which the constants that the program compares with are
// planted where it loads them, whole and cut short.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>

namespace weir::tests {

class PacketSteerer {
 public:
  PacketSteerer(const cbpf::Program& program, std::uint32_t seed) : random_(seed) {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    for (const cbpf::Instruction& i : program) {
      const cbpf::OpcodeInfo* info = cbpf::find(i.code);
      if (info == nullptr) continue;
      const std::uint32_t width = (i.code & 0x18) == 0x10 ? 1 : (i.code & 0x18) == 0x08 ? 2 : 4;
      if (info->shape == cbpf::OperandShape::kAbsolute) offset = i.k, size = width;
      if (info->shape == cbpf::OperandShape::kIndirect) offset = i.k + 20, size = width;
      if (info->shape == cbpf::OperandShape::kHeaderLength) headers_.push_back(i.k);
      if (info->shape == cbpf::OperandShape::kBranchConstant && size != 0 && offset < 400)
        plants_.push_back({offset, size, i.k});
      if (info->opcode == cbpf::Opcode::kLdImmediate) constants_.push_back(i.k);
    }
  }

  std::vector<std::uint8_t> next() {
    std::vector<std::uint8_t> packet(below(4) == 0 ? below(64) : 40 + below(160));
    const bool sparse = below(2) == 0;
    for (std::uint8_t& byte : packet) byte = static_cast<std::uint8_t>(sparse && below(4) != 0 ? 0 : random_());
    for (const std::uint32_t at : headers_)
      if (at < packet.size() && below(8) != 0) packet[at] = below(4) == 0 ? 0x46 : 0x45;
    const std::uint32_t rate = 1 + below(4);
    for (std::size_t n = 0; n < plants_.size(); ++n) {
      if (below(4) >= rate) continue;
      const Plant& plant = plants_[below(8) == 0 ? below(static_cast<std::uint32_t>(plants_.size())) : n];
      const std::uint32_t drift = below(6) == 0 ? below(3) - 1 : 0;
      const std::uint32_t value = plant.value + drift;
      for (std::uint32_t b = 0; b < plant.size; ++b)
        if (plant.offset + b < packet.size())
          packet[plant.offset + b] = static_cast<std::uint8_t>(value >> 8 * (plant.size - 1 - b));
    }
    if (below(3) == 0 && !packet.empty()) packet.resize(below(static_cast<std::uint32_t>(packet.size()) + 1));
    return packet;
  }

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

 private:
  struct Plant {
    std::uint32_t offset, size, value;
  };
  std::mt19937 random_;
  std::vector<Plant> plants_;
  std::vector<std::uint32_t> headers_;
  std::vector<std::uint32_t> constants_;
};

}  // namespace weir::tests
