// Random extended programs: any that the structural check takes, and those that the kernel's verifier takes.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/program.h>

namespace weir::tests {

// A program of arithmetic, memory on the stack and in a region, jumps forward and short loops, calls, atomics, maps.
class ExtendedProgramMaker {
 public:
  explicit ExtendedProgramMaker(std::uint64_t seed) : random_(seed) {}

  ebpf::Program next() {
    ebpf::Program program;
    program.maps = {{"a", ebpf::MapType::kArray, 4, 16, 2}};
    const std::size_t size = 6 + random_() % 40;
    for (unsigned reg = 0; reg < 10 && random_() % 4 != 0; ++reg)
      if (reg != 1) push(program, ebpf::Operation::kMov64K, reg, 0, 0, constant());
    while (program.size() < size) one(program, size);
    program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
    return program;
  }

  // What the kernel takes where its verifier can follow: every register is set first, memory is the stack, no loops.
  // From a packet of 64 bytes its stack is filled, so that its verifier knows nothing of what lies there: Linux 6.18
  // takes branches for certain that depend on what a fetching atomic found on the stack.
  ebpf::Program next_for_kernel(bool from_packet = true) {
    ebpf::Program program;
    using O = ebpf::Operation;
    if (from_packet) {
      push(program, O::kLoad32, 2, 1, 4, 0);
      push(program, O::kLoad32, 1, 1, 0, 0);
      push(program, O::kMov64X, 3, 1, 0, 0);
      push(program, O::kAdd64K, 3, 0, 0, 64);
      push(program, O::kJLe64X, 3, 2, 2, 0);
      push(program, O::kMov64K, 0, 0, 0, 0);
      program.instructions.push_back(ebpf::make(O::kExit));
      for (int i = 1; i <= 4; ++i) {
        push(program, O::kLoad64, 4, 1, 8 * i, 0);
        push(program, O::kStore64, 10, 4, -8 * i, 0);
      }
    }
    for (unsigned reg = 0; reg < 10; ++reg) {
      if (random_() % 3 == 0) {
        push(program, ebpf::Operation::kLoadConstant, reg, 0, 0, constant());
        program.instructions.push_back(ebpf::make(std::uint8_t{0}, 0, 0, 0, constant()));
      } else {
        push(program, ebpf::Operation::kMov64K, reg, 0, 0, constant());
      }
    }
    for (int i = 1; i <= 4 && !from_packet; ++i)
      push(program, O::kStore64, 10, static_cast<unsigned>(random_() % 10), -8 * i, 0);
    const std::size_t size = program.size() + 2 + random_() % 40;
    while (program.size() < size) one_for_kernel(program, size);
    program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
    return program;
  }

