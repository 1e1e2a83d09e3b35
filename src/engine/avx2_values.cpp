// Values in lanes. The part of Avx2Body that computes nodes.
#include <algorithm>

#include "engine/avx2_body.h"

namespace weir::engine {

using flow::Op;
namespace x86 = asmjit::x86;

// Loads that every packet of a group has are covered by windows of four bytes, from the lowest offset on.
void Avx2Body::plan_windows() {
  std::vector<NodeId> loads;
  for (NodeId id = 0; id < plan_.nodes.size(); ++id)
    if (const std::uint64_t extent = constant_extent(plan_[id]); extent != 0 && extent <= known_length_)
      loads.push_back(id);
  std::sort(loads.begin(), loads.end(), [&](NodeId a, NodeId b) { return plan_[a].k < plan_[b].k; });
  for (const NodeId id : loads) {
    const Node& node = plan_[id];
    for (std::uint32_t w = 0; w < windows_.size() && window_of_[id] == kNothing; ++w)
      if (node.k >= windows_[w].start && node.k + node.size <= windows_[w].start + 4) window_of_[id] = w;
    if (window_of_[id] != kNothing) continue;
    window_of_[id] = static_cast<std::uint32_t>(windows_.size());
    windows_.push_back({std::min(node.k, known_length_ - 4), Ymm(), 0});
  }
  // Rows of sixteen bytes, of which windows are words. None starts before the packet, since kLeastLength >= 19.
  for (Window& window : windows_) {
    const auto holds = [&](std::uint32_t row) {
      return window.start >= row && window.start <= row + 12 && (window.start - row) % 4 == 0;
    };
    const auto row = std::find_if(rows_.begin(), rows_.end(), holds);
    window.row = static_cast<std::uint32_t>(row - rows_.begin());
    if (row != rows_.end()) continue;
    const std::uint32_t beyond = window.start + 16 > known_length_ ? window.start + 16 - known_length_ : 0;
    rows_.push_back(window.start - (beyond + 3) / 4 * 4);
  }
}

// Of loads at one varying address, those whose bytes all lie within four that end where the last of them ends.
void Avx2Body::plan_varying_windows() {
  std::vector<NodeId> loads;
  for (const NodeId id : plan_.guards) {
    const Node& node = plan_[id];
    if (node.op == Op::kLoad && node.a != kNothing && std::uint64_t{values_.largest(node.a)} + node.k + 4 <= 0x7fffffff)
      loads.push_back(id);
  }
  const auto end = [&](NodeId id) { return plan_[id].k + plan_[id].size; };
  std::sort(loads.begin(), loads.end(), [&](NodeId a, NodeId b) {
    return plan_[a].a != plan_[b].a ? plan_[a].a < plan_[b].a : end(a) != end(b) ? end(a) > end(b) : a < b;
  });
  loads.erase(std::unique(loads.begin(), loads.end()), loads.end());
  for (std::size_t i = 0; i < loads.size();) {
    const NodeId base = plan_[loads[i]].a;
    const std::uint32_t last = end(loads[i]);
    const std::uint32_t start = last < 4 ? 0 : last - 4;
    std::size_t next = i;
    std::vector<NodeId> members;
    while (next < loads.size() && plan_[loads[next]].a == base && plan_[loads[next]].k >= start)
      members.push_back(loads[next++]);
    if (members.size() > 1 && last >= 4) {
      for (const NodeId id : members) varying_of_[id] = static_cast<std::uint32_t>(varying_.size());
      varying_.push_back({base, start, Ymm()});
    }
    i = std::max(next, i + 1);
  }
}

void Avx2Body::open_varying(std::uint32_t number, const Ymm& mask) {
  if (varying_[number].bytes.isValid()) return;
  const std::uint32_t start = varying_[number].start;
  const Ymm base = value(varying_[number].base, mask);
  const Ymm outside = c_.newYmm();
  const Ymm index = c_.newYmm();
  c_.vpaddd(outside, base, constant(start + 4));
  c_.vpcmpgtd(outside, outside, group_.lengths);
  c_.vptest(mask, outside);
  c_.jnz(group_.leave);
  c_.vpaddd(index, group_.offsets, base);
  varying_[number].bytes = gather(group_.base, index, 0, static_cast<std::int32_t>(start), mask);
  taken_varying_.push_back(number);
}

// Eight loads of sixteen bytes, transposed: windows for less than half of what gathers cost where those are slow.
void Avx2Body::load_row(std::uint32_t number) {
  Ymm packets[4];  // in the lower half packet i, in the upper one packet i + 4
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto from = [&](std::uint32_t lane) {
      return x86::xmmword_ptr(group_.base, lane_offsets_[lane], 0, static_cast<std::int32_t>(rows_[number]));
    };
    packets[i] = c_.newYmm();
    c_.vmovdqu(packets[i].xmm(), from(i));
    c_.vinserti128(packets[i], packets[i], from(i + 4), 1);
  }
  Ymm pairs[2][2];  // of words 0 and 1, of words 2 and 3
  for (std::uint32_t w = 0; w < windows_.size(); ++w) {
    if (windows_[w].row != number) continue;
    const std::uint32_t word = (windows_[w].start - rows_[number]) / 4;
    Ymm* const pair = pairs[word / 2];
    for (std::uint32_t i = 0; i < 2 && !pairs[word / 2][1].isValid(); ++i) {
      pair[i] = c_.newYmm();
      c_.emit(word < 2 ? x86::Inst::kIdVpunpckldq : x86::Inst::kIdVpunpckhdq, pair[i], packets[2 * i],
              packets[2 * i + 1]);
    }
    windows_[w].bytes = c_.newYmm();
    c_.emit(word % 2 == 0 ? x86::Inst::kIdVpunpcklqdq : x86::Inst::kIdVpunpckhqdq, windows_[w].bytes, pair[0], pair[1]);
    taken_windows_.push_back(w);
  }
}

