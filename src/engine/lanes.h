// Vector lanes of two widths behind one set of operations. Exports Lanes.
//
// Eight lanes of 32 bits are AVX2, sixteen are AVX-512. Most instructions are the same but for the registers' size;
// this is the one place that knows what is not:
//   masks        a vector of words that are all ones or zero, or one of the registers k1 to k7
//   comparisons  equal and signed greater only, so that others are made of minima and some come out inverted; or any
//   constants    a copy for each lane in memory; or one that the instruction broadcasts, and the first in registers
//   gathers      clear the vector that is their mask, or the register
// asmjit's compiler gives registers and spills them, masks included. Operations write new registers but for those whose
// first argument is called `into`.
#pragma once

#include <cstdint>
#include <vector>

#include <asmjit/x86.h>

#include <weir/flow/graph.h>

namespace weir::engine {

class Lanes {
 public:
  using Vec = asmjit::x86::Vec;
  using Mem = asmjit::x86::Mem;
  using Mask = asmjit::x86::Reg;    // of lanes
  using Operand = asmjit::Operand;  // a vector, or memory as constant() gives it
  using Id = asmjit::x86::Inst::Id;
  struct Test {  // lanes where something holds, or does not
    Mask lanes;
    bool inverted = false;
  };

  // fast_gather: see CpuFeatures.
  Lanes(asmjit::x86::Compiler& compiler, bool wide, bool fast_gather)
      : c_(compiler), wide_(wide), fast_gather_(fast_gather), constants_label_(c_.newLabel()) {}

  bool wide() const { return wide_; }
  std::uint32_t count() const { return wide_ ? 16 : 8; }

  // lanes.cpp: vectors.
  Vec vector();
  Vec zero();
  Vec filled(std::uint32_t value);
  Vec load(const Mem& from);  // a word for each lane
  void store(const Mem& to, const Vec& value);
  void emit(Id op, const Vec& into, const Operand& a, const Operand& b);  // op: as AVX2 calls it
  Vec with(Id op, const Operand& a, const Operand& b);
  Vec gather(const asmjit::x86::Gp& base, const Vec& index, std::uint32_t scale_log, std::int32_t displacement,
             const Mask& mask);  // 0 elsewhere
  // Words of a table; anything where the mask is not set. At index 0 is a word, too.
  Vec look_up(const asmjit::x86::Gp& table, const Vec& index, std::int32_t displacement, const Mask& mask);
  void load_quarter(const Vec& into, const Mem& from, std::uint32_t quarter);  // sixteen bytes; the lowest one first
  Vec divide(const Vec& a, const Vec& b);  // unsigned; lanes that divide by zero give anything
  void blend(const Vec& into, const Operand& value, const Mask& mask);
  void add_where(const Vec& into, const Operand& value, const Test& test);  // test: not inverted

  // lane_masks.cpp: masks.
  Mask mask();
  Mask no_lanes();
  Mask all_lanes(const Vec& at_hand);  // at_hand: any vector that is not what a gather gives
  void copy_mask(const Mask& into, const Mask& mask);
  void keep(const Mask& into, const Test& test);               // where the test holds
  Mask both(const Test& test, bool wanted, const Mask& mask);  // where the test says what is wanted, of mask
  void join(const Mask& into, const Mask& mask);
  void jump_if_empty(const Mask& mask, const asmjit::Label& to);
  void jump_if_any(const Test& test, const Mask& mask, const asmjit::Label& to);  // test: not inverted
  void jump_unless_all(const Mask& mask, const asmjit::Label& to);
  Test compare(flow::Condition condition, const Vec& a, const Operand& b);
  Test signed_greater(const Vec& a, const Operand& b);
  Test below_or_equal(const Vec& a, const Operand& b);
  Test bit(const Vec& a, std::uint32_t number);
  asmjit::x86::Gp bits(const Test& test);  // one bit a lane; those above are not defined

  // lanes.cpp: constants, in memory behind the code. From keep_constants() on, the first ones that are asked for stay
  // in registers where there are enough of these: they are loaded where it was called. Once for a function.
  void keep_constants();
  Operand constant(std::uint32_t value);
  Operand bytes(const std::uint8_t (&sixteen)[16]);  // for vpshufb: the same in all quarters
  void embed_constants();

 private:
  Vec pick(const asmjit::x86::Gp& table, const Vec& index, std::int32_t displacement);
  struct Kept {
    std::vector<std::uint32_t> words;
    Vec in;
  };
  Operand kept_or(const std::vector<std::uint32_t>& words);
  Mem constant_at(const std::vector<std::uint32_t>& words);
  Mem broadcast(Mem from) const;

  asmjit::x86::Compiler& c_;
  const bool wide_;
  const bool fast_gather_;
  asmjit::Label constants_label_;
  std::vector<std::uint32_t> constants_;
  std::vector<Kept> kept_;
  asmjit::BaseNode* kept_after_ = nullptr;
};

}  // namespace weir::engine
