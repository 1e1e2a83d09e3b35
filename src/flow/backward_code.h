// Classic code made from its end.
//
// Whoever pushes takes blocks from the last to the first, so that every jump's target already lies at a known distance
// and each jump is written once, short or long, in its final form. A jump too long for its 8 bits goes through a `ja`
// (or a copy of the `ret` that it leads to), and jumps placed later share one within reach. Linear in the size.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weir/cbpf/program.h>
#include <weir/flow/graph.h>

namespace weir::flow {

// A place in the code is named by how many instructions lie from it to the end, itself included.
using FromEnd = std::uint32_t;

cbpf::Opcode branch_opcode(Condition condition, bool index);

class BackwardCode {
 public:
  FromEnd here() const { return static_cast<FromEnd>(code_.size()); }
  void push(const cbpf::Instruction& instruction) { code_.push_back(instruction); }
  // Where code that ends with `instruction` and goes on at `target` may leave that instruction to: where the same one
  // stands before the target already and falls into it. Else nothing.
  std::optional<FromEnd> shared_before(FromEnd target, const cbpf::Instruction& instruction) const;
  // Nothing where the target follows.
  void push_jump(FromEnd target);
  void push_branch(cbpf::Opcode opcode, std::uint32_t k, FromEnd if_true, FromEnd if_false);
  // Whether A lies in the set. Returns where the comparisons start.
  FromEnd push_set(std::span<const Range> set, FromEnd if_true, FromEnd if_false);
  void reserve(std::size_t count) { code_.reserve(count); }
  // The whole, in order, with scratch words set to 0 first that a checker would find read but not written.
  cbpf::Program finish();

 private:
  struct Relay {
    FromEnd target;
    FromEnd at;
  };
  std::uint32_t distance(FromEnd target) const { return here() - target; }
  std::optional<FromEnd> reachable(FromEnd target, std::uint32_t slack) const;
  void push_relay(FromEnd target);
  FromEnd push_range(const Range& range, bool at_least, FromEnd if_true, FromEnd if_false);
  // How a large set is cut.
  class SetTree {
   public:
    explicit SetTree(std::span<const Range> set);
    std::size_t leaf() const { return leaf_; }        // ranges that are compared one by one
    std::size_t lower_half(std::size_t count) const;  // of a part of so many ranges

   private:
    std::size_t upper_holds(std::size_t lower, std::size_t levels) const;

    std::size_t leaf_;
    std::size_t near_;                // ranges whose code a branch can pass over
    std::vector<std::size_t> holds_;  // by levels: ranges that fit
  };
  FromEnd push_part(const SetTree& tree, std::span<const Range> set, bool at_least, FromEnd if_true, FromEnd if_false);

  std::vector<cbpf::Instruction> code_;  // from the last instruction to the first
  std::vector<Relay> relays_;            // the one placed last of each target, few
};

}  // namespace weir::flow
