// A classic machine that remembers where values came from. Exports run and turn.
#include "reference/tracing_machine.h"

namespace weir::reference {
namespace {

struct Word {
  std::uint32_t value = 0;
  std::uint32_t address = 0;
  std::uint32_t size = 0;  // 0: not straight from the packet
  std::uint32_t mask = 0xffffffff;
};

class Machine {
 public:
  Machine(std::span<const cbpf::Instruction> program, const packet::Packet& packet)
      : program_(program), packet_(packet) {}

  Trace run() {
    for (std::uint32_t steps = 0; steps < kStepLimit && pc_ < program_.size(); ++steps) {
      const cbpf::Instruction& instruction = program_[pc_];
      if ((instruction.code & 7) == 6) {
        trace_.verdict = instruction.code & 0x10 ? a_.value : instruction.k;
        return trace_;
      }
      if (!step(instruction)) {
        trace_.left_outside = true;
        return trace_;
      }
      ++pc_;
    }
    return trace_;
  }

 private:
  std::optional<std::uint32_t> extension(std::uint32_t k) const {
    static const packet::Metadata kNone;
    const packet::Metadata& known = packet_.metadata != nullptr ? *packet_.metadata : kNone;
    switch (static_cast<cbpf::Extension>(k - cbpf::kExtensionBase)) {
      case cbpf::Extension::kType: return known.type;
      case cbpf::Extension::kInterfaceIndex: return known.interface_index;
      case cbpf::Extension::kVlanPresent: return known.vlan_present;
      case cbpf::Extension::kVlanTci: return known.vlan_tci;
      default: return std::nullopt;
    }
  }

  bool load(Word& into, std::uint32_t address, std::uint32_t size) {
    if (address >= packet_.length || size > packet_.length - address) return false;
    into = {0, address, size, 0xffffffff};
    for (std::uint32_t i = 0; i < size; ++i) into.value = into.value << 8 | packet_.data[address + i];
    return true;
  }

  bool load(const cbpf::Instruction& instruction) {
    const bool to_x = (instruction.code & 7) == 1;
    Word& into = to_x ? x_ : a_;
    const std::uint32_t size = (instruction.code & 0x18) == 0x10 ? 1 : (instruction.code & 0x18) == 0x08 ? 2 : 4;
    switch (instruction.code & 0xe0) {
      case 0x00: into = {instruction.k}; return true;
      case 0x20:
        if (const auto value = extension(instruction.k)) {
          into = {*value};
          return true;
        }
        return load(into, instruction.k, size);
      case 0x40: return load(into, x_.value + instruction.k, size);
      case 0x60: into = scratch_[instruction.k & 15]; return true;
      case 0x80: into = {packet_.wire_length}; return true;
      case 0xa0: {
        Word byte;
        if (!load(byte, instruction.k, 1)) return false;
        into = {(byte.value & 0xf) * 4};
        return true;
      }
      default: return false;
    }
  }

  bool arithmetic(const cbpf::Instruction& instruction) {
    const std::uint32_t operand = instruction.code & 8 ? x_.value : instruction.k;
    const std::uint32_t a = a_.value;
    const Word before = a_;
    switch (instruction.code & 0xf0) {
      case 0x00:
        if (operand != 0) a_ = {a + operand};
        break;
      case 0x10: a_ = {a - operand}; break;
      case 0x20: a_ = {a * operand}; break;
      case 0x30:
        if (operand == 0) return false;
        a_ = {a / operand};
        break;
      case 0x40: a_ = {a | operand}; break;
      case 0x50:
        a_ = before;
        a_.value = a & operand;
        a_.mask &= operand;
        break;
      case 0x60: a_ = {a << (operand & 31)}; break;
      case 0x70: a_ = {a >> (operand & 31)}; break;
      case 0x80: a_ = {0u - a}; break;
      case 0x90:
        if (operand == 0) return false;
        a_ = {a % operand};
        break;
      case 0xa0: a_ = {a ^ operand}; break;
      default: return false;
    }
    return true;
  }

  void branch(const cbpf::Instruction& instruction) {
    const std::uint16_t kind = instruction.code & 0xf0;
    if (kind == 0) {
      pc_ += instruction.k;
      return;
    }
    const std::uint32_t operand = instruction.code & 8 ? x_.value : instruction.k;
    const std::uint32_t a = a_.value;
    const bool taken = kind == 0x10   ? a == operand
                       : kind == 0x20 ? a > operand
                       : kind == 0x30 ? a >= operand
                                      : (a & operand) != 0;
    trace_.edges.push_back(2 * pc_ + (taken ? 1 : 0));
    const bool x_loaded = (instruction.code & 8) != 0 && x_.size != 0;
    if (a_.size != 0 && !x_loaded)
      trace_.decisions.push_back({pc_, a_.address, a_.size, a_.mask, kind, operand, taken});
    else if (a_.size == 0 && x_loaded && kind == 0x10)
      trace_.decisions.push_back({pc_, x_.address, x_.size, x_.mask, kind, a, taken});
    pc_ += taken ? instruction.jt : instruction.jf;
  }

  bool step(const cbpf::Instruction& instruction) {
    switch (instruction.code & 7) {
      case 0:
      case 1: return load(instruction);
      case 2: scratch_[instruction.k & 15] = a_; return true;
      case 3: scratch_[instruction.k & 15] = x_; return true;
      case 4: return arithmetic(instruction);
      case 5: branch(instruction); return true;
      default:
        if (instruction.code & 0x80) a_ = x_;
        else x_ = a_;
        return true;
    }
  }

  std::span<const cbpf::Instruction> program_;
  packet::Packet packet_;
  std::uint32_t pc_ = 0;
  Word a_{}, x_{}, scratch_[16]{};
  Trace trace_{};
};

}  // namespace

Trace run(std::span<const cbpf::Instruction> program, const packet::Packet& packet) {
  return Machine(program, packet).run();
}

bool turn(const Decision& decision, std::vector<std::uint8_t>& packet) {
  if (decision.address >= packet.size() || decision.size > packet.size() - decision.address) return false;
  const std::uint32_t widest = decision.size == 4 ? 0xffffffff : (1u << 8 * decision.size) - 1;
  std::uint32_t old = 0;
  for (std::uint32_t i = 0; i < decision.size; ++i) old = old << 8 | packet[decision.address + i];
  const std::uint32_t mask = decision.mask & widest;
  std::uint32_t wanted = old & mask;
  switch (decision.code) {
    case 0x10: wanted = decision.taken ? decision.operand ^ (mask & (~mask + 1)) : decision.operand; break;
    case 0x20: wanted = decision.taken ? decision.operand : decision.operand + 1; break;
    case 0x30: wanted = decision.taken ? decision.operand - 1 : decision.operand; break;
    default:
      wanted = decision.taken ? wanted & ~decision.operand : wanted | (decision.operand & (~decision.operand + 1));
      break;
  }
  const std::uint32_t value = (old & ~mask) | (wanted & mask);
  if (value == old) return false;
  for (std::uint32_t i = 0; i < decision.size; ++i)
    packet[decision.address + i] = static_cast<std::uint8_t>(value >> 8 * (decision.size - 1 - i));
  return true;
}

}  // namespace weir::reference
