// Pure expressions, numbered by value. Exports Expressions, compute and known_of.
//
// The table is hashed with open addressing. Laws used: constants fold; x+0, x*1, x&~0 and their like vanish; x-c is
// x+(-c), and constants of sums move outward and into the offsets of loads; multiplications and divisions by powers of
// two are shifts; a mask that keeps every bit that may be set vanishes.
#include "flow/expressions.h"

#include <algorithm>
#include <bit>

#include <weir/cbpf/instruction.h>

namespace weir::flow {
namespace {

std::uint32_t hash(const Expr& e) {
  std::uint64_t h = static_cast<std::uint64_t>(e.op) * 0x9e3779b97f4a7c15u + e.size;
  h = (h ^ e.a) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 29) ^ e.b) * 0xc4ceb9fe1a85ec53u;
  h = (h ^ (h >> 31) ^ e.k) * 0x9e3779b97f4a7c15u;
  return static_cast<std::uint32_t>(h >> 32);
}

bool same(const Expr& x, const Expr& y) {
  return x.op == y.op && x.size == y.size && x.a == y.a && x.b == y.b && x.k == y.k;
}

bool is_commutative(Op op) {
  return op == Op::kAdd || op == Op::kMultiply || op == Op::kAnd || op == Op::kOr || op == Op::kXor;
}

std::uint32_t bits_up_to(std::uint32_t high) { return high == 0 ? 0 : kNone >> std::countl_zero(high); }

}  // namespace

std::uint32_t compute(Op op, std::uint32_t a, std::uint32_t b) {
  switch (op) {
    case Op::kAdd: return a + b;
    case Op::kSubtract: return a - b;
    case Op::kMultiply: return a * b;
    case Op::kDivide: return b == 0 ? 0 : a / b;
    case Op::kModulo: return b == 0 ? 0 : a % b;
    case Op::kAnd: return a & b;
    case Op::kOr: return a | b;
    case Op::kXor: return a ^ b;
    case Op::kShiftLeft: return a << (b & 31);
    case Op::kShiftRight: return a >> (b & 31);
    default: return 0;
  }
}

void tighten(Known& known) {
  known.low = std::max(known.low, known.ones);
  known.high = std::min(known.high, ~known.zeros);
  if (known.low > known.high) return;
  const std::uint32_t may_be_set = bits_up_to(known.high);
  known.zeros |= ~may_be_set;
  if (known.low == known.high) {
    known.ones = known.low;
    known.zeros = ~known.low;
  }
}

Known known_of(Op op, const Known& a, const Known& b) {
  Known out;
  const bool constant = b.low == b.high;
  switch (op) {
    case Op::kAdd:
      if (std::uint64_t{a.high} + b.high <= kNone) {
        out.low = a.low + b.low;
        out.high = a.high + b.high;
      }
      if (const int trailing = std::min(std::countr_one(a.zeros), std::countr_one(b.zeros)); trailing > 0)
        out.zeros |= trailing >= 32 ? kNone : (1u << trailing) - 1;
      break;
    case Op::kSubtract:
      if (a.low >= b.high) {
        out.low = a.low - b.high;
        out.high = a.high - b.low;
      }
      break;
    case Op::kMultiply:
      if (std::uint64_t{a.high} * b.high <= kNone) {
        out.low = a.low * b.low;
        out.high = a.high * b.high;
      }
      break;
    case Op::kDivide:
      out.high = a.high;
      if (constant && b.low != 0) {
        out.low = a.low / b.low;
        out.high = a.high / b.low;
      }
      break;
    case Op::kModulo: out.high = b.high != 0 ? std::min(a.high, b.high - 1) : a.high; break;
    case Op::kAnd:
      out.zeros = a.zeros | b.zeros;
      out.ones = a.ones & b.ones;
      out.high = std::min(a.high, b.high);
      break;
    case Op::kOr:
      out.zeros = a.zeros & b.zeros;
      out.ones = a.ones | b.ones;
      out.low = std::max(a.low, b.low);
      break;
    case Op::kXor:
      out.zeros = (a.zeros & b.zeros) | (a.ones & b.ones);
      out.ones = (a.zeros & b.ones) | (a.ones & b.zeros);
      break;
    case Op::kShiftLeft:
      if (!constant) break;
      out.zeros = (a.zeros << (b.low & 31)) | ((1u << (b.low & 31)) - 1);
      out.ones = a.ones << (b.low & 31);
      if (((std::uint64_t{a.high} << (b.low & 31)) >> 32) == 0) {
        out.low = a.low << (b.low & 31);
        out.high = a.high << (b.low & 31);
      }
      break;
    case Op::kShiftRight:
      out.high = a.high;
      if (!constant) break;
      out.zeros = ~(~a.zeros >> (b.low & 31));
      out.ones = a.ones >> (b.low & 31);
      out.low = a.low >> (b.low & 31);
      out.high = a.high >> (b.low & 31);
      break;
    default: break;
  }
  tighten(out);
  return out;
}

