// Blocks, values and tests on AArch64. Exports A64Body.
#include "engine/a64_body.h"

#include <algorithm>

#include "engine/extension_load.h"
#include "engine/plan_passes.h"
#include "engine/plan_values.h"

namespace weir::engine {

using flow::Condition;
using flow::ExitKind;
using flow::Op;
namespace a64 = asmjit::a64;
using a64::CondCode;

namespace {

constexpr std::size_t kMostNodes = 20000;  // what the register allocator takes in reasonable time

}  // namespace

bool A64Body::takes(const Plan& plan) {
  if (plan.nodes.size() > kMostNodes) return false;
  return std::all_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) {
    return node.op != Op::kExtension || metadata_offset(static_cast<cbpf::Extension>(node.k)) >= 0;
  });
}

A64Body::A64Body(a64::Compiler& compiler, const Plan& plan, std::span<const SetTable> tables)
    : c_(compiler),
      plan_(plan),
      tables_(tables),
      labels_(plan.blocks.size()),
      phis_(plan.phi_count),
      cached_(plan.nodes.size()) {
  for (asmjit::Label& label : labels_) label = c_.newLabel();
  for (std::size_t i = 0; i < tables.size(); ++i) table_labels_.push_back(c_.newLabel());
}

void A64Body::emit(const A64Packet& packet) {
  packet_ = packet;
  for (Gp& phi : phis_) {
    phi = c_.newUInt32();
    c_.mov(phi, 0);
  }
  Scratch scratch;
  const ScratchVector<PlanBlockId> dominator = dominators(plan_, scratch);
  const auto count = static_cast<PlanBlockId>(plan_.blocks.size());
  std::vector<PlanBlockId> first_child(count, kNothing);
  std::vector<PlanBlockId> sibling(count, kNothing);
  for (PlanBlockId id = count; id-- > 1;) {
    sibling[id] = first_child[dominator[id]];
    first_child[dominator[id]] = id;
  }
  struct Frame {
    PlanBlockId next_child;
    std::size_t taken;
  };
  std::vector<Frame> stack;
  const auto enter = [&](PlanBlockId id) {
    stack.push_back({first_child[id], taken_.size()});
    emit_block(id);
  };
  enter(0);
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (const PlanBlockId child = frame.next_child; child != kNothing) {
      frame.next_child = sibling[child];
      enter(child);
      continue;
    }
    for (; taken_.size() > frame.taken; taken_.pop_back()) cached_[taken_.back()] = Gp();
    stack.pop_back();
  }
}

void A64Body::reject() {
  c_.mov(packet_.verdict, 0);
  c_.b(packet_.next);
}

void A64Body::emit_block(PlanBlockId id) {
  const PlanBlock& block = plan_.blocks[id];
  c_.bind(labels_[id]);
  for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) guard(plan_.guards[g]);
  switch (block.kind) {
    case ExitKind::kVerdict:
      c_.mov(packet_.verdict, value(block.lhs));
      c_.b(packet_.next);
      return;
    case ExitKind::kJump: return emit_edge(block.if_true);
    case ExitKind::kTest:
    case ExitKind::kSet: break;
  }
  const CondCode condition = test(block);
  const asmjit::Label when_true = c_.newLabel();
  c_.b(condition, when_true);
  const std::size_t taken = taken_.size();
  // What an edge computes for its assignments holds on this edge alone.
  const auto forget = [&] {
    for (; taken_.size() > taken; taken_.pop_back()) cached_[taken_.back()] = Gp();
  };
  emit_edge(block.if_false);
  forget();
  c_.bind(when_true);
  emit_edge(block.if_true);
  forget();
}

void A64Body::emit_edge(const PlanEdge& edge) {
  for (std::uint32_t i = edge.assignments.begin; i < edge.assignments.end; ++i) {
    const Assignment& assignment = plan_.assignments[i];
    c_.mov(phis_[plan_[assignment.phi].k], value(assignment.value));
  }
  c_.b(labels_[edge.target]);
}

