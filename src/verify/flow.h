// The control flow of a program, before any value is looked at. Exports Flow and find_flow.
//
// Refuses what the kernel refuses for its form alone: instructions that no path reaches, jumps out of a function, and
// functions that run into the next. Tells where paths join (states are kept there) and which registers each instruction
// still needs. Source: kernel/bpf/verifier.c, check_cfg and check_subprogs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/program.h>
#include <weir/runtime/helpers.h>

namespace weir::verify {

struct Flow {
  std::vector<const ebpf::OpcodeInfo*> rows{};  // of each slot; null for second halves
  std::vector<std::uint32_t> functions{};       // where each starts, in order
  std::vector<bool> joins{};                    // several paths, or a call, lead here
  std::vector<std::uint16_t> live{};            // registers that are read from here on before they are written
  // What is wrong, and where; empty when nothing is.
  struct Flaw {
    bool crosses = false;  // a function's bounds; else: unreachable
    std::uint32_t instruction = 0;
    std::uint32_t target = 0;
  };
  std::vector<Flaw> flaws{};
};

Flow find_flow(const ebpf::Program& program, const runtime::Helpers& helpers);

// The registers that an instruction reads and writes, a bit each.
struct RegisterUse {
  std::uint16_t reads = 0;
  std::uint16_t writes = 0;
};
RegisterUse register_use(const ebpf::OpcodeInfo& row, const ebpf::Instruction& instruction,
                         const runtime::Helpers& helpers);

}  // namespace weir::verify
