// Values in lanes. The part of LaneBody that computes nodes.
#include "engine/lane_body.h"

namespace weir::engine {

using flow::Op;
namespace x86 = asmjit::x86;
namespace Inst = x86::Inst;

asmjit::Operand LaneBody::operand(NodeId id) {
  if (plan_.is_constant(id)) return lanes_.constant(plan_[id].k);
  return cached_[id];
}

x86::Vec LaneBody::value(NodeId root, const Mask& mask) {
  if (cached_[root].isValid()) return cached_[root];
  for (const NodeId id : missing_for(plan_, root, false, [&](NodeId each) { return cached_[each].isValid(); })) {
    cached_[id] = compute(id, mask);
    taken_.push_back(id);
  }
  return cached_[root];
}

x86::Vec LaneBody::compute(NodeId id, const Mask& mask) {
  const Node& node = plan_[id];
  switch (node.op) {
    case Op::kParameter: return phis_[node.k];
    case Op::kLoad: return compute_load(id, mask);
    case Op::kConstant: return lanes_.filled(node.k);
    case Op::kLength: return lanes_.load(x86::ptr(group_.wire_lengths, group_.index, 2));
    case Op::kNegate: return lanes_.with(Inst::kIdVpsubd, lanes_.zero(), cached_[node.a]);
    default: return compute_binary(node);
  }
}

x86::Vec LaneBody::compute_binary(const Node& node) {
  const Vec& a = cached_[node.a];
  const bool is_constant = plan_.is_constant(node.b);
  const auto shift = [&](x86::Inst::Id by_constant, x86::Inst::Id by_lane) {
    if (is_constant) return lanes_.with(by_constant, a, asmjit::Imm(plan_[node.b].k & 31));
    return lanes_.with(by_lane, a, lanes_.with(Inst::kIdVpand, cached_[node.b], lanes_.constant(31)));
  };
  switch (node.op) {
    case Op::kAdd: return lanes_.with(Inst::kIdVpaddd, a, operand(node.b));
    case Op::kSubtract: return lanes_.with(Inst::kIdVpsubd, a, operand(node.b));
    case Op::kMultiply: return lanes_.with(Inst::kIdVpmulld, a, operand(node.b));
    case Op::kAnd: return lanes_.with(Inst::kIdVpand, a, operand(node.b));
    case Op::kOr: return lanes_.with(Inst::kIdVpor, a, operand(node.b));
    case Op::kXor: return lanes_.with(Inst::kIdVpxor, a, operand(node.b));
    case Op::kShiftLeft: return shift(Inst::kIdVpslld, Inst::kIdVpsllvd);
    case Op::kShiftRight: return shift(Inst::kIdVpsrld, Inst::kIdVpsrlvd);
    case Op::kDivide:
    case Op::kModulo: {
      const Vec b = is_constant ? lanes_.filled(plan_[node.b].k) : cached_[node.b];
      const Vec quotient = lanes_.divide(a, b);
      if (node.op == Op::kDivide) return quotient;
      return lanes_.with(Inst::kIdVpsubd, a, lanes_.with(Inst::kIdVpmulld, quotient, b));
    }
    default: return lanes_.zero();
  }
}

}  // namespace weir::engine
