// Straight-line code for one block. Exports BlockCode and allocate_slots.
//
// A value used once is computed at its use. A value used more often is computed where it stands and kept in a scratch
// word, unless computing it again is as short (constants, the length, slots). A slot read whose use comes after the
// slot is set again is kept likewise. Left operands are followed in a loop, right ones by recursion, which the parser's
// limit on nesting bounds.
#include "flow/block_code.h"

#include <algorithm>

namespace weir::flow {

using cbpf::Opcode;

struct BlockCode::Pending {
  ValueId id;
  enum : std::uint8_t { kUnary, kConstantRight, kIndexRight, kWordRight } shape;
  std::uint32_t word = kNone;
};

namespace {

constexpr std::uint32_t kBeyondEveryPacket = 0x7fffffff;

bool leaves(Op op) { return op == Op::kLoad || op == Op::kDivide || op == Op::kModulo; }
bool is_cheap(Op op) { return op == Op::kConstant || op == Op::kLength || op == Op::kGetSlot; }
bool is_binary(Op op) { return op >= Op::kAdd; }

Opcode load_opcode(std::uint8_t size, bool indirect) {
  switch (size) {
    case 1: return indirect ? Opcode::kLdByteIndirect : Opcode::kLdByteAbsolute;
    case 2: return indirect ? Opcode::kLdHalfIndirect : Opcode::kLdHalfAbsolute;
    default: return indirect ? Opcode::kLdWordIndirect : Opcode::kLdWordAbsolute;
  }
}

Opcode alu_opcode(Op op, bool index) {
  switch (op) {
    case Op::kAdd: return index ? Opcode::kAddX : Opcode::kAddK;
    case Op::kSubtract: return index ? Opcode::kSubX : Opcode::kSubK;
    case Op::kMultiply: return index ? Opcode::kMulX : Opcode::kMulK;
    case Op::kDivide: return index ? Opcode::kDivX : Opcode::kDivK;
    case Op::kModulo: return index ? Opcode::kModX : Opcode::kModK;
    case Op::kAnd: return index ? Opcode::kAndX : Opcode::kAndK;
    case Op::kOr: return index ? Opcode::kOrX : Opcode::kOrK;
    case Op::kXor: return index ? Opcode::kXorX : Opcode::kXorK;
    case Op::kShiftLeft: return index ? Opcode::kLshX : Opcode::kLshK;
    case Op::kShiftRight: return index ? Opcode::kRshX : Opcode::kRshK;
    default: return Opcode::kAddK;
  }
}

Error too_many_words() {
  return Error{.code = ErrorCode::kLimit,
               .message = "the program needs more than the 16 scratch words of the classic machine",
               .hint = "split the expression, or nest its arithmetic less deeply"};
}

}  // namespace

Result<Slots> allocate_slots(const Graph& graph) {
  Slots slots;
  slots.word.assign(graph.slot_count, kNone);
  for (const Block& block : graph.blocks) {
    for (const ValueId id : block.values) {
      const Value& value = graph[id];
      if (value.op != Op::kGetSlot || slots.word[value.k] != kNone) continue;
      if (slots.used == cbpf::kScratchWords) return fail(too_many_words());
      slots.word[value.k] = slots.used++;
    }
  }
  return slots;
}

BlockCode::BlockCode(const Graph& graph, const Block& block, const Slots& slots)
    : graph_(graph), block_(block), slots_(slots), words_taken_((1u << slots.used) - 1) {
  if (block.values.empty()) return;
  const auto [low, high] = std::minmax_element(block.values.begin(), block.values.end());
  lowest_ = *low;
  const std::size_t size = *high - *low + 1;
  uses_.assign(size, 0);
  stored_word_.assign(size, kNone);
  must_store_.assign(size, false);
  computed_.assign(size, false);
  count_uses();
  decide_what_is_stored();
}

void BlockCode::count_uses() {
  const auto use = [&](ValueId id) {
    if (id != kNone) ++uses_[position(id)];
  };
  for (const ValueId id : block_.values) {
    use(graph_[id].a);
    use(graph_[id].b);
  }
  use(block_.exit.lhs);
  use(block_.exit.rhs);
}

// Walks backward: `when` is the index in the block at which a value is computed last.
void BlockCode::decide_what_is_stored() {
  const std::size_t count = block_.values.size();
  std::vector<std::size_t> when(uses_.size(), 0);
  const auto needed = [&](ValueId id, std::size_t at) {
    if (id != kNone) when[position(id)] = std::max(when[position(id)], at);
  };
  needed(block_.exit.lhs, count);
  needed(block_.exit.rhs, count);
  for (std::size_t i = count; i-- > 0;) {
    const ValueId id = block_.values[i];
    const Value& value = graph_[id];
    const std::size_t at = position(id);
    bool store = uses_[at] > 1 && !is_cheap(value.op);
    if (value.op == Op::kGetSlot) {
      for (std::size_t j = i + 1; j < std::min(when[at], count) && !store; ++j) {
        const Value& later = graph_[block_.values[j]];
        store = later.op == Op::kSetSlot && later.k == value.k;
      }
    }
    must_store_[at] = store;
    const std::size_t computed_at = store || uses_[at] == 0 ? i : when[at];
    needed(value.a, computed_at);
    needed(value.b, computed_at);
  }
}

Result<std::uint32_t> BlockCode::take_word() {
  for (std::uint32_t word = 0; word < cbpf::kScratchWords; ++word) {
    if ((words_taken_ & (1u << word)) != 0) continue;
    words_taken_ |= 1u << word;
    return word;
  }
  return fail(too_many_words());
}

void BlockCode::release_word(std::uint32_t word) { words_taken_ &= ~(1u << word); }

Status BlockCode::body() {
  for (const ValueId id : block_.values) {
    const Value& value = graph_[id];
    const std::size_t at = position(id);
    if (value.op == Op::kParameter)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "block parameters cannot be emitted yet"});
    if (value.op == Op::kSetSlot) {
      WEIR_CHECK(to_accumulator(value.a));
      if (slots_.word[value.k] != kNone) push(Opcode::kSt, slots_.word[value.k]);
    } else if (must_store_[at]) {
      WEIR_CHECK(compute(id));
      WEIR_TRY(stored_word_[at], take_word());
      push(Opcode::kSt, stored_word_[at]);
    } else if (uses_[at] == 0 && (leaves(value.op) || value.a != kNone)) {
      WEIR_CHECK(compute(id));
    }
  }
  return {};
}

