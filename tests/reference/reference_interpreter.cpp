// The naive reference. Source: net/core/filter.c, ___bpf_prog_run of older kernels,
// Documentation/networking/filter.rst.
#include "reference/reference_interpreter.h"

#include <cstdio>
#include <cstdlib>

#include <weir/cbpf/opcode_info.h>

namespace weir::reference {
namespace {

using cbpf::Opcode;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "reference interpreter: %s\n", what);
  std::abort();
}

struct Machine {
  const packet::Packet& packet;
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  std::uint32_t scratch[16] = {};
  bool outside = false;

  std::uint32_t& word(std::uint32_t k) {
    if (k >= 16) broken("scratch word out of range");
    return scratch[k];
  }

  std::uint32_t load(std::uint32_t offset, std::uint32_t size) {
    std::uint32_t value = 0;
    for (std::uint32_t i = 0; i < size; ++i) {
      const std::uint64_t at = std::uint64_t{offset} + i;
      if (at >= packet.length) {
        outside = true;
        return 0;
      }
      value = value << 8 | packet.data[at];
    }
    return value;
  }

  std::uint32_t extension(std::uint32_t number) {
    static const packet::Metadata kNone{};
    const packet::Metadata& m = packet.metadata != nullptr ? *packet.metadata : kNone;
    switch (number) {
      case 0: return m.protocol;
      case 4: return m.type;
      case 8: return m.interface_index;
      case 20: return m.mark;
      case 24: return m.queue;
      case 28: return m.hardware_type;
      case 32: return m.receive_hash;
      case 36: return m.cpu;
      case 40: return a ^ x;
      case 44: return m.vlan_tci;
      case 48: return m.vlan_present;
      case 60: return m.vlan_protocol;
      default: return 0;
    }
  }

  std::uint32_t absolute(std::uint32_t k, std::uint32_t size) {
    if (k >= 0xfffff000) return extension(k - 0xfffff000);
    return load(k, size);
  }

  std::uint32_t divide(std::uint32_t by, bool remainder) {
    if (by == 0) {
      outside = true;
      return 0;
    }
    return remainder ? a % by : a / by;
  }
};

}  // namespace

Outcome run(const cbpf::Program& program, const packet::Packet& packet) {
  Machine m{packet};
  std::uint64_t pc = 0;
  for (std::uint32_t executed = 1;; ++executed) {
    if (pc >= program.size()) broken("ran off the end of the program");
    const cbpf::Instruction& i = program[pc++];
    const std::uint32_t k = i.k;
    const auto jump = [&](bool condition) { pc += condition ? i.jt : i.jf; };
    switch (i.opcode()) {
      case Opcode::kLdImmediate: m.a = k; break;
      case Opcode::kLdWordAbsolute: m.a = m.absolute(k, 4); break;
      case Opcode::kLdHalfAbsolute: m.a = m.absolute(k, 2); break;
      case Opcode::kLdByteAbsolute: m.a = m.absolute(k, 1); break;
      case Opcode::kLdWordIndirect: m.a = m.load(m.x + k, 4); break;
      case Opcode::kLdHalfIndirect: m.a = m.load(m.x + k, 2); break;
      case Opcode::kLdByteIndirect: m.a = m.load(m.x + k, 1); break;
      case Opcode::kLdScratch: m.a = m.word(k); break;
      case Opcode::kLdLength: m.a = packet.wire_length; break;
      case Opcode::kLdxImmediate: m.x = k; break;
      case Opcode::kLdxScratch: m.x = m.word(k); break;
      case Opcode::kLdxLength: m.x = packet.wire_length; break;
      case Opcode::kLdxHeaderLength: m.x = (m.load(k, 1) & 0xf) * 4; break;
      case Opcode::kSt: m.word(k) = m.a; break;
      case Opcode::kStx: m.word(k) = m.x; break;
      case Opcode::kAddK: m.a += k; break;
      case Opcode::kAddX: m.a += m.x; break;
      case Opcode::kSubK: m.a -= k; break;
      case Opcode::kSubX: m.a -= m.x; break;
      case Opcode::kMulK: m.a *= k; break;
      case Opcode::kMulX: m.a *= m.x; break;
      case Opcode::kDivK: m.a = m.divide(k, false); break;
      case Opcode::kDivX: m.a = m.divide(m.x, false); break;
      case Opcode::kModK: m.a = m.divide(k, true); break;
      case Opcode::kModX: m.a = m.divide(m.x, true); break;
      case Opcode::kOrK: m.a |= k; break;
      case Opcode::kOrX: m.a |= m.x; break;
      case Opcode::kAndK: m.a &= k; break;
      case Opcode::kAndX: m.a &= m.x; break;
      case Opcode::kXorK: m.a ^= k; break;
      case Opcode::kXorX: m.a ^= m.x; break;
      case Opcode::kLshK: m.a <<= k & 31; break;
      case Opcode::kLshX: m.a <<= m.x & 31; break;
      case Opcode::kRshK: m.a >>= k & 31; break;
      case Opcode::kRshX: m.a >>= m.x & 31; break;
      case Opcode::kNeg: m.a = 0u - m.a; break;
      case Opcode::kJa: pc += k; break;
      case Opcode::kJeqK: jump(m.a == k); break;
      case Opcode::kJeqX: jump(m.a == m.x); break;
      case Opcode::kJgtK: jump(m.a > k); break;
      case Opcode::kJgtX: jump(m.a > m.x); break;
      case Opcode::kJgeK: jump(m.a >= k); break;
      case Opcode::kJgeX: jump(m.a >= m.x); break;
      case Opcode::kJsetK: jump((m.a & k) != 0); break;
      case Opcode::kJsetX: jump((m.a & m.x) != 0); break;
      case Opcode::kRetK: return {k, false, executed};
      case Opcode::kRetA: return {m.a, false, executed};
      case Opcode::kTax: m.x = m.a; break;
      case Opcode::kTxa: m.a = m.x; break;
      default: broken("unknown opcode");
    }
    if (m.outside) return {0, true, executed};
  }
}

}  // namespace weir::reference