// Goes on when the load lies inside, or the divisor is not zero.
void A64Body::guard(NodeId id) {
  const Node& node = plan_[id];
  const asmjit::Label inside = c_.newLabel();
  if (node.op == Op::kLoad) {
    const Gp end = c_.newUInt64();
    if (node.a == kNothing) {
      move_constant(end.w(), node.k + node.size);
    } else {
      const Gp start = c_.newUInt32();
      c_.add(start, value(node.a), constant(node.k));  // base + k wraps at 32 bits
      c_.mov(end.w(), start);
      c_.add(end, end, node.size);
    }
    c_.cmp(end, packet_.length);
    c_.b(CondCode::kLS, inside);
  } else {
    c_.cmp(value(node.b), 0);
    c_.b(CondCode::kNE, inside);
  }
  reject();
  c_.bind(inside);
}

void A64Body::move_constant(const Gp& to, std::uint32_t value) {
  c_.movz(to, value & 0xffff);
  if (value > 0xffff) c_.movk(to, value >> 16, 16);
}

a64::Gp A64Body::constant(std::uint32_t value) {
  const Gp out = c_.newUInt32();
  move_constant(out, value);
  return out;
}

a64::Gp A64Body::value(NodeId root) {
  if (cached_[root].isValid()) return cached_[root];
  for (const NodeId id : missing_for(plan_, root, true, [&](NodeId each) { return cached_[each].isValid(); })) {
    cached_[id] = compute(id);
    taken_.push_back(id);
  }
  return cached_[root];
}

a64::Gp A64Body::compute(NodeId id) {
  const Node& node = plan_[id];
  switch (node.op) {
    case Op::kConstant: return constant(node.k);
    case Op::kParameter: return phis_[node.k];
    case Op::kLength: return packet_.wire_length;
    case Op::kLoad: return compute_load(node);
    case Op::kExtension: return compute_extension(node);
    case Op::kNegate: {
      const Gp out = c_.newUInt32();
      c_.neg(out, cached_[node.a]);
      return out;
    }
    default: return compute_binary(node);
  }
}

a64::Gp A64Body::compute_load(const Node& node) {
  const Gp offset = c_.newUInt64();
  move_constant(offset.w(), node.k);
  if (node.a != kNothing) c_.add(offset.w(), offset.w(), cached_[node.a]);
  const a64::Mem from = a64::ptr(packet_.data, offset);
  const Gp out = c_.newUInt32();
  switch (node.size) {
    case 1: c_.ldrb(out, from); break;
    case 2:
      c_.ldrh(out, from);
      c_.rev16(out, out);
      break;
    default:
      c_.ldr(out, from);
      c_.rev(out, out);
      break;
  }
  return out;
}

a64::Gp A64Body::compute_extension(const Node& node) {
  const Gp out = c_.newUInt32();
  const asmjit::Label unknown = c_.newLabel();
  c_.mov(out, 0);
  c_.cbz(packet_.metadata, unknown);
  c_.ldr(out, a64::ptr(packet_.metadata, metadata_offset(static_cast<cbpf::Extension>(node.k))));
  c_.bind(unknown);
  return out;
}

a64::Gp A64Body::compute_binary(const Node& node) {
  const Gp out = c_.newUInt32();
  const Gp& a = cached_[node.a];
  const Gp& b = cached_[node.b];
  switch (node.op) {
    case Op::kAdd: c_.add(out, a, b); break;
    case Op::kSubtract: c_.sub(out, a, b); break;
    case Op::kMultiply: c_.mul(out, a, b); break;
    case Op::kAnd: c_.and_(out, a, b); break;
    case Op::kOr: c_.orr(out, a, b); break;
    case Op::kXor: c_.eor(out, a, b); break;
    case Op::kShiftLeft: c_.lsl(out, a, b); break;  // the count modulo 32, as in the classic machine
    case Op::kShiftRight: c_.lsr(out, a, b); break;
    case Op::kDivide: c_.udiv(out, a, b); break;
    case Op::kModulo: {
      const Gp quotient = c_.newUInt32();
      c_.udiv(quotient, a, b);
      c_.msub(out, quotient, b, a);
      break;
    }
    default: break;
  }
  return out;
}

CondCode A64Body::test(const PlanBlock& block) {
  const Gp left = value(block.lhs);
  if (block.kind == ExitKind::kSet) return contains(tables_[block.set], block.set, left);
  const Gp right = value(block.rhs);
  if (block.condition == Condition::kBitsSet) {
    c_.tst(left, right);
    return CondCode::kNE;
  }
  c_.cmp(left, right);
  switch (block.condition) {
    case Condition::kEqual: return CondCode::kEQ;
    case Condition::kGreater: return CondCode::kHI;
    default: return CondCode::kHS;
  }
}

