// What A, X and M[] hold while code is made, and the straight-line code that brings expressions there.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <weir/base/small_vector.h>
#include <weir/cbpf/instruction.h>

#include "base/scratch.h"
#include "flow/decisions.h"

namespace weir::flow {

// What each register holds; kNone: nothing known. The classic machine starts with 0 in A and X.
struct Registers {
  ExprId a = kNone;
  ExprId x = kNone;
  std::array<ExprId, cbpf::kScratchWords> m;
  void clear() {
    a = x = kNone;
    m.fill(kNone);
  }
  void meet(const Registers& other) {
    if (a != other.a) a = kNone;
    if (x != other.x) x = kNone;
    for (std::size_t i = 0; i < m.size(); ++i)
      if (m[i] != other.m[i]) m[i] = kNone;
  }
};

// Where an expression is kept: a scratch word 0..15, or one of these.
enum Home : std::uint8_t { kNoHome = 255, kInX = 16, kInA = 17 };

// Makes straight-line code for expressions, with the registers as they are and the homes that they have.
class ExpressionCode {
 public:
  ExpressionCode(Expressions& expressions, Scratch& scratch)
      : home(scratch),
        keep(scratch),
        computed(scratch),
        cost(scratch),
        twice_in_node(scratch),
        expressions_(expressions) {}

  void to_a(ExprId e) { make_a(e, false); }
  // Computed even if some register holds it.
  void execute(ExprId e);
  // a into A and b into X.
  void to_a_and_x(ExprId a, ExprId b, bool commutative);
  void to_x(ExprId e);
  // Whether e comes into X by one instruction that leaves A alone.
  bool is_direct_x(ExprId e) const;
  // (packet[k] & 0xf) * 4, for which the classic machine has an instruction.
  bool is_header_length(ExprId e) const;
  void store(std::uint32_t word, bool from_x);
  void push(cbpf::Opcode opcode, std::uint32_t k = 0) { code.push_back(cbpf::make(opcode, k)); }
  void start_node() {
    loaded_to = 0;
    executed.clear();
    computed_here_.clear();
  }

  std::vector<cbpf::Instruction> code;
  Registers now;
  ScratchVector<std::uint8_t> home;       // by expression
  ScratchVector<bool> keep;               // by expression: still used after the node at hand
  std::uint32_t loaded_to = 0;            // how much of the packet the node's loads have proven
  SmallVector<ExprId, 8> executed;        // indirect loads and divisions that the node has executed
  ScratchVector<std::uint32_t> computed;  // by expression: how often it was computed
  ScratchVector<std::uint32_t> cost;      // by expression: in instructions, when it was computed last
  ScratchVector<bool> twice_in_node;      // by expression
  std::uint32_t free_words = 0xffff;      // words that are no expression's home
  std::size_t most = 1u << 20;            // instructions
  bool x_locked = false;                  // X holds a parameter that is still needed
  bool failed = false;
  bool words_only = false;  // all loads are of words at fixed places, and stay so

 private:
  void make_a(ExprId e, bool keep_x);
  bool from_register(ExprId e);
  void pair_with_temporary(ExprId a, ExprId b);
  void compute_a(ExprId e, bool keep_x);
  bool leaves_x_alone(ExprId e, ExprId x, int depth = 0) const;
  std::uint32_t word_of(ExprId e) const;
  void note_computed(ExprId e, std::size_t instructions);
  bool narrowed(const Expr& e);

  Expressions& expressions_;
  SmallVector<ExprId, 16> computed_here_;
};

}  // namespace weir::flow
