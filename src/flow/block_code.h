// Straight-line classic code for the values of one block, and the scratch words that slots live in.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/instruction.h>
#include <weir/flow/graph.h>

namespace weir::flow {

// Which scratch word each slot has.
struct Slots {
  std::vector<std::uint32_t> word;  // by SlotId; kNone for a slot that is never read
  std::uint32_t used = 0;           // words taken by slots; the words above are free for temporaries
};

// Fails with kLimit when the graph reads more than sixteen slots.
Result<Slots> allocate_slots(const Graph& graph);

// The right side of a comparison or operation whose left side is in A: X, or the constant k.
struct Operand {
  bool in_index = false;
  std::uint32_t k = 0;
};

// Makes the code of one block. body() first, then what the exit needs.
class BlockCode {
 public:
  BlockCode(const Graph& graph, const Block& block, const Slots& slots);

  // Everything that must happen before the exit: slots set, loads that nothing uses, values used more than once.
  Status body();
  // Computes a value into A.
  Status to_accumulator(ValueId id);
  // Computes lhs into A and says where rhs is.
  Result<Operand> operands(ValueId lhs, ValueId rhs);

  const std::vector<cbpf::Instruction>& instructions() const { return code_; }

 private:
  struct Pending;  // an operation whose left side is being computed
  void count_uses();
  void decide_what_is_stored();
  std::size_t position(ValueId id) const { return id - lowest_; }
  bool is_stored(ValueId id) const { return stored_word_[position(id)] != kNone; }
  Result<std::uint32_t> take_word();
  void release_word(std::uint32_t word);
  void push(cbpf::Opcode opcode, std::uint32_t k = 0) { code_.push_back(cbpf::make(opcode, k)); }
  bool load_index_directly(ValueId id);
  bool load_accumulator_directly(ValueId id);
  bool fits_index_directly(ValueId id) const;
  bool fits_accumulator_directly(ValueId id) const;
  bool is_header_length(ValueId id) const;
  Status compute(ValueId id);
  void apply(const Value& value, Operand right);

  const Graph& graph_;
  const Block& block_;
  const Slots& slots_;
  ValueId lowest_ = 0;
  std::vector<std::uint32_t> uses_;         // by position
  std::vector<std::uint32_t> stored_word_;  // by position: the word of a value that is kept, or kNone
  std::vector<bool> must_store_;            // by position
  std::vector<bool> computed_;              // by position
  std::uint32_t words_taken_ = 0;           // bit i: M[i] is taken
  std::vector<cbpf::Instruction> code_;
};

}  // namespace weir::flow
