// Masks and comparisons of Lanes.
#include "engine/lanes.h"

namespace weir::engine {

namespace x86 = asmjit::x86;
namespace Inst = x86::Inst;
using flow::Condition;

namespace {

// The third operand of vpcmpud.
enum Predicate : std::uint8_t { kBelowOrEqual = 2, kNotBelow = 5, kAbove = 6 };

}  // namespace

x86::Reg Lanes::mask() { return wide_ ? Mask(c_.newKw()) : Mask(c_.newYmm()); }

// Processors wait for what kxorw and kxnorw read even where the result does not depend on it: the mask of the gather
// before, until that is done. k0 is never written, since asmjit gives it to nobody. With AVX2 a vector is compared with
// itself, for processors that wait there too.
x86::Reg Lanes::no_lanes() {
  const Mask out = mask();
  if (wide_) {
    c_.kxorw(out.as<x86::KReg>(), x86::k0, x86::k0);
  } else {
    c_.emit(Inst::kIdVpxor, out, out, out);
  }
  return out;
}

x86::Reg Lanes::all_lanes(const Vec& at_hand) {
  const Mask out = mask();
  if (wide_) {
    c_.kxnorw(out.as<x86::KReg>(), x86::k0, x86::k0);
  } else {
    c_.emit(Inst::kIdVpcmpeqd, out, at_hand, at_hand);
  }
  return out;
}

void Lanes::copy_mask(const Mask& into, const Mask& mask) {
  c_.emit(wide_ ? Inst::kIdKmovw : Inst::kIdVmovdqa, into, mask);
}

void Lanes::keep(const Mask& into, const Test& test) {
  if (test.inverted) {
    c_.emit(wide_ ? Inst::kIdKandnw : Inst::kIdVpandn, into, test.lanes, into);
  } else {
    c_.emit(wide_ ? Inst::kIdKandw : Inst::kIdVpand, into, into, test.lanes);
  }
}

x86::Reg Lanes::both(const Test& test, bool wanted, const Mask& mask) {
  const Mask out = this->mask();
  if (test.inverted == wanted) {
    c_.emit(wide_ ? Inst::kIdKandnw : Inst::kIdVpandn, out, test.lanes, mask);
  } else {
    c_.emit(wide_ ? Inst::kIdKandw : Inst::kIdVpand, out, test.lanes, mask);
  }
  return out;
}

void Lanes::join(const Mask& into, const Mask& mask) {
  c_.emit(wide_ ? Inst::kIdKorw : Inst::kIdVpor, into, into, mask);
}

void Lanes::jump_if_empty(const Mask& mask, const asmjit::Label& to) {
  c_.emit(wide_ ? Inst::kIdKortestw : Inst::kIdVptest, mask, mask);
  c_.jz(to);
}

void Lanes::jump_if_any(const Test& test, const Mask& mask, const asmjit::Label& to) {
  c_.emit(wide_ ? Inst::kIdKtestw : Inst::kIdVptest, test.lanes, mask);
  c_.jnz(to);
}

void Lanes::jump_unless_all(const Mask& mask, const asmjit::Label& to) {
  if (wide_) {
    c_.kortestw(mask.as<x86::KReg>(), mask.as<x86::KReg>());  // carry: all sixteen are ones
    c_.jnc(to);
    return;
  }
  const x86::Gp word = bits({mask});
  c_.cmp(word, 0xff);
  c_.jne(to);
}

Lanes::Test Lanes::compare(Condition condition, const Vec& a, const Operand& b) {
  const Mask out = mask();
  if (wide_) {
    const auto by = [&](Predicate predicate) { c_.emit(Inst::kIdVpcmpud, out, a, b, asmjit::Imm(predicate)); };
    switch (condition) {
      case Condition::kEqual: c_.emit(Inst::kIdVpcmpeqd, out, a, b); break;
      case Condition::kGreater: by(kAbove); break;
      case Condition::kGreaterOrEqual: by(kNotBelow); break;
      case Condition::kBitsSet: c_.emit(Inst::kIdVptestmd, out, a, b); break;
    }
    return {out};
  }
  const Vec& lanes = out.as<Vec>();
  switch (condition) {
    case Condition::kEqual: c_.emit(Inst::kIdVpcmpeqd, lanes, a, b); return {out};
    case Condition::kGreater:  // not a <= b
      c_.emit(Inst::kIdVpminud, lanes, a, b);
      c_.vpcmpeqd(lanes, lanes, a);
      return {out, true};
    case Condition::kGreaterOrEqual:
      c_.emit(Inst::kIdVpmaxud, lanes, a, b);
      c_.vpcmpeqd(lanes, lanes, a);
      return {out};
    case Condition::kBitsSet:
      c_.emit(Inst::kIdVpand, lanes, a, b);
      c_.emit(Inst::kIdVpcmpeqd, lanes, lanes, constant(0));
      return {out, true};
  }
  return {out};
}

Lanes::Test Lanes::signed_greater(const Vec& a, const Operand& b) {
  const Mask out = mask();
  c_.emit(Inst::kIdVpcmpgtd, out, a, b);
  return {out};
}

Lanes::Test Lanes::below_or_equal(const Vec& a, const Operand& b) {
  const Mask out = mask();
  if (wide_) {
    c_.emit(Inst::kIdVpcmpud, out, a, b, asmjit::Imm(kBelowOrEqual));
  } else {
    c_.emit(Inst::kIdVpminud, out, a, b);
    c_.vpcmpeqd(out.as<Vec>(), out.as<Vec>(), a);
  }
  return {out};
}

// With AVX2 a lane's highest bit becomes all of its bits.
Lanes::Test Lanes::bit(const Vec& a, std::uint32_t number) {
  if (wide_) return compare(Condition::kBitsSet, a, constant(1u << number));
  const Mask out = mask();
  c_.vpslld(out.as<Vec>(), a, 31 - number);
  c_.vpsrad(out.as<Vec>(), out.as<Vec>(), 31);
  return {out};
}

x86::Gp Lanes::bits(const Test& test) {
  const x86::Gp out = c_.newUInt32();
  if (wide_) {
    c_.kmovw(out, test.lanes.as<x86::KReg>());
  } else {
    c_.vmovmskps(out, test.lanes.as<Vec>());
  }
  if (test.inverted) c_.not_(out);
  return out;
}

}  // namespace weir::engine
