// Eight packets at once in AVX2 lanes: the body of the loop over groups of packets. Exports Avx2Body.
//
// Control becomes masks: a block has a mask of the lanes that reach it, and its test splits it between its successors.
// Blocks are run in preorder of the dominator tree; a subtree that costs much is jumped over when its mask is empty.
//
// All lanes' packets have at least `known_length` >= 20 bytes (groups with shorter ones go to scalar code). A gather
// reads four bytes; a field is read as the last bytes of its four, so that they all lie inside of the packet, and
// fields near each other share a gather. Where gathers are slow, sixteen bytes of each packet are loaded and transposed
// instead. Lanes that are not in the block's mask are not read at all where the address
// is not known to be inside.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <asmjit/x86.h>

#include "engine/plan.h"
#include "engine/plan_values.h"
#include "engine/set_table.h"

namespace weir::engine {

// What the code around the body has set up.
struct Avx2Group {
  asmjit::x86::Gp base;          // of the columns
  asmjit::x86::Gp wire_lengths;  // column
  asmjit::x86::Gp index;         // of the group's first packet
  asmjit::x86::Gp offset_column;
  asmjit::Label leave;  // hands the group over to scalar code
  asmjit::x86::Ymm offsets;
  asmjit::x86::Ymm lengths;
};

class Avx2Body {
 public:
  // known_length: at least kLeastLength, unless the plan has no loads.
  static constexpr std::uint32_t kLeastLength = 20;
  Avx2Body(asmjit::x86::Compiler& compiler, const Plan& plan, std::span<const SetTable> tables,
           std::uint32_t known_length, bool fast_gather);

  // Emits the group's code and returns the register of the eight verdicts.
  asmjit::x86::Ymm emit(const Avx2Group& group);
  // Binds a label where the code of each block begins that was made from instructions; call before emit().
  struct Mark {
    asmjit::Label at;
    Slice instructions;
  };
  void keep_marks() { keep_marks_ = true; }
  const std::vector<Mark>& marks() const { return marks_; }
  asmjit::Label constants() const { return constants_label_; }
  // After the function: the constants that its code refers to.
  void embed_constants();

  // Whether a plan can be run in lanes at all: no extension loads, and not too large for the register allocator.
  static bool takes(const Plan& plan);

 private:
  using Ymm = asmjit::x86::Ymm;
  using Mem = asmjit::x86::Mem;
  struct Mask {  // lanes where a test holds, or does not
    Ymm lanes;
    bool inverted = false;
  };

  // avx2_body.cpp
  void emit_tree(PlanBlockId root);
  void open_masks(PlanBlockId id);
  void emit_block(PlanBlockId id);
  void emit_edge(const PlanEdge& edge, const Ymm& mask);
  void guard(NodeId id, const Ymm& mask);
  void split(const PlanBlock& block, const Mask& test, const Ymm& mask);
  Ymm and_mask(const Mask& test, bool wanted, const Ymm& mask);
  std::uint32_t subtree_gathers(PlanBlockId id) const;

  // avx2_values.cpp
  Mem constant(std::uint32_t value);  // eight times
  Mem bytes(const std::uint8_t (&sixteen)[16]);
  Ymm all_lanes();
  Ymm value(NodeId id, const Ymm& mask);
  Ymm compute(NodeId id, const Ymm& mask);
  Ymm compute_load(NodeId id, const Ymm& mask);
  Ymm load_at_varying_address(const Node& node, const Ymm& mask);
  Ymm window(std::uint32_t number);
  void load_row(std::uint32_t number);
  void open_varying(std::uint32_t number, const Ymm& mask);
  Ymm extract(const Ymm& four_bytes, std::uint32_t at, std::uint32_t size);
  Ymm compute_binary(const Node& node, const Ymm& mask);
  Ymm divide(const Ymm& a, const Ymm& b);
  Ymm gather(const asmjit::x86::Gp& base, const Ymm& index, std::uint32_t scale_log, std::int32_t displacement,
             const Ymm& mask);
  void plan_windows();
  void plan_varying_windows();

  // avx2_tests.cpp
  Mask test(const PlanBlock& block, const Ymm& mask);
  Mask contains(const SetTable& set, const Ymm& value, const Ymm& mask);
  Ymm below_or_equal(const Ymm& a, const Mem& b);
  Ymm lowest_bit(const Ymm& a);
  Ymm probe(const SetTable& set, const Ymm& key, std::uint32_t side, const Ymm& mask);
  Ymm search(const SetTable& set, const Ymm& value, const Ymm& mask);

  asmjit::x86::Compiler& c_;
  const Plan& plan_;
  std::span<const SetTable> tables_;
  const std::uint32_t known_length_;
  PlanValues values_;
  Avx2Group group_{};
  asmjit::Label constants_label_;
  bool keep_marks_ = false;
  std::vector<Mark> marks_;
  std::vector<std::uint32_t> constants_;  // words of 32 bytes each

  std::vector<PlanBlockId> dominator_;
  std::vector<PlanBlockId> first_child_;
  std::vector<PlanBlockId> sibling_;
  std::vector<std::uint32_t> arrivals_;  // edges that lead to each block
  std::vector<Ymm> masks_;               // of each block; made at the start where several edges arrive
  std::vector<Ymm> phis_;
  Ymm verdicts_;

  // Values that are valid in the block being emitted, undone as the walk leaves the block that computed them.
  std::vector<Ymm> cached_;
  std::vector<NodeId> taken_;
  std::vector<std::uint32_t> window_of_;  // of each constant-offset load that all packets have; kNothing
  struct Window {
    std::uint32_t start;
    Ymm bytes;
    std::uint32_t row;
  };
  std::vector<Window> windows_;
  std::vector<std::uint32_t> rows_;  // where each starts
  asmjit::x86::Gp lane_offsets_[8];  // where gathers are slow
  const bool fast_gather_;
  // Loads near each other at one varying address share a gather too. That the last of them lies inside is checked for
  // all at once; a group where it does not is left to scalar code.
  struct VaryingWindow {
    NodeId base;
    std::uint32_t start;
    Ymm bytes;
  };
  std::vector<VaryingWindow> varying_;
  std::vector<std::uint32_t> varying_of_;
  std::vector<std::size_t> taken_varying_;
  std::vector<std::size_t> taken_windows_;
};

}  // namespace weir::engine
