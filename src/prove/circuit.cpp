// Gates and words. Exports Circuit.
#include "prove/circuit.h"

#include <algorithm>

namespace weir::prove {

Circuit::Circuit(Solver& solver) : solver_(solver), true_(positive(solver.new_variable())) { solver_.add({true_}); }

Literal Circuit::both(Literal a, Literal b) {
  if (a > b) std::swap(a, b);
  if (is(a, false) || is(b, false) || a == negated(b)) return no();
  if (is(a, true)) return b;
  if (is(b, true) || a == b) return a;
  const auto [at, made] = ands_.try_emplace({a, b}, 0);
  if (!made) return at->second;
  const Literal out = input();
  at->second = out;
  solver_.add({negated(out), a});
  solver_.add({negated(out), b});
  solver_.add({out, negated(a), negated(b)});
  return out;
}

Literal Circuit::differ(Literal a, Literal b) {
  if (is(a, false)) return b;
  if (is(b, false)) return a;
  if (is(a, true)) return negated(b);
  if (is(b, true)) return negated(a);
  const Literal sign = (a & 1) ^ (b & 1);
  a &= ~Literal{1};
  b &= ~Literal{1};
  if (a == b) return sign != 0 ? yes() : no();
  if (a > b) std::swap(a, b);
  const auto [at, made] = xors_.try_emplace({a, b}, 0);
  if (made) {
    const Literal out = input();
    at->second = out;
    solver_.add({negated(out), a, b});
    solver_.add({negated(out), negated(a), negated(b)});
    solver_.add({out, negated(a), b});
    solver_.add({out, a, negated(b)});
    return out ^ sign;
  }
  return at->second ^ sign;
}

Literal Circuit::choose(Literal condition, Literal then, Literal otherwise) {
  if (is(condition, true) || then == otherwise) return then;
  if (is(condition, false)) return otherwise;
  if (then == negated(otherwise)) return differ(condition, otherwise);
  if (is(then, true)) return either(condition, otherwise);
  if (is(then, false)) return both(negated(condition), otherwise);
  if (is(otherwise, true)) return either(negated(condition), then);
  if (is(otherwise, false)) return both(condition, then);
  return either(both(condition, then), both(negated(condition), otherwise));
}

Word Circuit::constant(std::uint32_t k) const {
  Word out;
  for (std::uint32_t i = 0; i < 32; ++i) out[i] = (k >> i & 1) != 0 ? yes() : no();
  return out;
}

Word Circuit::inverted(const Word& a) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = negated(a[i]);
  return out;
}

Word Circuit::choose(Literal condition, const Word& then, const Word& otherwise) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = choose(condition, then[i], otherwise[i]);
  return out;
}

Word Circuit::both(const Word& a, const Word& b) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = both(a[i], b[i]);
  return out;
}

Word Circuit::either(const Word& a, const Word& b) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = either(a[i], b[i]);
  return out;
}

Word Circuit::differ(const Word& a, const Word& b) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) out[i] = differ(a[i], b[i]);
  return out;
}

Word Circuit::add(const Word& a, const Word& b, Literal carry) {
  Word out;
  for (std::size_t i = 0; i < 32; ++i) {
    const Literal half = differ(a[i], b[i]);
    out[i] = differ(half, carry);
    carry = either(both(a[i], b[i]), both(half, carry));
  }
  return out;
}

Word Circuit::multiply(const Word& a, const Word& b) {
  Word out = constant(0);
  for (std::size_t i = 0; i < 32; ++i) {
    if (is(b[i], false)) continue;
    Word row = constant(0);
    for (std::size_t j = i; j < 32; ++j) row[j] = both(a[j - i], b[i]);
    out = add(out, row);
  }
  return out;
}

// Bit by bit from the greatest, as on paper. The partial remainder stays below b, so one more bit is enough for it.
void Circuit::divide(const Word& a, const Word& b, Word& quotient, Word& remainder) {
  remainder = constant(0);
  for (std::size_t i = 32; i-- > 0;) {
    const Literal overflow = remainder[31];
    for (std::size_t j = 31; j > 0; --j) remainder[j] = remainder[j - 1];
    remainder[0] = a[i];
    const Literal fits = either(overflow, negated(less(remainder, b)));
    quotient[i] = fits;
    remainder = choose(fits, subtract(remainder, b), remainder);
  }
}

Word Circuit::shift_left(const Word& a, const Word& count) {
  Word out = a;
  for (std::size_t bit = 0; bit < 5; ++bit) {
    Word shifted = constant(0);
    for (std::size_t i = std::size_t{1} << bit; i < 32; ++i) shifted[i] = out[i - (std::size_t{1} << bit)];
    out = choose(count[bit], shifted, out);
  }
  return out;
}

Word Circuit::shift_right(const Word& a, const Word& count) {
  Word out = a;
  for (std::size_t bit = 0; bit < 5; ++bit) {
    Word shifted = constant(0);
    for (std::size_t i = std::size_t{1} << bit; i < 32; ++i) shifted[i - (std::size_t{1} << bit)] = out[i];
    out = choose(count[bit], shifted, out);
  }
  return out;
}

Literal Circuit::any(const Word& a) {
  Literal out = no();
  for (const Literal bit : a) out = either(out, bit);
  return out;
}

Literal Circuit::equal(const Word& a, const Word& b) { return negated(any(differ(a, b))); }

Literal Circuit::less(const Word& a, const Word& b) {
  Literal out = no();
  for (std::size_t i = 0; i < 32; ++i) out = choose(differ(a[i], b[i]), b[i], out);
  return out;
}

}  // namespace weir::prove
