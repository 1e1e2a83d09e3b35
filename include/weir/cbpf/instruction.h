// One classic BPF instruction, exactly as the kernel takes it.
//
// The machine: accumulator A, index X, sixteen scratch words M[0..15], all 32 bits; a read-only packet. Source:
// <linux/filter.h>, struct sock_filter. The opcode table is opcodes.def; Opcode names its rows.
// A value type.
#pragma once

#include <cstdint>
#include <type_traits>

namespace weir::cbpf {

enum class Opcode : std::uint16_t {
#define WEIR_CBPF_OPCODE(name, code, mnemonic, shape, reads, writes, seccomp) name = code,
#include <weir/cbpf/opcodes.def>
#undef WEIR_CBPF_OPCODE
};

struct Instruction {
  std::uint16_t code = 0;  // any value: only check() promises that it is an Opcode
  std::uint8_t jt = 0;     // conditional jumps: instructions skipped when true
  std::uint8_t jf = 0;     // conditional jumps: instructions skipped when false
  std::uint32_t k = 0;     // constant, offset, scratch index or jump distance

  Opcode opcode() const { return static_cast<Opcode>(code); }
  friend bool operator==(const Instruction&, const Instruction&) = default;
};
static_assert(sizeof(Instruction) == 8 && std::is_trivially_copyable_v<Instruction>);  // as struct sock_filter

constexpr Instruction make(Opcode opcode, std::uint32_t k = 0) { return {static_cast<std::uint16_t>(opcode), 0, 0, k}; }
constexpr Instruction make_jump(Opcode opcode, std::uint32_t k, std::uint8_t jt, std::uint8_t jf) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

inline constexpr std::uint32_t kScratchWords = 16;
inline constexpr std::uint32_t kMaximumLength = 4096;  // BPF_MAXINSNS

// Extension loads: an absolute load at kExtensionBase + an Extension reads what the kernel knows of the packet.
inline constexpr std::uint32_t kExtensionBase = 0xfffff000;    // SKF_AD_OFF
inline constexpr std::uint32_t kNetworkOffset = 0xfff00000;    // SKF_NET_OFF: relative to the network header
inline constexpr std::uint32_t kLinkLayerOffset = 0xffe00000;  // SKF_LL_OFF: relative to the link-layer header
enum class Extension : std::uint32_t {
#define WEIR_CBPF_EXTENSION(name, number, text) name = number,
#include <weir/cbpf/extensions.def>
#undef WEIR_CBPF_EXTENSION
};

}  // namespace weir::cbpf