a64::Gp A64Body::table(std::uint32_t number) {
  const Gp out = c_.newUInt64();
  c_.adr(out, table_labels_[number]);
  return out;
}

// The word at `index` in a table, `words_further`.
a64::Gp A64Body::word_at(const Gp& table, const Gp& index, std::uint32_t words_further) {
  const Gp at = c_.newUInt64();
  move_constant(at.w(), words_further);
  c_.add(at.w(), at.w(), index);
  const Gp out = c_.newUInt32();
  c_.ldr(out, a64::ptr(table, at, a64::lsl(2)));
  return out;
}

CondCode A64Body::contains(const SetTable& set, std::uint32_t number, const Gp& value) {
  const Gp out = c_.newUInt32();
  const auto from_first = [&] {
    const Gp at = c_.newUInt32();
    c_.sub(at, value, constant(set.first));
    return at;
  };
  const auto probe = [&](const Gp& key, std::uint32_t side) {
    const Gp slot = c_.newUInt32();
    c_.mul(slot, key, constant(set.multipliers[side]));
    c_.lsr(slot, slot, constant(set.hash_shift));
    c_.cmp(word_at(table(number), slot, side * set.second_table), key);
  };
  switch (set.kind) {
    case SetKind::kNever:
    case SetKind::kAlways: c_.cmp(constant(0), constant(set.kind == SetKind::kAlways ? 0 : 1)); return CondCode::kEQ;
    case SetKind::kRange: c_.cmp(from_first(), constant(set.span)); return CondCode::kLS;
    case SetKind::kWord:
    case SetKind::kBitmap: {
      const Gp at = from_first();
      const Gp inside = c_.newUInt32();
      const Gp word = c_.newUInt32();
      c_.cmp(at, constant(set.span));
      c_.csel(inside, at, constant(set.span), CondCode::kLO);  // the nearest place inside
      c_.lsr(word, inside, constant(5));
      c_.lsr(out, word_at(table(number), word, 0), inside);
      c_.and_(out, out, constant(1));
      c_.cmp(at, inside);
      c_.csel(out, out, constant(0), CondCode::kEQ);
      break;
    }
    case SetKind::kFew: {
      c_.mov(out, 0);
      for (const flow::Range& range : set.ranges) {
        const Gp at = c_.newUInt32();
        c_.sub(at, value, constant(range.first));
        c_.cmp(at, constant(range.last - range.first));
        c_.csel(out, constant(1), out, CondCode::kLS);
      }
      break;
    }
    case SetKind::kPerfect:
    case SetKind::kCuckoo: {
      const Gp key = c_.newUInt32();
      c_.lsr(key, value, constant(set.key_shift));
      probe(key, 0);
      c_.cset(out, CondCode::kEQ);
      if (set.kind == SetKind::kPerfect) break;
      probe(key, 1);
      c_.csel(out, constant(1), out, CondCode::kEQ);
      break;
    }
    case SetKind::kSearch: {
      const Gp words = table(number);
      c_.mov(out, 0);
      for (auto step = static_cast<std::uint32_t>((set.words.size() + 1) / 2); step != 0; step /= 2) {
        const Gp further = c_.newUInt32();
        const Gp word = word_at(words, out, step - 1);
        c_.add(further, out, constant(step));
        c_.cmp(word, value);
        c_.csel(out, further, out, CondCode::kLS);
      }
      c_.and_(out, out, constant(1));
      c_.cmp(out, constant(set.parity ? 1 : 0));
      return CondCode::kNE;
    }
  }
  c_.cmp(out, 0);
  return CondCode::kNE;
}

void A64Body::embed_data() {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    c_.align(asmjit::AlignMode::kData, 8);
    c_.bind(table_labels_[i]);
    const SetTable& set = tables_[i];
    if (set.kind == SetKind::kWord) c_.embed(&set.bits, sizeof set.bits);
    if (!set.words.empty()) c_.embed(set.words.data(), set.words.size() * sizeof(std::uint32_t));
  }
}

}  // namespace weir::engine
