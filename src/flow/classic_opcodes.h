// Which classic opcode computes an operation of the graph; both emitters ask here.
#pragma once

#include <cstdint>

#include <weir/cbpf/instruction.h>
#include <weir/flow/graph.h>

namespace weir::flow {

// A graph's load address as the operand of a classic absolute load. Offsets relative to the network or link-layer
// header keep their meaning, which only a kernel knows. Other high offsets would mean something else to the classic
// machine (extensions); as a graph's addresses they lie beyond every packet.
std::uint32_t absolute_offset(std::uint32_t address);

cbpf::Opcode load_opcode(std::uint8_t size, bool indirect);   // size: 1, 2 or 4
cbpf::Opcode alu_opcode(Op op, bool index);                   // index: with X, else with a constant
cbpf::Instruction alu_with_constant(Op op, std::uint32_t k);  // a sum with -c is written as a difference with c
bool is_commutative(Op op);

}  // namespace weir::flow
