// AArch64 code for one packet. Exports A64Body.
//
// Blocks are emitted in preorder of the dominator tree; a value lives in a virtual register from where it is computed
// on, in all that its block dominates, and the register allocator does the rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <asmjit/arm/a64compiler.h>

#include "engine/plan.h"
#include "engine/set_table.h"

namespace weir::engine {

struct A64Packet {
  asmjit::a64::Gp data;
  asmjit::a64::Gp length;       // 64 bits wide, so that ends of loads do not wrap
  asmjit::a64::Gp wire_length;  // 32 bits
  asmjit::a64::Gp metadata;     // packet::Metadata, or null
  asmjit::a64::Gp verdict;      // set before going to `next`
  asmjit::Label next;
};

class A64Body {
 public:
  A64Body(asmjit::a64::Compiler& compiler, const Plan& plan, std::span<const SetTable> tables);

  void emit(const A64Packet& packet);
  // After the function: constants and tables, addressed from the code.
  void embed_data();

  static bool takes(const Plan& plan);

 private:
  using Gp = asmjit::a64::Gp;
  using CondCode = asmjit::a64::CondCode;

  void emit_block(PlanBlockId id);
  void emit_edge(const PlanEdge& edge);
  void guard(NodeId id);
  void reject();
  void move_constant(const Gp& to, std::uint32_t value);
  Gp constant(std::uint32_t value);
  Gp value(NodeId id);
  Gp compute(NodeId id);
  Gp compute_load(const Node& node);
  Gp compute_extension(const Node& node);
  Gp compute_binary(const Node& node);
  CondCode test(const PlanBlock& block);
  CondCode contains(const SetTable& set, std::uint32_t number, const Gp& value);
  Gp table(std::uint32_t number);
  Gp word_at(const Gp& table, const Gp& index, std::uint32_t words_further);

  asmjit::a64::Compiler& c_;
  const Plan& plan_;
  std::span<const SetTable> tables_;
  A64Packet packet_{};
  std::vector<asmjit::Label> labels_;
  std::vector<asmjit::Label> table_labels_;
  std::vector<Gp> phis_;
  std::vector<Gp> cached_;
  std::vector<NodeId> taken_;
};

}  // namespace weir::engine
