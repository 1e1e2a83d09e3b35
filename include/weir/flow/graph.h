// The flow graph: the one form in the middle.
//
// Expressions are lowered to it, classic programs are lifted into it, passes rewrite it, and bytecode and machine code
// are emitted from it. It is a directed graph without cycles of blocks. A block holds values in the order in which they
// are computed and ends in an exit: a test with two edges, a set test, a jump, or a verdict. A load outside of the
// packet, or a division by zero, leaves the block at once over its `outside` edge.
//
// Two forms, one type:
//   plain     values are used only in the block that defines them; what crosses blocks passes through slots
//             (kGetSlot, kSetSlot), as classic code passes it through A, X and M[]. Lowering and lifting make this.
//   promoted  values are used wherever their definition dominates; what joins is a parameter of the block (kParameter),
//             given by each edge. optimise() makes this form from the other. Verdicts, arguments and both sides of a
//             test may be values of any dominating block; a value that a block lists is computed there, in order.
//
// Sets: an exit of kind kSet asks whether one value lies in any of its ranges, which are sorted, disjoint and not
// adjacent: {80, 443, 8000-8100}. optimise() gathers chains of tests on one value, nets and port ranges into them, of
// any size. Classic code gets a set as a balanced search tree; native code may take a bitmap, a hash or a vector
// compare.
//
// Arithmetic is that of the classic machine: 32 bits, wrapping; shift counts are masked with 31; division or remainder
// by zero leaves the block. A load's address is base + k modulo 2^32; addresses from cbpf::kLinkLayerOffset up are
// relative to headers that only a kernel knows, and lie outside of every packet elsewhere. A slot that was never set
// reads 0.
//
// Values and blocks are named by index and never removed while a graph is rewritten; a pass that drops many ends with
// compact(). A Graph is a plain value: copy, move, compare. Not synchronised.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/error.h>

namespace weir::flow {

using ValueId = std::uint32_t;
using BlockId = std::uint32_t;
using SlotId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xffffffff;

enum class Op : std::uint8_t {
  kConstant,   // k
  kLoad,       // `size` bytes, big-endian, at packet[base + k]; base is operand a, or kNone. May leave over `outside`
  kLength,     // length on the wire
  kExtension,  // what Linux knows beside the packet: k is a cbpf::Extension; for kNetlink*, a and b are A and X
  kGetSlot,    // slot k
  kSetSlot,    // slot k = a; defines nothing
  kParameter,  // k-th parameter of the block (promoted form)
  kNegate,     // -a
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,  // b zero: leaves over `outside`
  kAnd,
  kOr,
  kXor,
  kShiftLeft,
  kShiftRight,
};

struct Value {
  Op op = Op::kConstant;
  std::uint8_t size = 4;  // of a load: 1, 2 or 4
  bool inside = false;    // of a load: it is proven to lie inside of the packet wherever the block is reached, so it
                          // never leaves; set by optimise(), and never wrong to ignore
  ValueId a = kNone;
  ValueId b = kNone;
  std::uint32_t k = 0;
  friend bool operator==(const Value&, const Value&) = default;
};

// Unsigned comparisons of lhs with rhs. Their negations are made by swapping the edges.
enum class Condition : std::uint8_t { kEqual, kGreater, kGreaterOrEqual, kBitsSet };

// Inclusive.
struct Range {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

struct Edge {
  BlockId target = kNone;
  std::vector<ValueId> arguments{};  // one for each parameter of the target (promoted form)
  friend bool operator==(const Edge&, const Edge&) = default;
};

enum class ExitKind : std::uint8_t {
  kTest,     // condition(lhs, rhs) ? if_true : if_false
  kSet,      // lhs in `set` ? if_true : if_false
  kJump,     // if_true
  kVerdict,  // ends the program with the value lhs
};

struct Exit {
  ExitKind kind = ExitKind::kVerdict;
  Condition condition = Condition::kEqual;
  ValueId lhs = kNone;
  ValueId rhs = kNone;
  std::vector<Range> set{};  // sorted, disjoint, not adjacent (kSet)
  Edge if_true{};
  Edge if_false{};
  friend bool operator==(const Exit&, const Exit&) = default;
};

struct Block {
  std::vector<ValueId> parameters{};  // kParameter values (promoted form)
  std::vector<ValueId> values{};      // in order of computation; all are computed, used or not
  Exit exit{};
  BlockId outside = kNone;  // where a load outside of the packet or a division by zero leads (a block
                            // without parameters); kNone: the program ends with verdict 0
  friend bool operator==(const Block&, const Block&) = default;
};

class Graph {
 public:
  std::vector<Value> values;
  std::vector<Block> blocks;
  BlockId entry = kNone;
  std::uint32_t slot_count = 0;

  ValueId add(Value value);                    // not yet in a block
  ValueId append(BlockId block, Value value);  // at the end of the block's values
  BlockId add_block();
  SlotId add_slot() { return slot_count++; }
  ValueId append_constant(BlockId block, std::uint32_t k) { return append(block, {.op = Op::kConstant, .k = k}); }

  const Value& operator[](ValueId id) const { return values[id]; }
  friend bool operator==(const Graph&, const Graph&) = default;
};

// Blocks reachable from the entry, each before its successors.
std::vector<BlockId> topological_order(const Graph& graph);

// Whether the graph keeps all rules above: ids in range, no cycle, operands defined before use, edges with the right
// number of arguments, sets sorted. For tests and for debug builds after each pass.
Status validate(const Graph& graph);

// Text form, stable, one block a paragraph; and Graphviz.
std::string write(const Graph& graph);
std::string write_dot(const Graph& graph);

}  // namespace weir::flow
