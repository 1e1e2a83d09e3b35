// Flow graph to classic bytecode. Exports emit.
//
// The plain form is emitted block by block, from the last to the first: inside of a block, values used once are
// computed where they are used, as a tree in A, with X for the second operand; values used more often, and second
// operands that need A themselves, pass through scratch words. Nothing is kept in A or X from one block to the next.
//
// The promoted form goes through decisions (select.cpp), which know what A, X and M[] hold where.
#include <weir/flow/emit.h>

#include <algorithm>

#include "flow/backward_code.h"
#include "flow/block_code.h"
#include "flow/select.h"
#include "flow/slot_words.h"

namespace weir::flow {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

class Emitter {
 public:
  explicit Emitter(const Graph& graph) : graph_(graph), starts_(graph.blocks.size(), 0) {}

  Result<cbpf::Program> run() {
    const std::vector<BlockId> order = topological_order(graph_);
    for (const BlockId block : order) WEIR_CHECK(outside_rejects(block));
    WEIR_TRY(slots_, assign_words(graph_, order));
    for (auto block = order.rbegin(); block != order.rend(); ++block) WEIR_CHECK(emit_block(*block));
    return code_.finish();
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

  Status emit_exit(const Exit& exit, BlockCode& code) {
    switch (exit.kind) {
      case ExitKind::kVerdict:
        if (graph_[exit.lhs].op == Op::kConstant) {
          code_.push(cbpf::make(Opcode::kRetK, graph_[exit.lhs].k));
        } else {
          WEIR_CHECK(code.to_accumulator(exit.lhs));
          code_.push(cbpf::make(Opcode::kRetA));
        }
        return {};
      case ExitKind::kJump: code_.push_jump(starts_[exit.if_true.target]); return {};
      case ExitKind::kTest: {
        WEIR_TRY(const Operand right, code.operands(exit.lhs, exit.rhs));
        code_.push_branch(branch_opcode(exit.condition, right.in_index), right.k, starts_[exit.if_true.target],
                          starts_[exit.if_false.target]);
        return {};
      }
      case ExitKind::kSet: {
        WEIR_CHECK(code.to_accumulator(exit.lhs));
        code_.push_jump(code_.push_set(exit.set, starts_[exit.if_true.target], starts_[exit.if_false.target]));
        return {};
      }
    }
    return {};
  }

  Status emit_block(BlockId id) {
    const Status emitted = emit_block(id, true);
    if (emitted || emitted.error().code != ErrorCode::kLimit) return emitted;
    return emit_block(id, false);
  }

  // What fails here fails before it adds anything to the program.
  Status emit_block(BlockId id, bool keep_loads) {
    const Block& block = graph_.blocks[id];
    BlockCode code(graph_, id, slots_, keep_loads);
    WEIR_CHECK(code.body());
    WEIR_CHECK(emit_exit(block.exit, code));
    for (auto instruction = code.instructions().rbegin(); instruction != code.instructions().rend(); ++instruction)
      code_.push(*instruction);
    starts_[id] = code_.here();
    return {};
  }

  const Graph& graph_;
  SlotWords slots_;
  BackwardCode code_;
  std::vector<FromEnd> starts_;  // of each block
};

// Whether some value is used outside of the block that computes it.
bool is_promoted(const Graph& graph) {
  std::vector<BlockId> home(graph.values.size(), kNone);
  for (BlockId id = 0; id < graph.blocks.size(); ++id) {
    const Block& block = graph.blocks[id];
    if (!block.parameters.empty()) return true;
    for (const ValueId value : block.values) home[value] = id;
  }
  const auto elsewhere = [&](ValueId value, BlockId id) { return value != kNone && home[value] != id; };
  for (BlockId id = 0; id < graph.blocks.size(); ++id) {
    const Block& block = graph.blocks[id];
    for (const ValueId value : block.values)
      if (elsewhere(graph[value].a, id) || elsewhere(graph[value].b, id)) return true;
    if (elsewhere(block.exit.lhs, id) || elsewhere(block.exit.rhs, id)) return true;
  }
  return false;
}

}  // namespace

Result<cbpf::Program> emit(const Graph& graph) {
  if (!is_promoted(graph)) return Emitter(graph).run();
  std::optional<Decisions> decisions = to_decisions(graph);
  std::optional<cbpf::Program> program;
  if (decisions) {
    if (std::optional<Selected> selected = select(*decisions)) program = std::move(selected->program);
  }
  if (program) return *std::move(program);
  return fail(Error{.code = ErrorCode::kLimit,
                    .message = "the optimised graph does not fit the registers of the classic machine",
                    .hint = "emit it as it was before it was optimised"});
}

}  // namespace weir::flow