x86::Mem Avx2Body::constant(std::uint32_t value) {
  std::size_t at = 0;
  while (at < constants_.size() && !std::all_of(constants_.begin() + static_cast<std::ptrdiff_t>(at),
                                                constants_.begin() + static_cast<std::ptrdiff_t>(at + 8),
                                                [&](std::uint32_t word) { return word == value; }))
    at += 8;
  if (at == constants_.size()) constants_.insert(constants_.end(), 8, value);
  return x86::ymmword_ptr(constants_label_, static_cast<std::int32_t>(4 * at));
}

// A pattern for vpshufb: the same in both halves.
x86::Mem Avx2Body::bytes(const std::uint8_t (&sixteen)[16]) {
  const std::size_t at = constants_.size();
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint8_t* four = sixteen + 4 * (i % 4);
    constants_.push_back(four[0] | std::uint32_t{four[1]} << 8 | std::uint32_t{four[2]} << 16 |
                         std::uint32_t{four[3]} << 24);
  }
  return x86::ymmword_ptr(constants_label_, static_cast<std::int32_t>(4 * at));
}

x86::Ymm Avx2Body::all_lanes() {
  const Ymm all = c_.newYmm();
  c_.vpcmpeqd(all, all, all);
  return all;
}

x86::Ymm Avx2Body::gather(const x86::Gp& base, const Ymm& index, std::uint32_t scale_log, std::int32_t displacement,
                          const Ymm& mask) {
  const Ymm out = c_.newYmm();
  const Ymm lanes = c_.newYmm();  // the instruction clears its mask
  c_.vpxor(out, out, out);
  c_.vmovdqa(lanes, mask);
  c_.vpgatherdd(out, x86::ptr(base, index, scale_log, displacement), lanes);
  return out;
}

// Computes what the node needs first, in order of numbers: operands come before their users.
x86::Ymm Avx2Body::value(NodeId root, const Ymm& mask) {
  if (cached_[root].isValid()) return cached_[root];
  std::vector<NodeId> wanted;
  std::vector<NodeId> pending{root};
  while (!pending.empty()) {
    const NodeId id = pending.back();
    pending.pop_back();
    if (cached_[id].isValid() || std::find(wanted.begin(), wanted.end(), id) != wanted.end()) continue;
    wanted.push_back(id);
    const Node& node = plan_[id];
    if (node.op == Op::kConstant || node.op == Op::kParameter) continue;
    if (node.a != kNothing) pending.push_back(node.a);
    if (node.b != kNothing && !plan_.is_constant(node.b)) pending.push_back(node.b);
  }
  std::sort(wanted.begin(), wanted.end());
  for (const NodeId id : wanted) {
    cached_[id] = compute(id, mask);
    taken_.push_back(id);
  }
  return cached_[root];
}

