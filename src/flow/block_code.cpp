// Straight-line code for one block. Exports BlockCode.
//
// A value used once is computed at its use. A value used more often is computed where it stands and kept in a scratch
// word until its last use, unless computing it again is as short (constants, the length, slots). A slot read whose use
// comes after its word is written again is kept likewise. What nothing uses is left out, but for what may end the
// program. Of two operands that both need A, the one that needs more words comes first, and the other has to keep one
// more meanwhile: a chain of any length needs one, and only trees that branch everywhere need many. Expressions are
// walked with a stack of tasks, since a lifted program may be one expression of any depth.
#include "flow/block_code.h"

#include <algorithm>

#include "flow/classic_opcodes.h"

namespace weir::flow {

using cbpf::Opcode;

namespace {

bool is_cheap(Op op) { return op == Op::kConstant || op == Op::kLength || op == Op::kGetSlot; }
bool is_binary(Op op) { return op >= Op::kAdd; }

}  // namespace

BlockCode::BlockCode(const Graph& graph, BlockId block, const SlotWords& slots, bool keep_loads)
    : graph_(graph),
      block_(graph.blocks[block]),
      slots_(slots),
      keep_loads_(keep_loads),
      words_taken_(slots.taken[block]) {
  if (block_.values.empty()) return;
  const auto [low, high] = std::minmax_element(block_.values.begin(), block_.values.end());
  lowest_ = *low;
  const std::size_t size = *high - *low + 1;
  uses_.assign(size, 0);
  kept_in_.assign(size, kNone);
  keep_.assign(size, false);
  unneeded_.assign(size, false);
  find_users();
  decide_what_is_kept();
  count_words();
}

bool BlockCode::may_leave(const Value& value) const {
  if (value.op == Op::kLoad) return true;
  if (value.op != Op::kDivide && value.op != Op::kModulo) return false;
  return graph_[value.b].op != Op::kConstant || graph_[value.b].k == 0;
}

// Walks backward, so that the users of a value are known to be needed or not before the value is.
void BlockCode::find_users() {
  const auto use = [&](ValueId id) {
    if (id != kNone) ++uses_[position(id)];
  };
  use(block_.exit.lhs);
  use(block_.exit.rhs);
  for (auto id = block_.values.rbegin(); id != block_.values.rend(); ++id) {
    const Value& value = graph_[*id];
    const std::size_t at = position(*id);
    if (value.op == Op::kSetSlot) unneeded_[at] = slots_.useless[*id];
    else unneeded_[at] = uses_[at] == 0 && !may_leave(value);
    if (unneeded_[at]) continue;
    use(value.a);
    use(value.b);
  }
}

// Walks backward: `when` is the index in the block at which a value is computed last.
void BlockCode::decide_what_is_kept() {
  const std::size_t count = block_.values.size();
  std::vector<std::size_t> when(uses_.size(), 0);
  const auto needed = [&](ValueId id, std::size_t at) {
    if (id != kNone) when[position(id)] = std::max(when[position(id)], at);
  };
  needed(block_.exit.lhs, count);
  needed(block_.exit.rhs, count);
  std::vector<std::size_t> written(cbpf::kScratchWords, count);  // by word: the index of the next kSetSlot
  for (std::size_t i = count; i-- > 0;) {
    const ValueId id = block_.values[i];
    const Value& value = graph_[id];
    const std::size_t at = position(id);
    if (unneeded_[at]) continue;
    if (value.op == Op::kSetSlot) written[slots_.word[value.k]] = i;
    keep_[at] = uses_[at] > 1 && !is_cheap(value.op) &&
                (keep_loads_ || value.op != Op::kLoad || !fits_accumulator_directly(id));
    if (value.op == Op::kGetSlot) keep_[at] = written[slots_.word[value.k]] < when[at];
    const std::size_t computed_at = keep_[at] || uses_[at] == 0 ? i : when[at];
    needed(value.a, computed_at);
    needed(value.b, computed_at);
  }
}

// How many words each value needs while it is computed, beside those of kept values.
void BlockCode::count_words() {
  needs_.assign(uses_.size(), 0);
  for (const ValueId id : block_.values) {
    const Value& value = graph_[id];
    if (value.a == kNone || unneeded_[position(id)]) continue;
    const std::uint32_t left = words_needed(value.a);
    std::uint32_t& needs = needs_[position(id)];
    if (value.b == kNone || keep_[position(value.b)] || fits_index_directly(value.b)) {
      needs = left;
    } else {
      const std::uint32_t right = words_needed(value.b);
      const bool direct = keep_[position(value.a)] || fits_accumulator_directly(value.a);
      needs = direct ? right : left == right ? left + 1 : std::max(left, right);
    }
  }
}

std::uint32_t BlockCode::words_needed(ValueId id) const { return keep_[position(id)] ? 0 : needs_[position(id)]; }

Result<std::uint32_t> BlockCode::take_word() {
  for (std::uint32_t word = 0; word < cbpf::kScratchWords; ++word) {
    if ((words_taken_ & (1u << word)) != 0) continue;
    words_taken_ |= 1u << word;
    return word;
  }
  return fail(too_many_words());
}

// The word of a kept value, which is free again after its last use.
std::uint32_t BlockCode::use_kept(ValueId id) {
  const std::size_t at = position(id);
  if (--uses_[at] == 0) release_word(kept_in_[at]);
  return kept_in_[at];
}

Status BlockCode::body() {
  for (const ValueId id : block_.values) {
    const Value& value = graph_[id];
    const std::size_t at = position(id);
    if (value.op == Op::kParameter)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "block parameters cannot be emitted yet"});
    if (unneeded_[at]) continue;
    if (value.op == Op::kSetSlot) {
      WEIR_CHECK(compute(value.a));
      push(Opcode::kSt, slots_.word[value.k]);
    } else if (keep_[at]) {
      const bool in_index = is_header_length(id);
      if (in_index) load_index_directly(id);
      else WEIR_CHECK(compute(id));
      WEIR_TRY(kept_in_[at], take_word());
      push(in_index ? Opcode::kStx : Opcode::kSt, kept_in_[at]);
    } else if (uses_[at] == 0) {
      WEIR_CHECK(compute(id));
    }
  }
  return {};
}

