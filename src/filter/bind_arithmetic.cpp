// Relations between numbers: `ip[8] < 5`, `tcp[tcpflags] & tcp-syn != 0`.
//
// An operand that reads a protocol's bytes brings a check that the protocol is there. As in libpcap, an operation keeps
// the check of its left operand alone: `len + tcp[0] = 5` does not check for TCP, `tcp[0] + len = 5` does.
#include <fmt/format.h>

#include "filter/binder.h"

namespace weir::filter {
namespace {

TermOp term_op(ArithmeticOp op) {
  switch (op) {
    case ArithmeticOp::kAdd: return TermOp::kAdd;
    case ArithmeticOp::kSubtract: return TermOp::kSubtract;
    case ArithmeticOp::kMultiply: return TermOp::kMultiply;
    case ArithmeticOp::kDivide: return TermOp::kDivide;
    case ArithmeticOp::kModulo: return TermOp::kModulo;
    case ArithmeticOp::kAnd: return TermOp::kAnd;
    case ArithmeticOp::kOr: return TermOp::kOr;
    case ArithmeticOp::kXor: return TermOp::kXor;
    case ArithmeticOp::kShiftLeft: return TermOp::kShiftLeft;
    case ArithmeticOp::kShiftRight: return TermOp::kShiftRight;
    default: return TermOp::kConstant;
  }
}

}  // namespace

FormulaId Binder::relation() {
  const Node& relation = node();
  const std::optional<Operand> left = arithmetic(relation.children[0]);
  if (!left) return 0;
  const std::optional<Operand> right = arithmetic(relation.children[1]);
  if (!right) return 0;
  SmallVector<FormulaId, 8> parts;
  if (left->check) parts.push_back(*left->check);
  if (right->check) parts.push_back(*right->check);
  const FormulaId comparison = compare(relation.relation, left->term, right->term);
  if (parts.empty()) return comparison;
  parts.push_back(comparison);
  return connect(FormulaKind::kAnd, parts);
}

// Children before parents, with a stack of its own: a sum may have a hundred thousand terms.
std::optional<Binder::Operand> Binder::arithmetic(NodeId root) {
  struct Frame {
    NodeId node;
    std::vector<Operand> operands;
  };
  std::vector<Frame> stack;
  stack.push_back({root, {}});
  for (;;) {
    Frame& frame = stack.back();
    const Node& op = ast_[frame.node];
    if (frame.operands.size() < op.children.size()) {
      const NodeId child = op.children[frame.operands.size()];
      stack.push_back({child, {}});
      continue;
    }
    const std::optional<Operand> result = combine(op, frame.operands);
    if (!result || stack.size() == 1) return result;
    stack.pop_back();
    stack.back().operands.push_back(*result);
  }
}

// What is wrong whatever the packet: refused at once. Only a number written there counts, not a sum that is 0.
bool Binder::check_constant(const Node& op) {
  const Node& right = ast_[op.children[1]];
  if (right.arithmetic != ArithmeticOp::kNumber) return true;
  const bool division = op.arithmetic == ArithmeticOp::kDivide || op.arithmetic == ArithmeticOp::kModulo;
  if (division && right.number == 0) {
    refuse("division by zero", right.span);
    return false;
  }
  const bool shift = op.arithmetic == ArithmeticOp::kShiftLeft || op.arithmetic == ArithmeticOp::kShiftRight;
  if (shift && right.number > 31) {
    refuse(fmt::format("shift by {} bits", right.number), right.span, "numbers have 32 bits: at most 31");
    return false;
  }
  return true;
}

std::optional<Binder::Operand> Binder::combine(const Node& op, const std::vector<Operand>& operands) {
  switch (op.arithmetic) {
    case ArithmeticOp::kNumber: return Operand{constant(op.number)};
    case ArithmeticOp::kLength: return Operand{bound_.add({.op = TermOp::kLength})};
    case ArithmeticOp::kNegate:
      return Operand{bound_.add({.op = TermOp::kNegate, .a = operands[0].term}), operands[0].check};
    case ArithmeticOp::kLoad: return indexed(op, operands[0]);
    default:
      if (!check_constant(op)) return std::nullopt;
      return Operand{binary(term_op(op.arithmetic), operands[0].term, operands[1].term), operands[0].check};
  }
}

TermId Binder::behind_ip(Protocol protocol, const Operand& index, std::uint8_t size, Checks& checks) {
  const std::uint32_t network = layout_.payload.constant + layout_.network;
  if (walks_ip6() && (protocol == Protocol::kSctp || protocol == Protocol::kTcp || protocol == Protocol::kUdp)) {
    if (index.check) checks.push_back(*index.check);
    checks.push_back(transport_anywhere(protocol));
    return load_at(binary(TermOp::kAdd, index.term, variable(*transport_)), network, size);
  }
  // Over IPv4 only, and not in later fragments.
  checks.push_back(carries(kEtherIp));
  if (index.check) checks.push_back(*index.check);
  checks.push_back(protocol_alone(protocol));
  checks.push_back(first_fragment());
  return load_at(binary(TermOp::kAdd, index.term, ipv4_header_length()), network, size);
}

std::optional<Binder::Operand> Binder::indexed(const Node& load_node, const Operand& index) {
  const Protocol protocol = load_node.qualifiers.protocol;
  const auto size = static_cast<std::uint8_t>(load_node.number);
  Checks checks;
  const auto behind = [&](const Offset& offset, std::uint32_t more) {
    use(offset);
    const TermId base = offset.variable ? binary(TermOp::kAdd, index.term, variable(*offset.variable)) : index.term;
    return load_at(base, offset.constant + more, size);
  };
  TermId term = kNoTerm;
  switch (protocol) {
    case Protocol::kRadio:
      if (!has_variable_link_header(layout_.type) || layout_.type == packet::LinkType::kPpi) {
        refuse("this link type has no radio header", load_node.span, {}, ErrorCode::kUnsupported);
        return std::nullopt;
      }
      term = load_at(index.term, 0, size);
      if (index.check) checks.push_back(*index.check);
      break;
    case Protocol::kLink:
      term = behind(layout_.link_header, 0);
      if (index.check) checks.push_back(*index.check);
      break;
    case Protocol::kIp:
    case Protocol::kArp:
    case Protocol::kRarp:
    case Protocol::kAtalk:
    case Protocol::kDecnet:
    case Protocol::kSca:
    case Protocol::kLat:
    case Protocol::kMoprc:
    case Protocol::kMopdl:
    case Protocol::kIp6:
      if (index.check) checks.push_back(*index.check);
      checks.push_back(protocol_alone(protocol));
      term = behind(layout_.payload, layout_.network);
      break;
    case Protocol::kSctp:
    case Protocol::kTcp:
    case Protocol::kUdp:
    case Protocol::kIcmp:
    case Protocol::kIgmp:
    case Protocol::kIgrp:
    case Protocol::kPim:
    case Protocol::kVrrp:
    case Protocol::kCarp: term = behind_ip(protocol, index, size, checks); break;
    case Protocol::kIcmp6:
      if (index.check) checks.push_back(*index.check);
      checks.push_back(carries(kEtherIp6));
      checks.push_back(ip6_next_header(kProtocolIcmp6));
      term = behind(layout_.payload, layout_.network + 40);
      break;
    default:
      refuse(fmt::format("bytes of '{}' cannot be read with [...]", name_of(protocol)), load_node.span);
      return std::nullopt;
  }
  if (error_) return std::nullopt;
  if (checks.empty()) return Operand{term};
  return Operand{term, checks.size() == 1 ? checks.front() : connect(FormulaKind::kAnd, checks)};
}

}  // namespace weir::filter
