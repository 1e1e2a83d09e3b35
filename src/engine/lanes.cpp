// Vectors and constants of Lanes.
#include "engine/lanes.h"

#include <algorithm>
#include <cassert>

namespace weir::engine {

namespace x86 = asmjit::x86;
namespace Inst = x86::Inst;

namespace {

constexpr std::size_t kMostKept = 14;  // of 32 registers

}  // namespace

x86::Vec Lanes::vector() { return wide_ ? Vec(c_.newZmm()) : Vec(c_.newYmm()); }

x86::Vec Lanes::zero() {
  const Vec out = vector();
  emit(Inst::kIdVpxor, out, out, out);
  return out;
}

x86::Vec Lanes::filled(std::uint32_t value) {
  if (value == 0) return zero();
  const Vec out = vector();
  if (wide_) {
    c_.vpbroadcastd(out, constant_at({value}));
  } else {
    c_.emit(Inst::kIdVmovdqa, out, constant(value));
  }
  return out;
}

x86::Vec Lanes::load(const Mem& from) {
  const Vec out = vector();
  c_.emit(wide_ ? Inst::kIdVmovdqu32 : Inst::kIdVmovdqu, out, from);
  return out;
}

void Lanes::store(const Mem& to, const Vec& value) {
  c_.emit(wide_ ? Inst::kIdVmovdqu32 : Inst::kIdVmovdqu, to, value);
}

void Lanes::emit(Id op, const Vec& into, const Operand& a, const Operand& b) {
  if (wide_) {
    switch (op) {
      case Inst::kIdVpand: op = Inst::kIdVpandd; break;
      case Inst::kIdVpor: op = Inst::kIdVpord; break;
      case Inst::kIdVpxor: op = Inst::kIdVpxord; break;
      default: break;
    }
  }
  c_.emit(op, into, a, b);
}

x86::Vec Lanes::with(Id op, const Operand& a, const Operand& b) {
  const Vec out = vector();
  emit(op, out, a, b);
  return out;
}

// All lanes, by eight loads.
x86::Vec Lanes::pick(const x86::Gp& table, const Vec& index, std::int32_t displacement) {
  const Vec out = vector();
  const x86::Xmm upper_index = c_.newXmm();
  const x86::Xmm upper = c_.newXmm();
  c_.vextracti128(upper_index, index, 1);
  for (std::uint32_t half = 0; half < 2; ++half) {
    const x86::Xmm from = half == 0 ? index.xmm() : upper_index;
    const x86::Xmm to = half == 0 ? out.xmm() : upper;
    for (std::uint32_t lane = 0; lane < 4; lane += 2) {
      const x86::Gp first = c_.newUInt64();
      const x86::Gp second = c_.newUInt64();
      if (lane == 0) {
        c_.vmovq(second, from);
      } else {
        c_.vpextrq(second, from, 1);
      }
      c_.mov(first.r32(), second.r32());
      c_.shr(second, 32);
      const Mem word = x86::dword_ptr(table, first, 2, displacement);
      if (lane == 0) {
        c_.vmovd(to, word);
      } else {
        c_.vpinsrd(to, to, word, lane);
      }
      c_.vpinsrd(to, to, x86::dword_ptr(table, second, 2, displacement), lane + 1);
    }
  }
  c_.vinserti128(out, out, upper, 1);
  return out;
}

// Where gathers are slow, eight loads take two thirds of their time from a table in the first cache. From packets,
// which are further away, they gain nothing.
x86::Vec Lanes::look_up(const x86::Gp& table, const Vec& index, std::int32_t displacement, const Mask& mask) {
  if (wide_ || fast_gather_) return gather(table, index, 2, displacement, mask);
  return pick(table, with(Inst::kIdVpand, index, mask), displacement);
}

x86::Vec Lanes::gather(const x86::Gp& base, const Vec& index, std::uint32_t scale_log, std::int32_t displacement,
                       const Mask& mask) {
  const Vec out = zero();
  const Mask lanes = this->mask();  // the instruction clears its mask
  copy_mask(lanes, mask);
  if (wide_) {
    c_.k(lanes.as<x86::KReg>()).vpgatherdd(out, x86::ptr(base, index, scale_log, displacement));
  } else {
    c_.vpgatherdd(out, x86::ptr(base, index, scale_log, displacement), lanes.as<Vec>());
  }
  return out;
}

void Lanes::load_quarter(const Vec& into, const Mem& from, std::uint32_t quarter) {
  if (quarter == 0) {
    c_.vmovups(into.xmm(), from);
    return;
  }
  c_.emit(wide_ ? Inst::kIdVinserti32x4 : Inst::kIdVinserti128, into, into, from, asmjit::Imm(quarter));
}

void Lanes::blend(const Vec& into, const Operand& value, const Mask& mask) {
  if (wide_) {
    c_.k(mask.as<x86::KReg>()).emit(Inst::kIdVpblendmd, into, into, value);
  } else {
    c_.emit(Inst::kIdVblendvps, into, into, value, mask);
  }
}

void Lanes::add_where(const Vec& into, const Operand& value, const Test& test) {
  if (wide_) {
    c_.k(test.lanes.as<x86::KReg>()).emit(Inst::kIdVpaddd, into, into, value);
  } else {
    c_.vpaddd(into, into, with(Inst::kIdVpand, test.lanes, value));
  }
}

// By double precision: its 53 bits hold 32-bit operands exactly, and the quotient of two of them is never rounded up to
// a whole number that it does not reach (it lacks at least 2^-32 of it). AVX2 converts signed numbers only: 2^31 less
// before, 2^31 more after.
x86::Vec Lanes::divide(const Vec& a, const Vec& b) {
  const Vec out = vector();
  const Vec dividend = vector();
  const Vec divisor = vector();
  if (wide_) {
    const Vec upper = vector();
    const Vec upper_divisor = vector();
    c_.vextracti64x4(upper.ymm(), a, 1);
    c_.vextracti64x4(upper_divisor.ymm(), b, 1);
    c_.vcvtudq2pd(dividend, a.ymm());
    c_.vcvtudq2pd(divisor, b.ymm());
    c_.vdivpd(dividend, dividend, divisor);
    c_.vcvttpd2udq(out.ymm(), dividend);
    c_.vcvtudq2pd(upper, upper.ymm());
    c_.vcvtudq2pd(upper_divisor, upper_divisor.ymm());
    c_.vdivpd(upper, upper, upper_divisor);
    c_.vcvttpd2udq(upper.ymm(), upper);
    c_.vinserti64x4(out, out, upper.ymm(), 1);
    return out;
  }
  constexpr std::uint32_t kSign = 0x80000000;
  const Mem half = constant_at({0, 0x41e00000, 0, 0x41e00000, 0, 0x41e00000, 0, 0x41e00000});  // 2^31, four times
  const Vec a_signed = with(Inst::kIdVpxor, a, constant(kSign));
  const Vec b_signed = with(Inst::kIdVpxor, b, constant(kSign));
  for (int side = 0; side < 2; ++side) {
    const x86::Xmm four = c_.newXmm();
    c_.vextracti128(four, a_signed, side);
    c_.vcvtdq2pd(dividend, four);
    c_.vextracti128(four, b_signed, side);
    c_.vcvtdq2pd(divisor, four);
    c_.vaddpd(dividend, dividend, half);
    c_.vaddpd(divisor, divisor, half);
    c_.vdivpd(dividend, dividend, divisor);
    c_.vroundpd(dividend, dividend, 3);  // towards zero
    c_.vsubpd(dividend, dividend, half);
    c_.vcvttpd2dq(four, dividend);
    if (side == 0) {
      c_.vmovdqa(out.xmm(), four);
    } else {
      c_.vinserti128(out, out, four, 1);
    }
  }
  emit(Inst::kIdVpxor, out, out, constant(kSign));
  return out;
}

x86::Mem Lanes::broadcast(Mem from) const {
  if (wide_) {
    from.setSize(4);
    from.setBroadcast(Mem::Broadcast::k1To16);
  }
  return from;
}

// The words' place among the constants: at a multiple of their number.
x86::Mem Lanes::constant_at(const std::vector<std::uint32_t>& words) {
  const std::size_t size = words.size();
  std::size_t at = 0;
  while (at + size <= constants_.size() &&
         !std::equal(words.begin(), words.end(), constants_.begin() + static_cast<std::ptrdiff_t>(at)))
    at += size;
  if (at + size > constants_.size()) {
    at = (constants_.size() + size - 1) / size * size;
    constants_.resize(at, 0);
    constants_.insert(constants_.end(), words.begin(), words.end());
  }
  return x86::ptr(constants_label_, static_cast<std::int32_t>(4 * at), static_cast<std::uint32_t>(4 * words.size()));
}

void Lanes::keep_constants() {
  assert(kept_.empty());
  if (wide_) kept_after_ = c_.cursor();
}

// Operands in memory cost as much as a gathered word does, of what bounds gathers: the ports that load.
asmjit::Operand Lanes::kept_or(const std::vector<std::uint32_t>& words) {
  for (const Kept& one : kept_)
    if (one.words == words) return one.in;
  const Mem place = constant_at(words);
  if (kept_after_ == nullptr || kept_.size() == kMostKept) return words.size() == 1 ? broadcast(place) : place;
  const Vec in = vector();
  asmjit::BaseNode* const here = c_.setCursor(kept_after_);
  if (words.size() == 1) {
    c_.vpbroadcastd(in, place);
  } else {
    c_.vmovdqu32(in, place);
  }
  kept_after_ = c_.setCursor(here);
  kept_.push_back({words, in});
  return in;
}

asmjit::Operand Lanes::constant(std::uint32_t value) {
  return kept_or(std::vector<std::uint32_t>(wide_ ? 1 : 8, value));
}

asmjit::Operand Lanes::bytes(const std::uint8_t (&sixteen)[16]) {
  std::vector<std::uint32_t> words;
  for (std::size_t i = 0; i < count(); ++i) {
    const std::uint8_t* four = sixteen + 4 * (i % 4);
    words.push_back(four[0] | std::uint32_t{four[1]} << 8 | std::uint32_t{four[2]} << 16 |
                    std::uint32_t{four[3]} << 24);
  }
  return kept_or(words);
}

void Lanes::embed_constants() {
  c_.align(asmjit::AlignMode::kData, 4 * count());
  c_.bind(constants_label_);
  if (!constants_.empty()) c_.embed(constants_.data(), constants_.size() * sizeof(std::uint32_t));
}

}  // namespace weir::engine