// ((packet[k] & 0xf) * 4), for which the classic machine has an instruction.
bool BlockCode::is_header_length(ValueId id) const {
  const auto is_constant = [&](ValueId constant, std::uint32_t k) {
    return graph_[constant].op == Op::kConstant && graph_[constant].k == k;
  };
  const Value& scaled = graph_[id];
  const bool by_four = (scaled.op == Op::kShiftLeft && is_constant(scaled.b, 2)) ||
                       (scaled.op == Op::kMultiply && is_constant(scaled.b, 4));
  if (!by_four || is_kept(scaled.a)) return false;
  const Value& masked = graph_[scaled.a];
  if (masked.op != Op::kAnd || !is_constant(masked.b, 0xf) || is_kept(masked.a)) return false;
  const Value& byte = graph_[masked.a];
  return byte.op == Op::kLoad && byte.size == 1 && byte.a == kNone;
}

bool BlockCode::fits_index_directly(ValueId id) const {
  return is_kept(id) || is_cheap(graph_[id].op) || is_header_length(id);
}

void BlockCode::load_index_directly(ValueId id) {
  const Value& value = graph_[id];
  if (is_kept(id)) push(Opcode::kLdxScratch, use_kept(id));
  else if (value.op == Op::kConstant) push(Opcode::kLdxImmediate, value.k);
  else if (value.op == Op::kLength) push(Opcode::kLdxLength);
  else if (value.op == Op::kGetSlot) push(Opcode::kLdxScratch, slots_.word[value.k]);
  else push(Opcode::kLdxHeaderLength, absolute_offset(graph_[graph_[value.a].a].k));
}

bool BlockCode::fits_accumulator_directly(ValueId id) const {
  const Value& value = graph_[id];
  return is_kept(id) || is_cheap(value.op) || (value.op == Op::kExtension && value.a == kNone) ||
         (value.op == Op::kLoad && (value.a == kNone || graph_[value.a].op == Op::kConstant));
}

void BlockCode::load_accumulator_directly(ValueId id) {
  const Value& value = graph_[id];
  if (is_kept(id)) {
    push(Opcode::kLdScratch, use_kept(id));
  } else if (value.op == Op::kConstant) {
    push(Opcode::kLdImmediate, value.k);
  } else if (value.op == Op::kLength) {
    push(Opcode::kLdLength);
  } else if (value.op == Op::kGetSlot) {
    push(Opcode::kLdScratch, slots_.word[value.k]);
  } else if (value.op == Op::kExtension) {
    push(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + value.k);
  } else {
    const std::uint32_t base = value.a == kNone ? 0 : graph_[value.a].k;
    push(load_opcode(value.size, false), absolute_offset(base + value.k));
  }
}

Result<Operand> BlockCode::operands(ValueId lhs, ValueId rhs) {
  if (graph_[rhs].op == Op::kConstant) {
    WEIR_CHECK(compute(lhs));
    return Operand{false, graph_[rhs].k};
  }
  if (fits_index_directly(rhs)) {
    WEIR_CHECK(compute(lhs));
    load_index_directly(rhs);
    return Operand{true};
  }
  if (words_needed(lhs) > words_needed(rhs)) {
    WEIR_CHECK(compute(lhs));
    WEIR_TRY(const std::uint32_t word, take_word());
    push(Opcode::kSt, word);
    WEIR_CHECK(compute(rhs));
    push(Opcode::kTax);
    push(Opcode::kLdScratch, word);
    release_word(word);
    return Operand{true};
  }
  WEIR_CHECK(compute(rhs));
  if (fits_accumulator_directly(lhs)) {
    push(Opcode::kTax);
    load_accumulator_directly(lhs);
    return Operand{true};
  }
  WEIR_TRY(const std::uint32_t word, take_word());
  push(Opcode::kSt, word);
  WEIR_CHECK(compute(lhs));
  push(Opcode::kLdxScratch, word);
  release_word(word);
  return Operand{true};
}