x86::Ymm Avx2Body::compute(NodeId id, const Ymm& mask) {
  const Node& node = plan_[id];
  switch (node.op) {
    case Op::kParameter: return phis_[node.k];
    case Op::kLoad: return compute_load(id, mask);
    case Op::kConstant: {
      const Ymm out = c_.newYmm();
      c_.vmovdqa(out, constant(node.k));
      return out;
    }
    case Op::kLength: {
      const Ymm out = c_.newYmm();
      c_.vmovdqu(out, x86::ymmword_ptr(group_.wire_lengths, group_.index, 2));
      return out;
    }
    case Op::kNegate: {
      const Ymm out = c_.newYmm();
      c_.vpxor(out, out, out);
      c_.vpsubd(out, out, cached_[node.a]);
      return out;
    }
    default: return compute_binary(node, mask);
  }
}

x86::Ymm Avx2Body::window(std::uint32_t number) {
  Window& window = windows_[number];
  if (!window.bytes.isValid()) {
    if (fast_gather_) {
      window.bytes = gather(group_.base, group_.offsets, 0, static_cast<std::int32_t>(window.start), all_lanes());
      taken_windows_.push_back(number);
    } else {
      load_row(window.row);
    }
  }
  return window.bytes;
}

// The big-endian number in bytes [at, at + size) of each four.
x86::Ymm Avx2Body::extract(const Ymm& four_bytes, std::uint32_t at, std::uint32_t size) {
  std::uint8_t pattern[16];
  for (std::uint32_t i = 0; i < 16; ++i) {
    const std::uint32_t byte = i % 4;  // of the result, from the lowest
    pattern[i] = static_cast<std::uint8_t>(byte < size ? i - byte + at + size - 1 - byte : 0x80);
  }
  const Ymm out = c_.newYmm();
  c_.vpshufb(out, four_bytes, bytes(pattern));
  return out;
}

x86::Ymm Avx2Body::compute_load(NodeId id, const Ymm& mask) {
  const Node& node = plan_[id];
  if (varying_of_[id] != kNothing) {
    const std::uint32_t number = varying_of_[id];
    open_varying(number, mask);
    return extract(varying_[number].bytes, node.k - varying_[number].start, node.size);
  }
  if (node.a != kNothing) return load_at_varying_address(node, mask);
  if (window_of_[id] != kNothing) {
    const std::uint32_t start = windows_[window_of_[id]].start;
    return extract(window(window_of_[id]), node.k - start, node.size);
  }
  // Beyond the known length, so beyond 4: the four bytes that end where the field ends.
  const auto start = static_cast<std::int32_t>(node.k + node.size - 4);
  return extract(gather(group_.base, group_.offsets, 0, start, mask), 4u - node.size, node.size);
}

x86::Ymm Avx2Body::load_at_varying_address(const Node& node, const Ymm& mask) {
  const std::uint32_t before = 4u - node.size;  // bytes of the four that come before the field
  const Ymm index = c_.newYmm();
  c_.vpaddd(index, group_.offsets, cached_[node.a]);
  const bool wraps = std::uint64_t{values_.largest(node.a)} + node.k > 0x7fffffff;
  if (!wraps && node.k >= before) {
    const auto start = static_cast<std::int32_t>(node.k - before);
    return extract(gather(group_.base, index, 0, start, mask), before, node.size);
  }
  // The field may start in the packet's first bytes: the four start there at the earliest, and are shifted.
  const Ymm start = c_.newYmm();
  const Ymm excess = c_.newYmm();  // bytes of the four that come after the field
  c_.vpaddd(start, cached_[node.a], constant(node.k));
  c_.vpmaxud(excess, start, constant(before));
  c_.vpsubd(excess, excess, start);
  c_.vpaddd(start, start, excess);
  c_.vpsubd(start, start, constant(before));
  c_.vpaddd(start, start, group_.offsets);
  const Ymm four = extract(gather(group_.base, start, 0, 0, mask), 0, 4);
  c_.vpslld(excess, excess, 3);
  const Ymm out = c_.newYmm();
  c_.vpsrlvd(out, four, excess);
  if (node.size < 4) c_.vpand(out, out, constant((1u << (8 * node.size)) - 1));
  return out;
}