bool BlockCode::is_header_length(ValueId id) const {
  const Value& shifted = graph_[id];
  const bool by_four =
      (shifted.op == Op::kShiftLeft && graph_[shifted.b].op == Op::kConstant && graph_[shifted.b].k == 2) ||
      (shifted.op == Op::kMultiply && graph_[shifted.b].op == Op::kConstant && graph_[shifted.b].k == 4);
  if (!by_four || is_stored(shifted.a)) return false;
  const Value& masked = graph_[shifted.a];
  if (masked.op != Op::kAnd || graph_[masked.b].op != Op::kConstant || graph_[masked.b].k != 0xf) return false;
  const Value& byte = graph_[masked.a];
  return !is_stored(masked.a) && byte.op == Op::kLoad && byte.size == 1 && byte.a == kNone &&
         byte.k <= kBeyondEveryPacket;
}

bool BlockCode::fits_index_directly(ValueId id) const {
  if (is_stored(id)) return true;
  const Op op = graph_[id].op;
  return is_cheap(op) || is_header_length(id);
}

bool BlockCode::load_index_directly(ValueId id) {
  const Value& value = graph_[id];
  if (is_stored(id)) push(Opcode::kLdxScratch, stored_word_[position(id)]);
  else if (value.op == Op::kConstant) push(Opcode::kLdxImmediate, value.k);
  else if (value.op == Op::kLength) push(Opcode::kLdxLength);
  else if (value.op == Op::kGetSlot) push(Opcode::kLdxScratch, slots_.word[value.k]);
  else if (is_header_length(id)) push(Opcode::kLdxHeaderLength, graph_[graph_[value.a].a].k);
  else return false;
  return true;
}

bool BlockCode::fits_accumulator_directly(ValueId id) const {
  if (is_stored(id)) return true;
  const Value& value = graph_[id];
  return is_cheap(value.op) || (value.op == Op::kExtension && value.a == kNone) ||
         (value.op == Op::kLoad && (value.a == kNone || graph_[value.a].op == Op::kConstant));
}

bool BlockCode::load_accumulator_directly(ValueId id) {
  if (!fits_accumulator_directly(id)) return false;
  const Value& value = graph_[id];
  if (is_stored(id)) {
    push(Opcode::kLdScratch, stored_word_[position(id)]);
  } else if (value.op == Op::kConstant) {
    push(Opcode::kLdImmediate, value.k);
  } else if (value.op == Op::kLength) {
    push(Opcode::kLdLength);
  } else if (value.op == Op::kGetSlot) {
    push(Opcode::kLdScratch, slots_.word[value.k]);
  } else if (value.op == Op::kExtension) {
    push(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + value.k);
  } else {
    // High offsets mean something else to the classic machine (extensions, headers); here they lie outside.
    const std::uint32_t base = value.a == kNone ? 0 : graph_[value.a].k;
    push(load_opcode(value.size, false), std::min(base + value.k, kBeyondEveryPacket));
  }
  return true;
}

Status BlockCode::to_accumulator(ValueId id) { return compute(id); }

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
    push(alu_opcode(value.op, false), shift ? right.k & 31 : right.k);
  }
}

Status BlockCode::compute(ValueId id) {
  std::vector<Pending> pending;
  for (;;) {
    if (load_accumulator_directly(id)) break;
    const Value& value = graph_[id];
    if (value.op == Op::kLoad && fits_index_directly(value.a)) {
      load_index_directly(value.a);
      push(load_opcode(value.size, true), value.k);
      break;
    }
    const bool binary = is_binary(value.op) || value.op == Op::kExtension;
    if (!binary) {
      pending.push_back({id, Pending::kUnary});
    } else if (graph_[value.b].op == Op::kConstant && is_binary(value.op)) {
      pending.push_back({id, Pending::kConstantRight});
    } else if (fits_index_directly(value.b)) {
      pending.push_back({id, Pending::kIndexRight});
    } else {
      WEIR_CHECK(compute(value.b));
      if (fits_accumulator_directly(value.a)) {
        push(Opcode::kTax);
        load_accumulator_directly(value.a);
        apply(value, {.in_index = true});
        break;
      }
      WEIR_TRY(const std::uint32_t word, take_word());
      push(Opcode::kSt, word);
      pending.push_back({id, Pending::kWordRight, word});
    }
    id = value.a;
  }
  for (; !pending.empty(); pending.pop_back()) {
    const Pending& last = pending.back();
    const Value& value = graph_[last.id];
    if (last.shape == Pending::kIndexRight) load_index_directly(value.b);
    if (last.shape == Pending::kWordRight) {
      push(Opcode::kLdxScratch, last.word);
      release_word(last.word);
    }
    const bool constant = last.shape == Pending::kConstantRight;
    apply(value, {.in_index = !constant, .k = constant ? graph_[value.b].k : 0});
  }
  return {};
}

}  // namespace weir::flow
