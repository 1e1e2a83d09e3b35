// Scalar x86-64 code for one packet: the body of the loop over packets. Exports X86Body.
//
// Registers: rbx the packet's bytes, r15d its captured length, r12 its number less the count, rbp, r13 and r14 the ends
// of verdicts, lengths and offsets. rax, rcx, rdx and r11 hold what lives within one test. rsi, rdi, r8, r9 and r10 are
// homes of kept nodes; what finds none lives in the frame.
//
// A home taken in a block stays valid in all blocks that it dominates and is free again beyond: nothing is ever moved
// or spilled. The verdict is stored at once, and control goes to the next packet.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <asmjit/x86.h>

#include <weir/engine/engine.h>

#include "base/scratch.h"
#include "engine/plan.h"
#include "engine/plan_values.h"
#include "engine/set_table.h"

namespace weir::engine {

// Offsets from rsp.
struct X86Frame {
  static constexpr std::int32_t kCount = 0;
  static constexpr std::int32_t kBase = 8;
  static constexpr std::int32_t kWireLengths = 16;  // end of the column
  static constexpr std::int32_t kMetadata = 24;     // end of the column of pointers, or null
  static constexpr std::int32_t kColumns = 32;      // const packet::Columns*
  static constexpr std::int32_t kSaved = 40;        // five homes, while a function is called
  static constexpr std::int32_t kWords = 80;        // phis and homes, four bytes each
};

struct X86Exits {
  asmjit::Label reject;   // stores 0 and goes on
  asmjit::Label loop;     // the next packet
  asmjit::Label done;     // behind the last one
  asmjit::Label outside;  // a load at a varying address lies outside of the packet: rejects it, or leaves it to others
};

class X86Body {
 public:
  struct Options {
    std::uint32_t known_length = 0;  // what every packet that comes here has at least
    bool base_in_rdi = false;        // rdi is no home
  };
  // tables: one for each of the plan's sets.
  X86Body(asmjit::x86::Assembler& assembler, const Plan& plan, std::span<const SetTable> tables,
          const Options& options);

  // Emits the code for one packet; may be called again, for copies.
  // packet: counted from the one that r12 says; not 0 only for code without branches.
  // marks: where the code of each block that was made from instructions begins is added here, in order of emission.
  void emit(const X86Exits& exits, int packet = 0, std::vector<CodeMark>* marks = nullptr);
  // Whether all of the plan became code without branches: then the code ends where the verdict is stored, and what
  // comes next is up to the caller.
  bool is_straight() const { return is_straight_; }
  std::uint32_t words_used() const { return words_used_; }  // of the frame

  // After emit(): whether some tests that are seldom true are worth being asked first, in any order, since no packet is
  // accepted for which all are false. They read only what all packets have.
  bool find_scan();
  // Emits those tests alone: a packet for which one is true goes to the label.
  void emit_scan(const asmjit::Label& found);

 private:
  using Gp = asmjit::x86::Gp;
  using Mem = asmjit::x86::Mem;
  using CondCode = asmjit::x86::CondCode;

  struct Home {
    enum : std::uint8_t { kNone, kRegister, kWord } where = kNone;
    std::uint32_t index = 0;
  };
  // x86_body.cpp
  void emit_exit(PlanBlockId id, PlanBlockId next);
  void emit_guard(NodeId id);
  void emit_edge(const PlanEdge& edge, PlanBlockId next);
  void emit_branch(CondCode condition, const PlanBlock& block, PlanBlockId next);
  void emit_verdict(NodeId value);
  void emit_next();
  bool emit_unlikely_set(const PlanBlock& block, PlanBlockId next);
  bool has_singles(const PlanBlock& block) const;
  void compare_singles(const PlanBlock& block, const asmjit::Label& equal, const asmjit::Label& otherwise);
  struct Scope;
  bool may_scan(const PlanBlock& block) const;
  bool scan_suffices();
  void find_order();
  void forget();
  void mark(const PlanBlock& block);
  void enter_scope(PlanBlockId id);
  void leave_scope(const Scope& scope);
  asmjit::Label label_of(PlanBlockId id);
  bool is_reject(PlanBlockId id) const;