 private:
  unsigned reg() { return static_cast<unsigned>(random_() % 10); }
  std::int32_t constant() {
    constexpr std::int32_t kOften[] = {0, 1, -1, 2, 7, 31, 32, 63, 64, 255, 256, 65535, INT32_MAX, INT32_MIN, -2};
    return random_() % 2 == 0 ? kOften[random_() % std::size(kOften)] : static_cast<std::int32_t>(random_());
  }
  static void push(ebpf::Program& program, ebpf::Operation operation, unsigned dst, unsigned src, int offset,
                   std::int32_t k) {
    ebpf::Instruction slot = ebpf::make(operation);
    const ebpf::OpcodeInfo& row = ebpf::info(operation);
    slot.dst = dst & 15;
    if (row.selector != ebpf::Selector::kSource) slot.src = src & 15;
    if (row.selector != ebpf::Selector::kOffset) slot.offset = static_cast<std::int16_t>(offset);
    if (row.selector != ebpf::Selector::kImmediate) slot.immediate = k;
    program.instructions.push_back(slot);
  }
  void one(ebpf::Program& program, std::size_t size) {
    const ebpf::OpcodeInfo& row = ebpf::opcodes()[random_() % ebpf::opcodes().size()];
    using S = ebpf::OperandShape;
    const int stack = -8 * static_cast<int>(1 + random_() % 8);
    switch (row.shape) {
      case S::kAluConstant: return push(program, row.operation, reg(), 0, 0, constant());
      case S::kAluRegister:
      case S::kSignExtend: return push(program, row.operation, reg(), static_cast<unsigned>(random_() % 11), 0, 0);
      case S::kNegate:
      case S::kByteOrder: return push(program, row.operation, reg(), 0, 0, 0);
      case S::kJump:
      case S::kBranchConstant:
      case S::kBranchRegister: {
        const auto left = static_cast<int>(size - program.size());
        const int back = -static_cast<int>(random_() % (program.size() + 1));
        const int offset = random_() % 12 == 0 && row.shape != S::kJump
                               ? back
                               : static_cast<int>(random_() % static_cast<unsigned>(left));
        return push(program, row.operation, row.shape == S::kJump ? 0 : reg(),
                    row.shape == S::kBranchRegister ? reg() : 0, offset,
                    row.shape == S::kBranchConstant ? constant() : 0);
      }
      case S::kCallLocal:
        if (random_() % 4 != 0) return;
        return push(program, row.operation, 0, 0, 0, static_cast<std::int32_t>(random_() % (size - program.size())));
      case S::kCallHelper: {  // none that tells the time
        constexpr std::int32_t kHelpers[] = {8, 8, 7, 7, 1, 3, 6, 12, 42, 87, 182, 9999};
        return push(program, row.operation, 0, 0, 0, kHelpers[random_() % std::size(kHelpers)]);
      }
      case S::kWideConstant:
        push(program, row.operation, reg(), 0, 0, constant());
        program.instructions.push_back(ebpf::make(std::uint8_t{0}, 0, 0, 0, constant()));
        return;
      case S::kWideMap:
        if (row.operation != ebpf::Operation::kLoadMapValue) return;
        program.map_references.push_back({static_cast<std::uint32_t>(program.size()), 0});
        push(program, row.operation, reg(), 0, 0, 0);
        program.instructions.push_back(ebpf::Instruction{});
        return;
      case S::kPacketAbsolute: return push(program, row.operation, 0, 0, 0, static_cast<std::int32_t>(random_() % 70));
      case S::kPacketIndirect:
        return push(program, row.operation, 0, reg(), 0, static_cast<std::int32_t>(random_() % 70));
      case S::kLoad:
      case S::kLoadAcquire:
        return push(program, row.operation, reg(),
                    random_() % 3 == 0   ? reg()
                    : random_() % 2 == 0 ? 1
                                         : 10,
                    random_() % 4 == 0 ? constant() % 70 : stack + 64, 0),
               fix(program, stack);
      case S::kStoreConstant:
        return push(program, row.operation, random_() % 2 == 0 ? 1 : 10, 0, stack + 64, constant()),
               fix(program, stack);
      case S::kStoreRegister:
      case S::kStoreRelease:
      case S::kAtomic:
      case S::kAtomicFetch:
      case S::kAtomicCompare:
        return push(program, row.operation,
                    random_() % 8 == 0   ? reg()
                    : random_() % 2 == 0 ? 1
                                         : 10,
                    reg(), stack + 64, 0),
               fix(program, stack);
      default: return;
    }
  }
  void one_for_kernel(ebpf::Program& program, std::size_t size) {
    const ebpf::OpcodeInfo& row = ebpf::opcodes()[random_() % ebpf::opcodes().size()];
    using S = ebpf::OperandShape;
    const int place = -8 * static_cast<int>(1 + random_() % 4);
    const auto left = static_cast<unsigned>(size - program.size());
    switch (row.shape) {
      case S::kAluConstant: {
        std::int32_t k = constant();
        const unsigned operation = row.code & 0xf0u;
        if (operation == 0x60 || operation == 0x70 || operation == 0xc0) k &= row.width == 8 ? 63 : 31;
        if ((operation == 0x30 || operation == 0x90) && k == 0) k = 3;
        return push(program, row.operation, reg(), 0, 0, k);
      }
      case S::kAluRegister:
      case S::kSignExtend: return push(program, row.operation, reg(), reg(), 0, 0);
      case S::kNegate:
      case S::kByteOrder: return push(program, row.operation, reg(), 0, 0, 0);
      case S::kBranchConstant:
        return push(program, row.operation, reg(), 0, static_cast<int>(random_() % left), constant());
      case S::kBranchRegister: return push(program, row.operation, reg(), reg(), static_cast<int>(random_() % left), 0);
      case S::kLoad:
      case S::kLoadAcquire: return push(program, row.operation, reg(), 10, place, 0);
      case S::kStoreConstant: return push(program, row.operation, 10, 0, place, constant());
      case S::kStoreRegister:
      case S::kStoreRelease:
      case S::kAtomic:
      case S::kAtomicFetch:
      case S::kAtomicCompare:
        push(program, row.operation, 10, reg(), place, 0);
        // RFC 9669 has the upper half of r0 0 after a 32-bit cmpxchg, and so does this move; Linux 6.18 forgets it on
        // some paths (docs/semantics.md).
        if (row.shape == S::kAtomicCompare && row.width == 4) push(program, ebpf::Operation::kMov32X, 0, 0, 0, 0);
        return;
      default: return;
    }
  }
  // Accesses through r10 lie below it.
  static void fix(ebpf::Program& program, int stack) {
    ebpf::Instruction& slot = program.instructions.back();
    const bool load = (slot.code & 7) == 1 || ebpf::find(slot)->shape == ebpf::OperandShape::kLoadAcquire;
    if ((load ? slot.src : slot.dst) == 10) slot.offset = static_cast<std::int16_t>(stack);
  }

  std::mt19937_64 random_;
};

// Addresses differ from run to run where a program keeps them (of maps, of the stack): those results are not compared.
inline bool keeps_addresses(const ebpf::Program& program) {
  for (const ebpf::Instruction& slot : program.instructions) {
    if (slot.code == ebpf::kWideCode && slot.src != 0) return true;
    if ((slot.code & 7) >= 4 && (slot.code & 8) != 0 && slot.src == 10) return true;
    const ebpf::OpcodeInfo* const row = ebpf::find(slot);
    const bool loads = row != nullptr && row->shape == ebpf::OperandShape::kLoadAcquire;
    if ((slot.code & 7) == 3 && slot.src == 10 && !loads) return true;
    if (slot.code == 0x85 && slot.src == 1) return true;
  }
  return false;
}

}  // namespace weir::tests
