// Flow graph to classic bytecode, plain form. Exports emit.
//
// Code is made from its end: blocks are taken in reverse topological order, so every jump's target already lies at a
// known distance and each jump is written once, short or long, in its final form. A jump too long for its 8 bits goes
// through a `ja` (or a copy of the `ret` that it leads to), and later-placed jumps share one within reach. The whole is
// linear in the size of the program.
//
// Inside of a block, values used once are computed where they are used, as a tree in A, with X for the second operand;
// values used more often, and second operands that need A themselves, pass through scratch words.
//
// The promoted form (block parameters) is refused.
#include <weir/flow/emit.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "flow/block_code.h"
#include "flow/slot_words.h"

namespace weir::flow {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

constexpr std::uint32_t kLongestBranch = 255;

Opcode branch_opcode(Condition condition, bool index) {
  switch (condition) {
    case Condition::kEqual: return index ? Opcode::kJeqX : Opcode::kJeqK;
    case Condition::kGreater: return index ? Opcode::kJgtX : Opcode::kJgtK;
    case Condition::kGreaterOrEqual: return index ? Opcode::kJgeX : Opcode::kJgeK;
    case Condition::kBitsSet: return index ? Opcode::kJsetX : Opcode::kJsetK;
  }
  return Opcode::kJeqK;
}

// Scratch words that a checker finds read before they were written on every path, one bit a word. It finds more than
// there are: what follows a `ret` counts as if it followed from there (net/core/filter.c, check_load_and_stores).
std::uint32_t words_read_unwritten(const std::vector<Instruction>& code) {
  std::vector<std::uint32_t> written(code.size() + 1, 0xffffffff);
  std::uint32_t now = 0;
  std::uint32_t missing = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const Instruction& instruction = code[at];
    now &= written[at];
    const Opcode opcode = instruction.opcode();
    if (opcode == Opcode::kSt || opcode == Opcode::kStx) {
      now |= 1u << instruction.k;
    } else if (opcode == Opcode::kLdScratch || opcode == Opcode::kLdxScratch) {
      missing |= ~now & (1u << instruction.k);
    } else if (opcode == Opcode::kJa) {
      written[at + 1 + instruction.k] &= now;
      now = 0xffffffff;
    } else if ((instruction.code & 0x07) == 0x05) {  // the conditional jumps
      written[at + 1 + instruction.jt] &= now;
      written[at + 1 + instruction.jf] &= now;
      now = 0xffffffff;
    }
  }
  return missing;
}

// A place in the code is named by how many instructions lie from it to the end, itself included.
using FromEnd = std::uint32_t;

class Emitter {
 public:
  explicit Emitter(const Graph& graph) : graph_(graph), starts_(graph.blocks.size(), 0) {}

  Result<cbpf::Program> run() {
    const std::vector<BlockId> order = topological_order(graph_);
    for (const BlockId block : order) WEIR_CHECK(outside_rejects(block));
    WEIR_TRY(slots_, assign_words(graph_, order));
    for (auto block = order.rbegin(); block != order.rend(); ++block) WEIR_CHECK(emit_block(*block));
    std::reverse(code_.begin(), code_.end());
    const std::uint32_t unwritten = words_read_unwritten(code_);
    std::vector<Instruction> zeroes;
    if (unwritten != 0) zeroes.push_back(cbpf::make(Opcode::kLdImmediate, 0));
    for (std::uint32_t word = 0; word < cbpf::kScratchWords; ++word)
      if ((unwritten & (1u << word)) != 0) zeroes.push_back(cbpf::make(Opcode::kSt, word));
    code_.insert(code_.begin(), zeroes.begin(), zeroes.end());
    return cbpf::Program(std::move(code_));
  }

