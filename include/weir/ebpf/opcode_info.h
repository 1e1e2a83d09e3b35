// The opcode table as data: for assemblers, disassemblers, the checker, the verifier and engines.
//
// One code byte can mean several operations: 0x37 divides without or with sign by its offset field, 0xdb holds all
// atomics. Operation is what an instruction does, one value a row of opcodes.def. Thread-safe: constant data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <weir/base/error.h>
#include <weir/ebpf/instruction.h>

namespace weir::ebpf {

enum class Operation : std::uint8_t {
#define WEIR_EBPF_OPCODE(name, code, field, value, width, shape, mnemonic, sign, version) name,
#include <weir/ebpf/opcodes.def>
#undef WEIR_EBPF_OPCODE
};

enum class Selector : std::uint8_t { kNone, kOffset, kImmediate, kSource };

enum class OperandShape : std::uint8_t {  // kernel's syntax; fields used beside the code
  kAluConstant,                           // r1 += 5                              dst immediate
  kAluRegister,                           // r1 += r2                             dst src
  kNegate,                                // r1 = -r1                             dst
  kSignExtend,                            // r1 = (s8)r2                          dst src
  kByteOrder,                             // r1 = be16 r1                         dst
  kJump,                                  // goto +5                              offset
  kJumpLong,                              // gotol +5                             immediate
  kBranchConstant,                        // if r1 == 5 goto +5                   dst immediate offset
  kBranchRegister,                        // if r1 == r2 goto +5                  dst src offset
  kCallHelper,                            // call bpf_map_lookup_elem             immediate
  kCallLocal,                             // call pc+5                            immediate
  kCallKernel,                            // call kernel[7]                       immediate offset
  kCallRegister,                          // callx r1                             dst
  kNone,                                  // exit
  kWideConstant,                          // r1 = 5 ll                            dst immediate, next immediate
  kWideMap,                               // r1 = map[fd:5], map[fd:5][0]+8       dst immediate, next immediate
  kWideVariable,                          // r1 = var[id:5]                       dst immediate, next immediate
  kWideFunction,                          // r1 = subprog[+5]                     dst immediate
  kPacketAbsolute,                        // r0 = *(u16 *)skb[12]                 immediate
  kPacketIndirect,                        // r0 = *(u16 *)skb[r2 + 12]            src immediate
  kLoad,                                  // r1 = *(u32 *)(r2 + 4)                dst src offset
  kStoreConstant,                         // *(u32 *)(r1 + 4) = 5                 dst offset immediate
  kStoreRegister,                         // *(u32 *)(r1 + 4) = r2                dst src offset
  kAtomic,                                // lock *(u64 *)(r1 + 4) += r2          dst src offset
  kAtomicFetch,                           // r2 = atomic_fetch_add((u64 *)(r1 + 4), r2)
  kAtomicCompare,                         // r0 = cmpxchg_64(r1 + 4, r0, r2)
  kLoadAcquire,                           // r1 = load_acquire((u32 *)(r2 + 4))   dst src offset
  kStoreRelease,                          // store_release((u32 *)(r1 + 4), r2)   dst src offset
  kMayJump,                               // may_goto +5                          offset
  kAddressSpace,                          // r1 = addr_space_cast(r2, 0, 1)       dst src immediate
};

struct OpcodeInfo {
  Operation operation;
  std::string_view name;  // "kAdd64K"
  std::uint8_t code;
  Selector selector;
  std::int32_t selected;  // the value of the selecting field
  std::uint8_t width;     // bytes
  OperandShape shape;
  std::string_view mnemonic;
  std::string_view sign;
  std::uint8_t version;
};

std::span<const OpcodeInfo> opcodes();
const OpcodeInfo& info(Operation operation);

// The row that the instruction's code and selecting field name; null when there is none. Other fields, which must be 0
// where the shape does not use them, are not looked at: see decode().
const OpcodeInfo* find(const Instruction& instruction);

// The row, when the whole slot is an instruction as RFC 9669 has it: registers exist and unused fields are 0.
// Otherwise what is wrong with it. The second slot of a 64-bit constant is no instruction.
Result<const OpcodeInfo*> decode(const Instruction& instruction);

// An instruction with the code and the selecting field of the operation, all else 0.
Instruction make(Operation operation);

// What tells branches, and where they go.
constexpr bool is_branch(OperandShape shape) {
  return shape == OperandShape::kBranchConstant || shape == OperandShape::kBranchRegister ||
         shape == OperandShape::kMayJump;
}
// What means something in kernels alone: a loop that ends by the kernel's own count, addresses of an arena.
constexpr bool is_for_kernels(OperandShape shape) {
  return shape == OperandShape::kMayJump || shape == OperandShape::kAddressSpace;
}
constexpr bool is_wide(OperandShape shape) {
  return shape == OperandShape::kWideConstant || shape == OperandShape::kWideMap ||
         shape == OperandShape::kWideVariable || shape == OperandShape::kWideFunction;
}

}  // namespace weir::ebpf