  // x86_values.cpp
  Mem packet_at(NodeId load,
                Gp scratch);        // the load's place in the packet; may use scratch, and in regions ecx and edx
  void prepare(NodeId root);        // computes the kept nodes that root needs, and root itself where kept
  void evaluate(NodeId id, Gp to);  // to: not ecx
  void compute(NodeId id, Gp to);
  void compute_binary(const Node& node, Gp to);
  void load_swapped(const Mem& from, std::uint8_t size, Gp to);
  void load_raw(const Mem& from, std::uint8_t size, Gp to);
  void extension(const Node& node, Gp to);
  void call_extension(const Node& node, Gp to);
  void take_home(NodeId id);
  bool in_register(NodeId id) const { return homes_[id].where == Home::kRegister; }
  Gp home_register(NodeId id) const;
  Mem home_word(NodeId id) const;
  Mem frame_word(std::uint32_t index) const;
  void operand_to(NodeId id, Gp to);  // a kept node, phi, constant or length

  // x86_tests.cpp
  CondCode test(const PlanBlock& block);  // leaves the flags; the condition under which if_true is taken
  CondCode raw(const RawTest& raw);
  CondCode contains(const SetTable& set);  // of eax
  CondCode contains_few(const SetTable& set);
  CondCode contains_hashed(const SetTable& set);
  CondCode contains_by_search(const SetTable& set);

  // x86_region.cpp
  struct Region;
  bool emit_region(PlanBlockId head);
  bool plan_region(PlanBlockId head, Region& region) const;
  void estimate_costs();
  float cost_of_branches(PlanBlockId id) const;
  bool region_values_are_plain(NodeId root) const;
  void region_guard(const Node& load, Gp bit);
  void region_block(PlanBlockId id, Region& region);
  bool may_lie_outside(NodeId load) const;
  bool leaves() const { return exits_.outside.id() != exits_.reject.id(); }
  void safe_address(const Node& load);

  asmjit::x86::Assembler& a_;
  const Plan& plan_;
  std::span<const SetTable> tables_;
  X86Exits exits_;
  int packet_ = 0;
  std::vector<CodeMark>* marks_ = nullptr;
  std::uint32_t words_used_;
  Scratch scratch_;
  PlanValues values_;
  ScratchVector<PlanBlockId> order_;  // of emission
  ScratchVector<PlanBlockId> scan_;   // see find_scan
  ScratchVector<asmjit::Label> labels_;
  ScratchVector<PlanBlockId> dominator_;
  ScratchVector<std::uint64_t> known_length_;  // at each block's test, after its own guards
  ScratchVector<float> costs_;                 // in cycles, of each block and what follows, by branches or by bits
  ScratchVector<std::uint8_t> needed_;         // whether a jump to a block was emitted

  // Homes that are valid in the block being emitted. Blocks are emitted in preorder of the dominator tree, so scopes_
  // is the path from its root, and leaving a block frees what was taken in it.
  ScratchVector<Home> homes_;
  struct Scope {
    PlanBlockId block;
    std::size_t taken;  // taken_.size() when the scope was entered; the same of what was free
    std::uint32_t free_registers;
    std::uint32_t first_free_word;
  };
  ScratchVector<Scope> scopes_;
  ScratchVector<NodeId> taken_;
  std::uint32_t registers_ = 0;  // that are not homes for life
  std::uint32_t free_registers_ = 0;
  std::uint32_t first_free_word_ = 0;

  bool is_straight_ = false;
  bool in_region_ = false;
  std::uint64_t region_length_ = 0;      // known at the head of the region
  ScratchVector<NodeId> region_guards_;  // loads at addresses that vary, guarded inside of the region

  // Of prepare() and compute(): kept, so that they need not be allocated anew.
  ScratchVector<NodeId> wanted_;
  ScratchVector<NodeId> stack_;
  ScratchVector<NodeId> run_;
};

}  // namespace weir::engine