x86::Ymm Avx2Body::compute_binary(const Node& node, const Ymm& mask) {
  static_cast<void>(mask);
  const Ymm& a = cached_[node.a];
  const Ymm out = c_.newYmm();
  const bool is_constant = plan_.is_constant(node.b);
  const std::uint32_t k = plan_[node.b].k;
  const auto apply = [&](x86::Inst::Id op) {
    if (is_constant) {
      c_.emit(op, out, a, constant(k));
    } else {
      c_.emit(op, out, a, cached_[node.b]);
    }
    return out;
  };
  const auto shift = [&](x86::Inst::Id by_constant, x86::Inst::Id by_lane) {
    if (is_constant) {
      c_.emit(by_constant, out, a, asmjit::Imm(k & 31));
      return out;
    }
    const Ymm count = c_.newYmm();
    c_.vpand(count, cached_[node.b], constant(31));
    c_.emit(by_lane, out, a, count);
    return out;
  };
  switch (node.op) {
    case Op::kAdd: return apply(x86::Inst::kIdVpaddd);
    case Op::kSubtract: return apply(x86::Inst::kIdVpsubd);
    case Op::kMultiply: return apply(x86::Inst::kIdVpmulld);
    case Op::kAnd: return apply(x86::Inst::kIdVpand);
    case Op::kOr: return apply(x86::Inst::kIdVpor);
    case Op::kXor: return apply(x86::Inst::kIdVpxor);
    case Op::kShiftLeft: return shift(x86::Inst::kIdVpslld, x86::Inst::kIdVpsllvd);
    case Op::kShiftRight: return shift(x86::Inst::kIdVpsrld, x86::Inst::kIdVpsrlvd);
    case Op::kDivide:
    case Op::kModulo: {
      Ymm b = c_.newYmm();
      if (is_constant) {
        c_.vmovdqa(b, constant(k));
      } else {
        b = cached_[node.b];
      }
      const Ymm quotient = divide(a, b);
      if (node.op == Op::kDivide) return quotient;
      c_.vpmulld(out, quotient, b);
      c_.vpsubd(out, a, out);
      return out;
    }
    default: return out;
  }
}

// By double precision: its 53 bits hold 32-bit operands exactly, and the quotient of two of them is never rounded up to
// a whole number that it does not reach (it lacks at least 2^-32 of it). Lanes that divide by zero give anything.
x86::Ymm Avx2Body::divide(const Ymm& a, const Ymm& b) {
  const std::uint32_t sign = 0x80000000;
  const Ymm half = c_.newYmm();  // 2^31 as a double, four times
  const Ymm a_signed = c_.newYmm();
  const Ymm b_signed = c_.newYmm();
  const std::size_t at = constants_.size();
  for (int i = 0; i < 4; ++i) {
    constants_.push_back(0);
    constants_.push_back(0x41e00000);
  }
  c_.vmovdqa(half, x86::ymmword_ptr(constants_label_, static_cast<std::int32_t>(4 * at)));
  c_.vpxor(a_signed, a, constant(sign));
  c_.vpxor(b_signed, b, constant(sign));
  const Ymm out = c_.newYmm();
  x86::Xmm quotients[2];
  for (int side = 0; side < 2; ++side) {
    const x86::Xmm four = c_.newXmm();
    const Ymm dividend = c_.newYmm();
    const Ymm divisor = c_.newYmm();
    c_.vextracti128(four, a_signed, side);
    c_.vcvtdq2pd(dividend, four);
    c_.vextracti128(four, b_signed, side);
    c_.vcvtdq2pd(divisor, four);
    c_.vaddpd(dividend, dividend, half);
    c_.vaddpd(divisor, divisor, half);
    c_.vdivpd(dividend, dividend, divisor);
    c_.vroundpd(dividend, dividend, 3);  // towards zero
    c_.vsubpd(dividend, dividend, half);
    quotients[side] = c_.newXmm();
    c_.vcvttpd2dq(quotients[side], dividend);
  }
  c_.vmovdqa(out.xmm(), quotients[0]);
  c_.vinserti128(out, out, quotients[1], 1);
  c_.vpxor(out, out, constant(sign));
  return out;
}

}  // namespace weir::engine
