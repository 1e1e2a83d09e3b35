// Straight-line classic code for the values of one block.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/instruction.h>
#include <weir/flow/graph.h>

#include "flow/slot_words.h"

namespace weir::flow {

// The right side of a comparison or operation whose left side is in A: X, or the constant k.
struct Operand {
  bool in_index = false;
  std::uint32_t k = 0;
};

// Makes the code of one block. body() first, then what the exit needs.
class BlockCode {
 public:
  // Without `keep_loads` loads at fixed places are made again at each use, for blocks with more of them than words.
  BlockCode(const Graph& graph, BlockId block, const SlotWords& slots, bool keep_loads = true);

  // Everything that must happen before the exit: slots set, loads that nothing uses, values used more than once.
  Status body();
  // Computes a value into A.
  Status to_accumulator(ValueId id) { return compute(id); }
  // Computes lhs into A and says where rhs is.
  Result<Operand> operands(ValueId lhs, ValueId rhs);

  const std::vector<cbpf::Instruction>& instructions() const { return code_; }

 private:
  enum class Todo : std::uint8_t {
    kValue,
    kAfterLeft,
    kAfterRight,
    kUnary,
    kConstantRight,
    kIndexRight,
    kWordLeft,
    kWordRight
  };
  struct Task {  // of compute(): what is still to be done, last first
    Todo todo;
    ValueId id;
    std::uint32_t word = kNone;
  };

  void find_users();
  void decide_what_is_kept();
  void count_words();
  std::uint32_t words_needed(ValueId id) const;
  bool may_leave(const Value& value) const;
  std::size_t position(ValueId id) const { return id - lowest_; }
  bool is_kept(ValueId id) const { return kept_in_[position(id)] != kNone; }
  std::uint32_t use_kept(ValueId id);
  Result<std::uint32_t> take_word();
  void release_word(std::uint32_t word) { words_taken_ &= ~(1u << word); }
  void push(cbpf::Opcode opcode, std::uint32_t k = 0) { code_.push_back(cbpf::make(opcode, k)); }
  bool fits_index_directly(ValueId id) const;
  void load_index_directly(ValueId id);
  bool fits_accumulator_directly(ValueId id) const;
  void load_accumulator_directly(ValueId id);
  bool is_header_length(ValueId id) const;
  Status compute(ValueId id);
  void start_value(ValueId id);
  Status after_left(ValueId id);
  Status after_right(ValueId id);
  void apply(const Value& value, Operand right);

  const Graph& graph_;
  const Block& block_;
  const SlotWords& slots_;
  bool keep_loads_;
  ValueId lowest_ = 0;
  std::vector<std::uint32_t> uses_;     // by position: uses that are still to come
  std::vector<std::uint32_t> kept_in_;  // by position: the word of a value that is kept, or kNone
  std::vector<bool> keep_;              // by position: computed where it stands, into a word
  std::vector<bool> unneeded_;          // by position: never computed
  std::vector<std::uint32_t> needs_;    // by position: words that are taken while it is computed
  std::uint32_t words_taken_ = 0;       // bit i: M[i] is taken
  std::vector<Task> tasks_;
  std::vector<cbpf::Instruction> code_;
};

}  // namespace weir::flow
