// Many packets at once in vector lanes: the body of the loop over groups of packets. Exports LaneBody.
//
// Control becomes masks: a block has a mask of the lanes that reach it, and its test splits it between its successors.
// Blocks are run in preorder of the dominator tree; a subtree that costs much is jumped over when its mask is empty, if
// that is likely or seldom so.
//
// All lanes' packets have at least `known_length` >= 20 bytes (groups with shorter ones go to scalar code). A gather
// reads four bytes; a field behind those is read as the last bytes of its four, so that they all lie inside, and
// fields near each other share a gather. Or rows of sixteen bytes of each packet are loaded and transposed, where that
// is cheaper than gathers are; a field is then the bytes of one word of a row, or of two. Rows and shared gathers stand
// where all blocks that use them are dominated. Lanes that are not in the block's mask are not read at all where the
// address is not known to be inside.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <asmjit/x86.h>

#include "engine/lanes.h"
#include "engine/plan.h"
#include "engine/plan_values.h"
#include "engine/set_table.h"

namespace weir::engine {

// What the code around the body has set up.
struct LaneGroup {
  asmjit::x86::Gp base;          // of the columns
  asmjit::x86::Gp wire_lengths;  // column
  asmjit::x86::Gp index;         // of the group's first packet
  asmjit::x86::Gp offset_column;
  asmjit::Label leave;  // hands the group over to scalar code
  asmjit::x86::Vec offsets;
  asmjit::x86::Vec lengths;
};

class LaneBody {
 public:
  // known_length: at least kLeastLength, unless the plan has no loads.
  static constexpr std::uint32_t kLeastLength = 20;
  LaneBody(asmjit::x86::Compiler& compiler, Lanes& lanes, const Plan& plan, std::span<const SetTable> tables,
           std::uint32_t known_length, bool fast_gather);

  // Emits the group's code and returns the register of the verdicts.
  asmjit::x86::Vec emit(const LaneGroup& group);
  // Binds a label where the code of each block begins that was made from instructions; call before emit().
  struct Mark {
    asmjit::Label at;
    Slice instructions;
  };
  void keep_marks() { keep_marks_ = true; }
  const std::vector<Mark>& marks() const { return marks_; }

  // Whether a plan can be run in lanes at all: no extension loads, and not too large for the register allocator.
  static bool takes(const Plan& plan);

 private:
  using Vec = Lanes::Vec;
  using Mask = Lanes::Mask;
  using Test = Lanes::Test;

  // Bytes at constant offsets that all packets have: of a load, or of one that has few addresses to choose from.
  struct Field {
    std::uint32_t k;
    std::uint32_t size;
    std::uint32_t window = kNothing;
    std::uint32_t second = kNothing;  // the next word of the row, where the field goes on
  };
  struct RowStart {
    std::uint32_t start;
    std::uint32_t crossings;  // fields that lie across words
  };
  struct Choice {
    std::uint32_t address;  // the value of the phi
    std::uint32_t field;
  };

  // lane_body.cpp
  void emit_tree(PlanBlockId root);
  void open_masks(PlanBlockId id);
  void emit_block(PlanBlockId id);
  void emit_verdict(NodeId verdict, const Mask& mask);
  void emit_edge(const PlanEdge& edge, const Mask& mask);
  void guard(NodeId id, const Mask& mask);
  void split(const PlanBlock& block, const Test& test, const Mask& mask);
  void estimate_reach();
  bool is_worth_a_jump(PlanBlockId root) const;

  // lane_loads.cpp
  void plan_fields();
  void plan_windows();
  static bool crosses(const Field& field, std::uint32_t start);
  RowStart row_start(std::span<Field* const> members, std::uint32_t behind) const;
  std::uint32_t field_at(std::uint32_t k, std::uint32_t size);
  std::uint32_t window_at(std::uint32_t start, std::uint32_t row);
  void find_homes();
  void plan_shared_gathers();
  void open_homes(PlanBlockId id);
  void open_window(std::uint32_t number);
  void load_row(std::uint32_t number);
  void open_shared(std::uint32_t number, const Mask& mask);
  Vec compute_load(NodeId id, const Mask& mask);
  Vec load_field(const Field& field);
  Vec load_chosen(NodeId id);
  Vec load_at_varying_address(const Node& node, const Mask& mask);
  Vec extract(const Vec& four_bytes, std::int32_t at, std::uint32_t size);
  Vec gather_from_packets(const Vec& index, std::int32_t displacement, const Mask& mask);

  // lane_values.cpp
  Lanes::Operand operand(NodeId id);  // a constant, or what is computed already
  Vec value(NodeId id, const Mask& mask);
  Vec compute(NodeId id, const Mask& mask);
  Vec compute_binary(const Node& node);

  // lane_tests.cpp
  Test test(const PlanBlock& block, const Mask& mask);
  Test contains(const SetTable& set, const Vec& value, const Mask& mask);
  Test contains_few(const SetTable& set, const Vec& value);
  Test contains_word(const SetTable& set, const Vec& at);
  Test contains_bitmap(const SetTable& set, const Vec& at, const Mask& mask);
  Test probe(const SetTable& set, const Vec& key, std::uint32_t side, const Mask& mask);
  Test search(const SetTable& set, const Vec& value, const Mask& mask);

  asmjit::x86::Compiler& c_;
  Lanes& lanes_;
  const Plan& plan_;
  std::span<const SetTable> tables_;
  const std::uint32_t known_length_;
  Scratch scratch_;
  PlanValues values_;
  LaneGroup group_{};
  bool keep_marks_ = false;
  std::vector<Mark> marks_;

  ScratchVector<PlanBlockId> dominator_;
  std::vector<PlanBlockId> first_child_;
  std::vector<PlanBlockId> sibling_;
  std::vector<std::uint32_t> arrivals_;  // edges that lead to each block
  std::vector<float> reach_;
  std::vector<Mask> masks_;  // of each block; made at the start where several edges arrive
  Mask all_;                 // the entry's, while it holds all lanes
  std::vector<Vec> phis_;
  Vec verdicts_;

  // Values that are valid in the block being emitted, undone as the walk leaves the block that computed them.
  std::vector<Vec> cached_;
  std::vector<NodeId> taken_;

  struct Window {  // four bytes: a gather, or a word of a row
    std::uint32_t start;
    std::uint32_t row;
    PlanBlockId home;
    Vec bytes;
  };
  struct Row {
    std::uint32_t start;
    PlanBlockId home;
  };
  std::vector<Field> fields_;
  std::vector<std::uint32_t> field_of_;       // of each node
  std::vector<std::vector<Choice>> choices_;  // of each node
  std::vector<Window> windows_;
  std::vector<Row> rows_;
  std::vector<std::size_t> taken_windows_;
  asmjit::x86::Gp lane_offsets_[16];  // where there are rows
  const bool fast_gather_;

  // Loads near each other at one address that not all packets have share a gather too. That the last of them lies
  // inside is checked for all at once; a group where it does not is left to scalar code.
  struct SharedGather {
    NodeId base;  // kNothing: a constant address
    std::uint32_t start;
    Vec bytes;
  };
  std::vector<SharedGather> shared_;
  std::vector<std::uint32_t> shared_of_;  // of each node
  std::vector<std::size_t> taken_shared_;
};

}  // namespace weir::engine
