// Straight-line code for expressions. Exports ExpressionCode.
//
// An expression that a register holds is taken from there. A second operand goes to X: directly where one instruction
// loads it, through A where the first operand can be computed without X, and through a scratch word otherwise.
#include "flow/registers.h"

#include <algorithm>

#include "flow/classic_opcodes.h"

namespace weir::flow {

using cbpf::Opcode;

std::uint32_t ExpressionCode::word_of(ExprId e) const {
  for (std::uint32_t word = 0; word < now.m.size(); ++word)
    if (now.m[word] == e) return word;
  return kNone;
}

bool ExpressionCode::is_header_length(ExprId id) const {
  const Expr& scaled = expressions_[id];
  if (scaled.op != Op::kShiftLeft || !expressions_.is_constant(scaled.b, 2)) return false;
  const Expr& masked = expressions_[scaled.a];
  if (masked.op != Op::kAnd || !expressions_.is_constant(masked.b, 0xf)) return false;
  const Expr& byte = expressions_[masked.a];
  return byte.op == Op::kLoad && byte.size == 1 && byte.a == kNone;
}

bool ExpressionCode::is_direct_x(ExprId e) const {
  if (now.x == e || now.a == e) return true;
  const Op op = expressions_[e].op;
  return op == Op::kConstant || op == Op::kLength || is_header_length(e) || word_of(e) != kNone;
}

void ExpressionCode::store(std::uint32_t word, bool from_x) {
  push(from_x ? Opcode::kStx : Opcode::kSt, word);
  now.m[word] = from_x ? now.x : now.a;
}

// Notes that an expression was computed just now, and keeps it where it has a scratch word.
void ExpressionCode::note_computed(ExprId e, std::size_t instructions) {
  if (instructions < 2) return;
  ++computed[e];
  cost[e] = static_cast<std::uint32_t>(instructions);
  if (std::find(computed_here_.begin(), computed_here_.end(), e) != computed_here_.end()) twice_in_node[e] = true;
  else computed_here_.push_back(e);
  if (home[e] < cbpf::kScratchWords && now.m[home[e]] != e && (keep[e] || twice_in_node[e])) store(home[e], now.a != e);
}

void ExpressionCode::to_x(ExprId e) {
  if (now.x == e) return;
  const std::size_t before = code.size();
  const Expr& expr = expressions_[e];
  if (now.a == e) {
    push(Opcode::kTax);
  } else if (expr.op == Op::kConstant) {
    push(Opcode::kLdxImmediate, expr.k);
  } else if (expr.op == Op::kLength) {
    push(Opcode::kLdxLength);
  } else if (const std::uint32_t word = word_of(e); word != kNone) {
    push(Opcode::kLdxScratch, word);
  } else if (is_header_length(e)) {
    const std::uint32_t offset = absolute_offset(expressions_[expressions_[expr.a].a].k);
    push(Opcode::kLdxHeaderLength, offset);
    loaded_to = std::max(loaded_to, offset + 1);
  } else {
    to_a(e);
    push(Opcode::kTax);
  }
  now.x = e;
  if (code.size() - before > 2) cost[e] = static_cast<std::uint32_t>(code.size() - before);
}

// Whether computing e into A, with x in X, changes nothing in X.
bool ExpressionCode::leaves_x_alone(ExprId id, ExprId x, int depth) const {
  if (now.a == id || id == x || word_of(id) != kNone) return true;
  const Expr& e = expressions_[id];
  switch (e.op) {
    case Op::kConstant:
    case Op::kLength: return true;
    case Op::kExtension: return e.a == kNone;
    case Op::kLoad: return e.a == kNone || e.a == x;
    case Op::kParameter: return false;
    default: break;
  }
  if (depth > 64) return false;
  if (e.op == Op::kNegate) return leaves_x_alone(e.a, x, depth + 1);
  return (expressions_.is_constant(e.b) || e.b == x) && leaves_x_alone(e.a, x, depth + 1);
}

bool ExpressionCode::from_register(ExprId e) {
  if (now.a == e) return true;
  if (now.x == e) {
    push(Opcode::kTxa);
  } else if (const std::uint32_t word = word_of(e); word != kNone) {
    push(Opcode::kLdScratch, word);
  } else {
    return false;
  }
  now.a = e;
  return true;
}

void ExpressionCode::make_a(ExprId e, bool keep_x) {
  if (failed || from_register(e)) return;
  const std::size_t before = code.size();
  if (before > most) {
    failed = true;
    return;
  }
  compute_a(e, keep_x);
  now.a = e;
  note_computed(e, code.size() - before);
}

// The low bytes of a load, where a mask leaves just them: a narrower load that ends where the wide one does.
bool ExpressionCode::narrowed(const Expr& e) {
  if (words_only || e.op != Op::kAnd || !expressions_.is_constant(e.b) || now.a == e.a || word_of(e.a) != kNone)
    return false;
  const Expr& wide = expressions_[e.a];
  const std::uint32_t mask = expressions_[e.b].k;
  if (wide.op != Op::kLoad || wide.a != kNone || wide.k >= kFarthestNeed) return false;
  const std::uint8_t size = mask == 0xff ? 1 : mask == 0xffff ? 2 : 4;
  if (size >= wide.size) return false;
  push(load_opcode(size, false), wide.k + wide.size - size);
  loaded_to = std::max(loaded_to, wide.k + wide.size);
  return true;
}

void ExpressionCode::compute_a(ExprId id, bool keep_x) {
  const Expr e = expressions_[id];
  switch (e.op) {
    case Op::kConstant: return push(Opcode::kLdImmediate, e.k);
    case Op::kLength: return push(Opcode::kLdLength);
    case Op::kParameter: failed = true; return;
    case Op::kExtension:
      if (e.a != kNone) to_a_and_x(e.a, e.b, false);
      return push(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + e.k);
    case Op::kLoad:
      if (e.a == kNone) {
        const std::uint32_t offset = absolute_offset(e.k);
        if (offset < kFarthestNeed) loaded_to = std::max(loaded_to, offset + e.size);
        else executed.push_back(id);
        return push(load_opcode(e.size, false), offset);
      }
      to_x(e.a);
      executed.push_back(id);
      return push(load_opcode(e.size, true), e.k);
    case Op::kNegate: make_a(e.a, keep_x); return push(Opcode::kNeg);
    default: break;
  }
  if (narrowed(e)) return;
  if (!keep_x && !x_locked && is_header_length(id) && now.a != e.a) {
    to_x(id);
    return push(Opcode::kTxa);
  }
  if (expressions_.is_constant(e.b)) {
    make_a(e.a, keep_x);
    code.push_back(alu_with_constant(e.op, expressions_[e.b].k));
    return;
  }
  if (keep_x && e.b == now.x) make_a(e.a, true);
  else to_a_and_x(e.a, e.b, is_commutative(e.op));
  if (e.op == Op::kDivide || e.op == Op::kModulo) executed.push_back(id);
  push(alu_opcode(e.op, true));
}

void ExpressionCode::to_a_and_x(ExprId a, ExprId b, bool commutative) {
  if (failed) return;
  if (now.x == b && leaves_x_alone(a, b)) return make_a(a, true);
  if (commutative && now.x == a && leaves_x_alone(b, a)) return make_a(b, true);
  const auto direct_later = [&](ExprId e) { return now.a != e && now.x != e && is_direct_x(e); };
  if (direct_later(b)) {
    make_a(a, false);
    return to_x(b);
  }
  if (commutative && direct_later(a)) {
    make_a(b, false);
    return to_x(a);
  }
  if (a == b || leaves_x_alone(a, b)) {
    // What A holds now is gone when b was computed there.
    to_x(b);
    if (now.a == a || leaves_x_alone(a, b)) return make_a(a, true);
  }
  if (commutative && leaves_x_alone(b, a)) {
    to_x(a);
    if (now.a == b || leaves_x_alone(b, a)) return make_a(b, true);
  }
  pair_with_temporary(a, b);
}

void ExpressionCode::pair_with_temporary(ExprId a, ExprId b) {
  make_a(b, false);
  std::uint32_t word = 0;
  while (word < cbpf::kScratchWords && (free_words >> word & 1) == 0) ++word;
  if (word == cbpf::kScratchWords) {
    failed = true;
    return;
  }
  free_words &= ~(1u << word);
  store(word, false);
  make_a(a, false);
  if (now.m[word] != b) failed = true;
  push(Opcode::kLdxScratch, word);
  now.x = b;
  now.m[word] = kNone;
  free_words |= 1u << word;
}

void ExpressionCode::execute(ExprId id) {
  const Registers held = now;
  if (now.a == id) now.a = kNone;
  if (now.x == id) now.x = kNone;
  for (ExprId& word : now.m)
    if (word == id) word = kNone;
  compute_a(id, false);
  now.a = id;
  for (std::size_t word = 0; word < now.m.size(); ++word)
    if (held.m[word] == id && now.m[word] == kNone) now.m[word] = id;
}

}  // namespace weir::flow