// Linux takes numbers from here on for something else than a place in the packet.
constexpr std::uint64_t kLastPlace = 0x7fffffff;

Expressions::Expressions() : table_(128, kNone) {}

void Expressions::reserve(std::size_t count) {
  exprs_.reserve(std::max<std::size_t>(count, 64));
  known_.reserve(std::max<std::size_t>(count, 64));
  while (table_.size() < 2 * count) grow();
}

void Expressions::grow() {
  std::vector<ExprId> bigger(table_.size() * 2, kNone);
  const std::size_t mask = bigger.size() - 1;
  for (ExprId id = 0; id < exprs_.size(); ++id) {
    std::size_t at = hash(exprs_[id]) & mask;
    while (bigger[at] != kNone) at = (at + 1) & mask;
    bigger[at] = id;
  }
  table_ = std::move(bigger);
}

ExprId Expressions::intern(Expr expr) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = hash(expr) & mask;
  for (; table_[at] != kNone; at = (at + 1) & mask)
    if (same(exprs_[table_[at]], expr)) return table_[at];
  std::uint32_t depth = 0;
  if (expr.a != kNone) depth = exprs_[expr.a].depth + 1u;
  if (expr.b != kNone) depth = std::max(depth, exprs_[expr.b].depth + 1u);
  if (depth > kDeepest) too_deep_ = true;
  expr.depth = static_cast<std::uint16_t>(std::min<std::uint32_t>(depth, kDeepest));
  const auto id = static_cast<ExprId>(exprs_.size());
  known_.push_back(bounds(expr));
  exprs_.push_back(expr);
  table_[at] = id;
  if (exprs_.size() * 2 > table_.size()) grow();
  return id;
}

Known Expressions::bounds(const Expr& expr) const {
  Known out;
  switch (expr.op) {
    case Op::kConstant: out.low = out.high = expr.k; break;
    case Op::kLoad:
      if (expr.size < 4) out.high = (1u << (8 * expr.size)) - 1;
      break;
    case Op::kExtension:
    case Op::kLength:
    case Op::kParameter:
    case Op::kNegate: break;
    default: return known_of(expr.op, known_[expr.a], known_[expr.b]);
  }
  tighten(out);
  return out;
}

std::uint32_t Expressions::highest(ExprId id) const {
  constexpr std::uint16_t kDeepestSeen = 8;  // each level may double the work
  const Expr& e = exprs_[id];
  if (e.op == Op::kParameter) return highest_[e.k];
  if (e.op < Op::kAdd || e.depth > kDeepestSeen) return known_[id].high;
  const auto bounded = [&](ExprId operand) {
    Known known = known_[operand];
    known.high = std::min(known.high, highest(operand));
    return known;
  };
  return std::min(known_[id].high, known_of(e.op, bounded(e.a), bounded(e.b)).high);
}

