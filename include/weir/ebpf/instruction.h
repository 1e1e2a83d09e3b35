// One extended BPF instruction, exactly as the kernel takes it, and its parts as names.
//
// The machine: ten 64-bit registers r0..r9, a read-only frame pointer r10, a stack of 512 bytes a function, memory by
// address. An instruction is a slot of 8 bytes; a 64-bit constant takes two slots. Source: RFC 9669; <linux/bpf.h>,
// struct bpf_insn. What a slot does is told by Operation, a row of opcodes.def; see opcode_info.h.
// Value types.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace weir::ebpf {

enum class Register : std::uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7, kR8, kR9, kR10, kFramePointer = kR10 };
inline constexpr unsigned kRegisters = 11;

// The source field of a 64-bit constant that tells what it means (opcodes.def, kLoad...), and of a call.
inline constexpr std::uint8_t kPseudoMapDescriptor = 1;
inline constexpr std::uint8_t kPseudoMapValue = 2;
inline constexpr std::uint8_t kPseudoVariable = 3;
inline constexpr std::uint8_t kPseudoFunction = 4;
inline constexpr std::uint8_t kPseudoMapIndex = 5;
inline constexpr std::uint8_t kPseudoMapIndexValue = 6;
inline constexpr std::uint8_t kPseudoCall = 1;
inline constexpr std::uint8_t kPseudoKernelCall = 2;

// The parts of an opcode, for whoever builds one from its bits.
enum class Class : std::uint8_t { kLd, kLdx, kSt, kStx, kAlu, kJmp, kJmp32, kAlu64 };
enum class Width : std::uint8_t { kWord = 0x00, kHalf = 0x08, kByte = 0x10, kDouble = 0x18 };
enum class Mode : std::uint8_t {
  kImmediate = 0x00,
  kAbsolute = 0x20,
  kIndirect = 0x40,
  kMemory = 0x60,
  kMemorySigned = 0x80,  // v4
  kLength = 0x80,        // classic only: the packet's length; extended code has given the number to signed loads
  kHeaderLength = 0xa0,  // classic only: 4 * ([k] & 0xf)
  kAtomic = 0xc0,
};
enum class SourceOperand : std::uint8_t { kConstant = 0x00, kRegister = 0x08 };  // K and X
enum class AluOperation : std::uint8_t {
  kAdd = 0x00,
  kSub = 0x10,
  kMul = 0x20,
  kDiv = 0x30,
  kOr = 0x40,
  kAnd = 0x50,
  kLsh = 0x60,
  kRsh = 0x70,
  kNeg = 0x80,
  kMod = 0x90,
  kXor = 0xa0,
  kMov = 0xb0,
  kArsh = 0xc0,
  kEnd = 0xd0,
};
enum class Condition : std::uint8_t {
  kAlways = 0x00,
  kEqual = 0x10,
  kGreater = 0x20,
  kGreaterOrEqual = 0x30,
  kSet = 0x40,
  kNotEqual = 0x50,
  kSignedGreater = 0x60,
  kSignedGreaterOrEqual = 0x70,
  kCall = 0x80,
  kExit = 0x90,
  kLess = 0xa0,
  kLessOrEqual = 0xb0,
  kSignedLess = 0xc0,
  kSignedLessOrEqual = 0xd0,
};
enum class AtomicOperation : std::uint8_t {
  kAdd = 0x00,
  kOr = 0x40,
  kAnd = 0x50,
  kXor = 0xa0,
  kFetchAdd = 0x01,
  kFetchOr = 0x41,
  kFetchAnd = 0x51,
  kFetchXor = 0xa1,
  kExchange = 0xe1,
  kCompareExchange = 0xf1,
};

struct Instruction {
  std::uint8_t code = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  std::uint8_t src : 4 = 0;
  std::uint8_t dst : 4 = 0;
#else
  std::uint8_t dst : 4 = 0;
  std::uint8_t src : 4 = 0;
#endif
  std::int16_t offset = 0;
  std::int32_t immediate = 0;

  friend bool operator==(const Instruction&, const Instruction&) = default;
};
static_assert(sizeof(Instruction) == 8 && std::is_trivially_copyable_v<Instruction>);  // as struct bpf_insn

constexpr Instruction make(std::uint8_t code, unsigned dst = 0, unsigned src = 0, std::int32_t offset = 0,
                           std::int32_t immediate = 0) {
  Instruction out;
  out.code = code;
  out.dst = dst & 15;
  out.src = src & 15;
  out.offset = static_cast<std::int16_t>(offset);
  out.immediate = immediate;
  return out;
}

inline constexpr std::uint8_t kWideCode = 0x18;        // the first slot of a 64-bit constant
inline constexpr std::uint32_t kMaximumLength = 4096;  // BPF_MAXINSNS: what unprivileged users may load
inline constexpr std::uint32_t kUserMaximumLength = 1u << 20;
inline constexpr std::uint32_t kStackSize = 512;        // bytes a function
inline constexpr std::uint32_t kMaximumCallDepth = 8;   // functions that may be active at a time
inline constexpr std::uint32_t kMaximumTailCalls = 33;  // MAX_TAIL_CALL_CNT

}  // namespace weir::ebpf
