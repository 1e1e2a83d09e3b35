// The classic machine, one instruction at a time. Exports execute, finish, extension_value.
//
// Written for clarity and shared with no engine, so that a test can hold both against each other.
#include <weir/debug/machine.h>

#include <weir/cbpf/opcode_info.h>

#include "engine/extension_load.h"

namespace weir::debug {
namespace {

using cbpf::Opcode;

class Executor {
 public:
  Executor(const packet::Packet& packet, const Surroundings& surroundings, const State& before,
           const cbpf::Instruction& instruction)
      : packet_(packet), surroundings_(surroundings), i_(instruction), step_{before, {}}, s_(step_.state) {}

  Step run() {
    const std::uint32_t at = s_.pc++;
    perform();
    if (s_.ending != Ending::kRunning) s_.pc = at;
    return step_;
  }

 private:
  void end(Ending ending, std::uint32_t verdict) {
    s_.ending = ending;
    s_.verdict = verdict;
  }

  // Big-endian bytes, or the end of the program. Sums of offsets wrap at 32 bits before they come here.
  void load(std::uint32_t& into, std::uint32_t offset, std::uint32_t size) {
    step_.effect.load = ByteRange{offset, size};
    if (std::uint64_t{offset} + size > packet_.length) return end(Ending::kOutsidePacket, 0);
    std::uint32_t value = 0;
    for (std::uint32_t n = 0; n < size; ++n) value = value << 8 | packet_.data[offset + n];
    into = value;
  }

  void load_absolute(std::uint32_t size) {
    const cbpf::ExtensionInfo* extension = cbpf::find_extension(i_.k);
    if (extension == nullptr) return load(s_.a, i_.k, size);
    step_.effect.extension = extension->extension;
    s_.a = extension_value(extension->extension, packet_, surroundings_, s_);
  }

  void load_header_length() {
    std::uint32_t byte = 0;
    load(byte, i_.k, 1);
    if (s_.ending == Ending::kRunning) s_.x = (byte & 0xf) * 4;
  }

  void store(std::uint32_t value) {
    s_.scratch[i_.k] = value;
    s_.written = static_cast<std::uint16_t>(s_.written | 1u << i_.k);
  }

  void divide(std::uint32_t by, bool remainder) {
    if (by == 0) return end(Ending::kDivisionByZero, 0);
    s_.a = remainder ? s_.a % by : s_.a / by;
  }

  void branch(bool condition) {
    step_.effect.taken = condition;
    s_.pc += condition ? i_.jt : i_.jf;
  }

  void perform() {
    const std::uint32_t k = i_.k;
    switch (i_.opcode()) {
      case Opcode::kLdImmediate: s_.a = k; return;
      case Opcode::kLdWordAbsolute: return load_absolute(4);
      case Opcode::kLdHalfAbsolute: return load_absolute(2);
      case Opcode::kLdByteAbsolute: return load_absolute(1);
      case Opcode::kLdWordIndirect: return load(s_.a, s_.x + k, 4);
      case Opcode::kLdHalfIndirect: return load(s_.a, s_.x + k, 2);
      case Opcode::kLdByteIndirect: return load(s_.a, s_.x + k, 1);
      case Opcode::kLdScratch: s_.a = s_.scratch[k]; return;
      case Opcode::kLdLength: s_.a = packet_.wire_length; return;
      case Opcode::kLdxImmediate: s_.x = k; return;
      case Opcode::kLdxScratch: s_.x = s_.scratch[k]; return;
      case Opcode::kLdxLength: s_.x = packet_.wire_length; return;
      case Opcode::kLdxHeaderLength: return load_header_length();
      case Opcode::kSt: return store(s_.a);
      case Opcode::kStx: return store(s_.x);
      case Opcode::kAddK: s_.a += k; return;
      case Opcode::kAddX: s_.a += s_.x; return;
      case Opcode::kSubK: s_.a -= k; return;
      case Opcode::kSubX: s_.a -= s_.x; return;
      case Opcode::kMulK: s_.a *= k; return;
      case Opcode::kMulX: s_.a *= s_.x; return;
      case Opcode::kDivK: return divide(k, false);
      case Opcode::kDivX: return divide(s_.x, false);
      case Opcode::kModK: return divide(k, true);
      case Opcode::kModX: return divide(s_.x, true);
      case Opcode::kOrK: s_.a |= k; return;
      case Opcode::kOrX: s_.a |= s_.x; return;
      case Opcode::kAndK: s_.a &= k; return;
      case Opcode::kAndX: s_.a &= s_.x; return;
      case Opcode::kXorK: s_.a ^= k; return;
      case Opcode::kXorX: s_.a ^= s_.x; return;
      case Opcode::kLshK: s_.a <<= k & 31; return;
      case Opcode::kLshX: s_.a <<= s_.x & 31; return;
      case Opcode::kRshK: s_.a >>= k & 31; return;
      case Opcode::kRshX: s_.a >>= s_.x & 31; return;
      case Opcode::kNeg: s_.a = 0u - s_.a; return;
      case Opcode::kJa: s_.pc += k; return;
      case Opcode::kJeqK: return branch(s_.a == k);
      case Opcode::kJeqX: return branch(s_.a == s_.x);
      case Opcode::kJgtK: return branch(s_.a > k);
      case Opcode::kJgtX: return branch(s_.a > s_.x);
      case Opcode::kJgeK: return branch(s_.a >= k);
      case Opcode::kJgeX: return branch(s_.a >= s_.x);
      case Opcode::kJsetK: return branch((s_.a & k) != 0);
      case Opcode::kJsetX: return branch((s_.a & s_.x) != 0);
      case Opcode::kRetK: return end(Ending::kReturned, k);
      case Opcode::kRetA: return end(Ending::kReturned, s_.a);
      case Opcode::kTax: s_.x = s_.a; return;
      case Opcode::kTxa: s_.a = s_.x; return;
    }
  }

  const packet::Packet& packet_;
  const Surroundings& surroundings_;
  const cbpf::Instruction& i_;
  Step step_;
  State& s_;
};

// A number that looks random and depends on its argument alone (the finaliser of MurmurHash3).
std::uint32_t scramble(std::uint32_t h) {
  h = (h ^ h >> 16) * 0x85ebca6b;
  h = (h ^ h >> 13) * 0xc2b2ae35;
  return h ^ h >> 16;
}

}  // namespace

std::uint32_t extension_value(cbpf::Extension extension, const packet::Packet& packet, const Surroundings& surroundings,
                              const State& state) {
  if (extension == cbpf::Extension::kXorX) return state.a ^ state.x;
  if (const auto set = surroundings.set.find(extension); set != surroundings.set.end()) return set->second;
  if (extension == cbpf::Extension::kRandom) return scramble(surroundings.random * 8191 + state.pc);
  return engine::load_extension(extension, packet, state.a, state.x);
}

Step execute(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings,
             const State& before) {
  return Executor(packet, surroundings, before, program.program()[before.pc]).run();
}

State finish(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings, State from) {
  while (from.ending == Ending::kRunning) from = execute(program, packet, surroundings, from).state;
  return from;
}

}  // namespace weir::debug