// Only sums that do not wrap move into the place of a load: Linux reads [x + k] at an address that wraps, libpcap's
// interpreter and the kernels of BSD read nothing there.
ExprId Expressions::load(std::uint8_t size, ExprId base, std::uint32_t k) {
  while (base != kNone) {
    const Expr& e = exprs_[base];
    const bool number = e.op == Op::kConstant;
    if (!number && !(e.op == Op::kAdd && is_constant(e.b))) break;
    const std::uint64_t added = number ? e.k : exprs_[e.b].k;
    const std::uint64_t rest = number ? 0 : highest(e.a);
    if (rest + added + k > kLastPlace) break;
    k += static_cast<std::uint32_t>(added);
    base = number ? kNone : e.a;
  }
  return intern({.op = Op::kLoad, .size = size, .a = base, .k = k});
}

ExprId Expressions::extension(std::uint32_t k, ExprId a, ExprId b) {
  return intern({.op = Op::kExtension, .a = a, .b = b, .k = k});
}

ExprId Expressions::negate(ExprId a) {
  if (is_constant(a)) return constant(0u - exprs_[a].k);
  if (exprs_[a].op == Op::kNegate) return exprs_[a].a;
  return intern({.op = Op::kNegate, .a = a});
}

ExprId Expressions::simplify_with_constant(Op op, ExprId a, std::uint32_t k) {
  const Expr left = exprs_[a];  // a copy: what is made below may move them
  const bool nested = left.b != kNone && left.op == op && is_constant(left.b);
  const std::uint32_t inner = nested ? exprs_[left.b].k : 0;
  switch (op) {
    case Op::kSubtract: return binary(Op::kAdd, a, constant(0u - k));
    case Op::kAdd:
      if (k == 0) return a;
      if (nested) return binary(op, left.a, constant(inner + k));
      break;
    case Op::kMultiply:
      if (k == 0) return constant(0);
      if (k == 1) return a;
      if (std::has_single_bit(k)) return binary(Op::kShiftLeft, a, constant(std::countr_zero(k)));
      break;
    case Op::kDivide:
      if (k <= 1) return k == 0 ? constant(0) : a;
      if (std::has_single_bit(k)) return binary(Op::kShiftRight, a, constant(std::countr_zero(k)));
      break;
    case Op::kModulo:
      if (k == 0) return constant(0);
      if (std::has_single_bit(k)) return binary(Op::kAnd, a, constant(k - 1));
      break;
    case Op::kAnd:
      if ((k | known_[a].zeros) == kNone) return a;
      if ((k & ~known_[a].zeros) == 0) return constant(0);
      if (nested) return binary(op, left.a, constant(inner & k));
      break;
    case Op::kOr:
      if (k == 0) return a;
      if (nested) return binary(op, left.a, constant(inner | k));
      break;
    case Op::kXor:
      if (k == 0) return a;
      if (nested) return binary(op, left.a, constant(inner ^ k));
      break;
    case Op::kShiftLeft:
    case Op::kShiftRight:
      if (k == 0) return a;
      if (nested) return inner + k > 31 ? constant(0) : binary(op, left.a, constant(inner + k));
      break;
    default: break;
  }
  return kNone;
}

ExprId Expressions::binary(Op op, ExprId a, ExprId b) {
  const bool shift = op == Op::kShiftLeft || op == Op::kShiftRight;
  if (is_constant(a) && is_constant(b)) return constant(compute(op, exprs_[a].k, exprs_[b].k));
  if (is_commutative(op) && (is_constant(a) || (!is_constant(b) && a > b))) std::swap(a, b);
  if (is_constant(b)) {
    if (shift && exprs_[b].k > 31) b = constant(exprs_[b].k & 31);
    const ExprId simple = simplify_with_constant(op, a, exprs_[b].k);
    if (simple != kNone) return simple;
  } else if (a == b) {
    if (op == Op::kSubtract || op == Op::kXor) return constant(0);
    if (op == Op::kAnd || op == Op::kOr) return a;
  }
  const ExprId made = intern({.op = op, .a = a, .b = b});
  const Known& known = known_[made];
  return known.low == known.high ? constant(known.low) : made;
}

}  // namespace weir::flow