 private:
  // The classic machine ends the program where a load lies outside; it cannot go on elsewhere.
  Status outside_rejects(BlockId id) const {
    const BlockId outside = graph_.blocks[id].outside;
    if (outside == kNone) return {};
    const Block& target = graph_.blocks[outside];
    if (target.exit.kind == ExitKind::kVerdict && target.values.size() == 1 &&
        graph_[target.exit.lhs] == Value{.op = Op::kConstant, .k = 0})
      return {};
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "classic code cannot go on after a load outside of the packet"});
  }

  FromEnd here() const { return static_cast<FromEnd>(code_.size()); }
  void push(const Instruction& instruction) { code_.push_back(instruction); }
  std::uint32_t distance(FromEnd target) const { return here() - target; }

  // Where to jump for `target` from an instruction placed next: within 255 after `slack` more instructions, or nothing.
  std::optional<FromEnd> reachable(FromEnd target, std::uint32_t slack) const {
    if (distance(target) + slack <= kLongestBranch) return target;
    const auto relay = relays_.find(target);
    if (relay != relays_.end() && distance(relay->second) + slack <= kLongestBranch) return relay->second;
    return std::nullopt;
  }

  void push_relay(FromEnd target) {
    const Instruction& at_target = code_[target - 1];
    push(at_target.opcode() == Opcode::kRetK ? at_target : cbpf::make(Opcode::kJa, distance(target)));
    relays_[target] = here();
  }

  // The conditional jump itself, with relays behind it where a side is too far.
  void push_branch(Opcode opcode, std::uint32_t k, FromEnd if_true, FromEnd if_false) {
    std::optional<FromEnd> f = reachable(if_false, 1);
    std::optional<FromEnd> t = reachable(if_true, 1);
    if (!f) {
      push_relay(if_false);
      f = here();
    }
    if (!t) {
      push_relay(if_true);
      t = here();
    }
    push(cbpf::make_jump(opcode, k, static_cast<std::uint8_t>(distance(*t)), static_cast<std::uint8_t>(distance(*f))));
  }

  // Comparisons that decide whether A lies in set[first, last), as a balanced tree; returns where it starts.
  // at_least: A is known to be no less than set[first].first.
  FromEnd push_set(const std::vector<Range>& set, std::size_t first, std::size_t last, bool at_least, FromEnd if_true,
                   FromEnd if_false) {
    if (first == last) return if_false;
    if (last - first == 1) {
      const Range& range = set[first];
      if (range.first == range.last) {
        push_branch(Opcode::kJeqK, range.first, if_true, if_false);
      } else {
        if (range.last != 0xffffffff) {
          push_branch(Opcode::kJgtK, range.last, if_false, if_true);
          if_true = here();
        }
        if (at_least || range.first == 0) return if_true;
        push_branch(Opcode::kJgeK, range.first, if_true, if_false);
      }
      return here();
    }
    const std::size_t middle = first + (last - first) / 2;
    const FromEnd right = push_set(set, middle, last, true, if_true, if_false);
    const FromEnd left = push_set(set, first, middle, at_least, if_true, if_false);
    push_branch(Opcode::kJgeK, set[middle].first, right, left);
    return here();
  }

  Status emit_exit(const Exit& exit, BlockCode& code) {
    switch (exit.kind) {
      case ExitKind::kVerdict:
        if (graph_[exit.lhs].op == Op::kConstant) {
          push(cbpf::make(Opcode::kRetK, graph_[exit.lhs].k));
        } else {
          WEIR_CHECK(code.to_accumulator(exit.lhs));
          push(cbpf::make(Opcode::kRetA));
        }
        return {};
      case ExitKind::kJump:
        if (const FromEnd target = starts_[exit.if_true.target]; target != here())
          push(cbpf::make(Opcode::kJa, distance(target)));
        return {};
      case ExitKind::kTest: {
        WEIR_TRY(const Operand right, code.operands(exit.lhs, exit.rhs));
        push_branch(branch_opcode(exit.condition, right.in_index), right.k, starts_[exit.if_true.target],
                    starts_[exit.if_false.target]);
        return {};
      }
      case ExitKind::kSet: {
        WEIR_CHECK(code.to_accumulator(exit.lhs));
        const FromEnd start =
            push_set(exit.set, 0, exit.set.size(), false, starts_[exit.if_true.target], starts_[exit.if_false.target]);
        if (start != here()) push(cbpf::make(Opcode::kJa, distance(start)));
        return {};
      }
    }
    return {};
  }

  Status emit_block(BlockId id) {
    const Block& block = graph_.blocks[id];
    BlockCode code(graph_, id, slots_);
    WEIR_CHECK(code.body());
    WEIR_CHECK(emit_exit(block.exit, code));
    for (auto instruction = code.instructions().rbegin(); instruction != code.instructions().rend(); ++instruction)
      push(*instruction);
    starts_[id] = here();
    return {};
  }

  const Graph& graph_;
  SlotWords slots_;
  std::vector<Instruction> code_;                // from the last instruction to the first
  std::vector<FromEnd> starts_;                  // of each block
  std::unordered_map<FromEnd, FromEnd> relays_;  // target -> the relay placed last
};

}  // namespace

Result<cbpf::Program> emit(const Graph& graph) { return Emitter(graph).run(); }

}  // namespace weir::flow
