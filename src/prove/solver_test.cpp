#include "prove/solver.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "prove/circuit.h"

namespace weir::prove {
namespace {

TEST(Solver, SmallFormulasAgreeWithATruthTable) {
  std::mt19937 random(3);
  int satisfiable = 0;
  constexpr int kRounds = 400;
  for (int round = 0; round < kRounds; ++round) {
    constexpr std::uint32_t kVariables = 12;
    const std::uint32_t clauses = 30 + random() % 40;
    Solver solver;
    for (std::uint32_t v = 0; v < kVariables; ++v) solver.new_variable();
    std::vector<std::vector<Literal>> all;
    for (std::uint32_t c = 0; c < clauses; ++c) {
      std::vector<Literal> clause;
      for (int i = 0; i < 3; ++i) clause.push_back(random() % (2 * kVariables));
      solver.add(clause);
      all.push_back(clause);
    }
    bool expected = false;
    for (std::uint32_t bits = 0; bits < 1u << kVariables && !expected; ++bits)
      expected = std::all_of(all.begin(), all.end(), [&](const std::vector<Literal>& clause) {
        return std::any_of(clause.begin(), clause.end(), [&](Literal l) { return (bits >> (l >> 1) & 1) != (l & 1); });
      });
    const Outcome outcome = solver.solve(1u << 20);
    ASSERT_EQ(outcome, expected ? Outcome::kSatisfiable : Outcome::kUnsatisfiable) << round;
    if (!expected) continue;
    ++satisfiable;
    for (const auto& clause : all)
      EXPECT_TRUE(std::any_of(clause.begin(), clause.end(), [&](Literal l) { return solver.value(l); }));
  }
  EXPECT_GT(satisfiable, kRounds / 10);
  EXPECT_LT(satisfiable, kRounds);
}

// Seven pigeons, six holes: needs learning, restarts and dropped clauses to be quick.
TEST(Solver, PigeonsDoNotFit) {
  constexpr std::uint32_t kHoles = 6;
  Solver solver;
  std::vector<Variable> in((kHoles + 1) * kHoles);
  for (Variable& v : in) v = solver.new_variable();
  for (std::uint32_t pigeon = 0; pigeon <= kHoles; ++pigeon) {
    std::vector<Literal> somewhere;
    for (std::uint32_t hole = 0; hole < kHoles; ++hole) somewhere.push_back(positive(in[pigeon * kHoles + hole]));
    solver.add(somewhere);
  }
  for (std::uint32_t hole = 0; hole < kHoles; ++hole)
    for (std::uint32_t a = 0; a <= kHoles; ++a)
      for (std::uint32_t b = 0; b < a; ++b)
        solver.add({negated(positive(in[a * kHoles + hole])), negated(positive(in[b * kHoles + hole]))});
  EXPECT_EQ(solver.solve(1), Outcome::kGaveUp);
  EXPECT_EQ(solver.solve(1u << 20), Outcome::kUnsatisfiable);
}

TEST(Circuit, ArithmeticOfTheClassicMachine) {
  std::mt19937 random(8);
  for (int round = 0; round < 60; ++round) {
    Solver solver;
    Circuit circuit(solver);
    // Operands that the circuit does not know, then fixed.
    const auto unknown = [&](std::uint32_t value) {
      Word word;
      for (std::size_t i = 0; i < 32; ++i) {
        word[i] = circuit.input();
        solver.add({(value >> i & 1) != 0 ? word[i] : negated(word[i])});
      }
      return word;
    };
    const std::uint32_t a = random() >> random() % 32;
    const std::uint32_t b = (random() >> random() % 32) | 1;
    const Word left = round % 2 == 0 ? unknown(a) : circuit.constant(a);
    const Word right = round % 3 == 0 ? unknown(b) : circuit.constant(b);
    Word quotient = circuit.constant(0);
    Word remainder = circuit.constant(0);
    circuit.divide(left, right, quotient, remainder);
    const std::vector<std::pair<Word, std::uint32_t>> results{
        {circuit.add(left, right), a + b},
        {circuit.subtract(left, right), a - b},
        {circuit.multiply(left, right), a * b},
        {quotient, a / b},
        {remainder, a % b},
        {circuit.both(left, right), a & b},
        {circuit.either(left, right), a | b},
        {circuit.differ(left, right), a ^ b},
        {circuit.shift_left(left, right), a << (b & 31)},
        {circuit.shift_right(left, right), a >> (b & 31)},
    };
    const Literal less = circuit.less(left, right);
    const Literal equal = circuit.equal(left, right);
    ASSERT_EQ(solver.solve(1000), Outcome::kSatisfiable);
    for (std::size_t i = 0; i < results.size(); ++i) {
      std::uint32_t value = 0;
      for (std::size_t bit = 0; bit < 32; ++bit)
        value |= static_cast<std::uint32_t>(solver.value(results[i].first[bit])) << bit;
      EXPECT_EQ(value, results[i].second) << i << " of " << a << " and " << b;
    }
    EXPECT_EQ(solver.value(less), a < b);
    EXPECT_EQ(solver.value(equal), a == b);
  }
}

}  // namespace
}  // namespace weir::prove