// The operation itself, with its left side (of a load: its base) in A.
void BlockCode::apply(const Value& value, Operand right) {
  if (value.op == Op::kExtension) {
    push(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + value.k);
  } else if (value.op == Op::kLoad) {
    push(Opcode::kTax);
    push(load_opcode(value.size, true), value.k);
  } else if (value.op == Op::kNegate) {
    push(Opcode::kNeg);
  } else if (right.in_index) {
    push(alu_opcode(value.op, true));
  } else if ((value.op == Op::kDivide || value.op == Op::kModulo) && right.k == 0) {
    push(Opcode::kRetK, 0);
  } else {
    const bool shift = value.op == Op::kShiftLeft || value.op == Op::kShiftRight;
    code_.push_back(alu_with_constant(value.op, shift ? right.k & 31 : right.k));
  }
}

void BlockCode::start_value(ValueId id) {
  const Value& value = graph_[id];
  if (fits_accumulator_directly(id)) {
    load_accumulator_directly(id);
  } else if (value.op == Op::kLoad && fits_index_directly(value.a)) {
    load_index_directly(value.a);
    push(load_opcode(value.size, true), value.k);
  } else if (is_header_length(id)) {
    load_index_directly(id);
    push(Opcode::kTxa);
  } else if (value.op == Op::kLoad || value.op == Op::kNegate) {
    tasks_.push_back({Todo::kUnary, id});
    tasks_.push_back({Todo::kValue, value.a});
  } else if (is_binary(value.op) && graph_[value.b].op == Op::kConstant) {
    tasks_.push_back({Todo::kConstantRight, id});
    tasks_.push_back({Todo::kValue, value.a});
  } else if (fits_index_directly(value.b)) {
    tasks_.push_back({Todo::kIndexRight, id});
    tasks_.push_back({Todo::kValue, value.a});
  } else if (words_needed(value.a) > words_needed(value.b)) {
    tasks_.push_back({Todo::kAfterLeft, id});
    tasks_.push_back({Todo::kValue, value.a});
  } else {
    tasks_.push_back({Todo::kAfterRight, id});
    tasks_.push_back({Todo::kValue, value.b});
  }
}

// The left side is there, and waits in a word for the right one.
Status BlockCode::after_left(ValueId id) {
  WEIR_TRY(const std::uint32_t word, take_word());
  push(Opcode::kSt, word);
  tasks_.push_back({Todo::kWordLeft, id, word});
  tasks_.push_back({Todo::kValue, graph_[id].b});
  return {};
}

// The right side, which needed A for itself, is there: it moves out of the way of the left side.
Status BlockCode::after_right(ValueId id) {
  const Value& value = graph_[id];
  if (is_commutative(value.op) && graph_[value.a].op == Op::kConstant) {
    apply(value, {.k = graph_[value.a].k});
  } else if (is_commutative(value.op) && fits_index_directly(value.a)) {
    load_index_directly(value.a);
    apply(value, {.in_index = true});
  } else if (fits_accumulator_directly(value.a)) {
    push(Opcode::kTax);
    load_accumulator_directly(value.a);
    apply(value, {.in_index = true});
  } else {
    WEIR_TRY(const std::uint32_t word, take_word());
    push(Opcode::kSt, word);
    tasks_.push_back({Todo::kWordRight, id, word});
    tasks_.push_back({Todo::kValue, value.a});
  }
  return {};
}

Status BlockCode::compute(ValueId id) {
  tasks_.assign(1, {Todo::kValue, id});
  while (!tasks_.empty()) {
    const Task task = tasks_.back();
    tasks_.pop_back();
    const Value& value = graph_[task.id];
    switch (task.todo) {
      case Todo::kValue: start_value(task.id); break;
      case Todo::kAfterLeft: WEIR_CHECK(after_left(task.id)); break;
      case Todo::kAfterRight: WEIR_CHECK(after_right(task.id)); break;
      case Todo::kUnary: apply(value, {}); break;
      case Todo::kConstantRight: apply(value, {.k = graph_[value.b].k}); break;
      case Todo::kIndexRight:
        load_index_directly(value.b);
        apply(value, {.in_index = true});
        break;
      case Todo::kWordLeft:
        if (!is_commutative(value.op)) push(Opcode::kTax);
        push(is_commutative(value.op) ? Opcode::kLdxScratch : Opcode::kLdScratch, task.word);
        release_word(task.word);
        apply(value, {.in_index = true});
        break;
      case Todo::kWordRight:
        push(Opcode::kLdxScratch, task.word);
        release_word(task.word);
        apply(value, {.in_index = true});
        break;
    }
  }
  return {};
}

}  // namespace weir::flow
