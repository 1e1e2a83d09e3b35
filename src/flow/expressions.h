// Pure expressions of a packet, each kept once: equal expressions have equal numbers. Making one folds constants and
// simplifies by the laws of 32-bit arithmetic; what may end the program (a load outside of the packet, a division by
// zero) is recorded elsewhere, so that an expression may be dropped, moved and computed again at will.
#pragma once

#include <cstdint>
#include <vector>

#include <weir/flow/graph.h>

namespace weir::flow {

using ExprId = std::uint32_t;

// What is known of a number: bits that are 0, bits that are 1, and bounds.
struct Known {
  std::uint32_t zeros = 0;
  std::uint32_t ones = 0;
  std::uint32_t low = 0;
  std::uint32_t high = 0xffffffff;
};
// Makes bits and bounds agree as far as is easily seen.
void tighten(Known& known);

struct Expr {
  Op op = Op::kConstant;  // never kGetSlot or kSetSlot; kParameter is some value that joins, k its number
  std::uint8_t size = 4;  // of a load
  std::uint16_t depth = 0;
  ExprId a = kNone;
  ExprId b = kNone;
  std::uint32_t k = 0;
};

class Expressions {
 public:
  Expressions();
  ExprId constant(std::uint32_t k) { return intern({.op = Op::kConstant, .k = k}); }
  ExprId load(std::uint8_t size, ExprId base, std::uint32_t k);
  ExprId extension(std::uint32_t k, ExprId a, ExprId b);
  ExprId length() { return intern({.op = Op::kLength}); }
  // `highest`: of what it is given as the program stands. Passes may give it other values later, so it is no fact as
  // known() has them; the place of a load that it was used for stays right wherever the load was right before.
  ExprId parameter(std::uint32_t highest = 0xffffffff) {
    highest_.push_back(highest);
    return intern({.op = Op::kParameter, .k = static_cast<std::uint32_t>(highest_.size() - 1)});
  }
  // An upper bound of a number that a load is placed with.
  std::uint32_t highest(ExprId id) const;
  ExprId negate(ExprId a);
  ExprId binary(Op op, ExprId a, ExprId b);

  const Expr& operator[](ExprId id) const { return exprs_[id]; }
  std::size_t size() const { return exprs_.size(); }
  bool is_constant(ExprId id) const { return exprs_[id].op == Op::kConstant; }
  bool is_constant(ExprId id, std::uint32_t k) const { return is_constant(id) && exprs_[id].k == k; }
  // True of every packet.
  const Known& known(ExprId id) const { return known_[id]; }
  // Expressions nested deeper than this are not handled by passes.
  static constexpr std::uint16_t kDeepest = 2000;
  bool too_deep() const { return too_deep_; }
  void reserve(std::size_t count);

 private:
  ExprId intern(Expr expr);
  ExprId simplify_with_constant(Op op, ExprId a, std::uint32_t k);
  Known bounds(const Expr& expr) const;
  void grow();

  std::vector<Expr> exprs_;
  std::vector<Known> known_;
  std::vector<ExprId> table_;           // open addressing, a power of two
  std::vector<std::uint32_t> highest_;  // of parameters
  bool too_deep_ = false;
};

// What a binary operation gives; b is not 0 where it divides.
std::uint32_t compute(Op op, std::uint32_t a, std::uint32_t b);
// What is known of the result, from what is known of the operands.
Known known_of(Op op, const Known& a, const Known& b);

}  // namespace weir::flow
