// Gates and 32-bit words of gates over a solver's literals.
//
// Gates with constant or equal inputs are folded, equal gates are shared, so that what two programs compute alike is
// one piece of circuit. Arithmetic is that of the classic machine: 32 bits, wrapping.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "prove/solver.h"

namespace weir::prove {

using Word = std::array<Literal, 32>;  // least significant bit first

class Circuit {
 public:
  explicit Circuit(Solver& solver);

  Literal yes() const { return true_; }
  Literal no() const { return negated(true_); }
  Literal input() { return positive(solver_.new_variable()); }
  Literal both(Literal a, Literal b);
  Literal either(Literal a, Literal b) { return negated(both(negated(a), negated(b))); }
  Literal differ(Literal a, Literal b);
  Literal choose(Literal condition, Literal then, Literal otherwise);

  Word constant(std::uint32_t k) const;
  Word choose(Literal condition, const Word& then, const Word& otherwise);
  Word both(const Word& a, const Word& b);
  Word either(const Word& a, const Word& b);
  Word differ(const Word& a, const Word& b);
  Word add(const Word& a, const Word& b, Literal carry);
  Word add(const Word& a, const Word& b) { return add(a, b, no()); }
  Word subtract(const Word& a, const Word& b) { return add(a, inverted(b), yes()); }
  Word multiply(const Word& a, const Word& b);
  // Quotient and remainder; b must not be 0.
  void divide(const Word& a, const Word& b, Word& quotient, Word& remainder);
  Word shift_left(const Word& a, const Word& count);  // by count & 31
  Word shift_right(const Word& a, const Word& count);
  Literal equal(const Word& a, const Word& b);
  Literal less(const Word& a, const Word& b);  // unsigned
  Literal any(const Word& a);
  static Word inverted(const Word& a);

 private:
  struct Gate {
    Literal a, b;
    friend bool operator==(const Gate&, const Gate&) = default;
  };
  struct Hash {
    std::size_t operator()(const Gate& g) const {
      return (static_cast<std::size_t>(g.a) << 32 | g.b) * 0x9e3779b97f4a7c15ULL >> 7;
    }
  };
  bool is(Literal a, bool value) const { return a == (value ? true_ : negated(true_)); }

  Solver& solver_;
  Literal true_;
  std::unordered_map<Gate, Literal, Hash> ands_, xors_;
};

}  // namespace weir::prove
