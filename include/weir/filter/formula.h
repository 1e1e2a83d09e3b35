// What an expression means for one link type: a boolean formula over tests on packet values.
//
// The binder makes it from the tree: names are numbers, protocols are offsets, `vlan` and its like have moved the
// offsets of what follows. Evaluation is defined: children of kAnd and kOr from left to right, stopping as soon as the
// result is known; a test evaluates both of its terms; a load outside of the packet or a division by zero rejects the
// packet at once, wherever it stands (also under kNot). This is the meaning of libpcap's unoptimised code.
//
// Terms and nodes lie in vectors and name each other by index; a child is always made before its parent, so walking the
// vectors in order visits children first. Variables carry what is known only at run time (where a variable-length
// header ends) from kAssign to the terms after it; a variable never assigned reads as 0.
// Values; not synchronised.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/small_vector.h>
#include <weir/cbpf/instruction.h>
#include <weir/flow/graph.h>

namespace weir::filter {

using TermId = std::uint32_t;
using FormulaId = std::uint32_t;
using VariableId = std::uint32_t;
inline constexpr std::uint32_t kNoTerm = 0xffffffff;

enum class TermOp : std::uint8_t {
  kConstant,   // k
  kLoad,       // size bytes, big-endian, at packet[a + k]; a may be kNoTerm
  kLength,     // length on the wire
  kExtension,  // k is a cbpf::Extension
  kVariable,   // k is a VariableId
  kNegate,     // -a
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kAnd,
  kOr,
  kXor,
  kShiftLeft,
  kShiftRight,  // a, b
};

struct Term {
  TermOp op = TermOp::kConstant;
  std::uint8_t size = 4;
  TermId a = kNoTerm;
  TermId b = kNoTerm;
  std::uint32_t k = 0;
  friend bool operator==(const Term&, const Term&) = default;
};

enum class FormulaKind : std::uint8_t {
  kTrue,
  kFalse,
  kAnd,
  kOr,      // children
  kNot,     // children[0]
  kTest,    // condition(lhs, rhs)
  kAssign,  // variable = lhs; then true
};

struct FormulaNode {
  FormulaKind kind = FormulaKind::kTrue;
  flow::Condition condition = flow::Condition::kEqual;
  VariableId variable = 0;
  TermId lhs = kNoTerm;
  TermId rhs = kNoTerm;
  SmallVector<FormulaId, 4> children{};
  std::uint32_t origin = 0xffffffff;  // the node of the tree that this comes from, for messages
};

// The binder's result. Named after what was done to it: every name in it is bound.
struct Bound {
  std::vector<Term> terms;
  std::vector<FormulaNode> nodes;
  FormulaId root = 0;
  std::uint32_t variable_count = 0;

  TermId add(const Term& term);
  FormulaId add(FormulaNode node);
};

// Indented, one node a line; terms inline: "load2[12] == 0x800". Stable, for tests and `weir compile --emit bound`.
std::string write(const Bound& bound);

}  // namespace weir::filter
