// The tree of a filter expression, as written: what the parser makes and the binder reads.
//
// Nodes lie in one vector and name each other by index, so a tree of any depth or width is made, walked and dropped
// without recursion; children stand before their parents. Every node has the span of its words. Qualifiers are
// complete: `host a or b` gives two primitives, both with the qualifier host (the second inherited it). Nothing is
// resolved: names are still names. Values; not synchronised.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/base/small_vector.h>

namespace weir::filter {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = 0xffffffff;

// What may stand before an identifier. The order of the enumerators has no meaning.
enum class Protocol : std::uint8_t {
  kDefault,  // none written
#define WEIR_FILTER_PROTOCOL(name, text) name,
#include <weir/filter/protocols.def>
#undef WEIR_FILTER_PROTOCOL
};
enum class Direction : std::uint8_t {
  kDefault,
  kSource,
  kDestination,
  kSourceOrDestination,
  kSourceAndDestination,
  kAddress1,
  kAddress2,
  kAddress3,
  kAddress4,
  kReceiver,
  kTransmitter,  // 802.11
};
enum class Type : std::uint8_t { kDefault, kHost, kNet, kPort, kPortRange, kGateway, kProto, kProtoChain };

struct Qualifiers {
  Protocol protocol = Protocol::kDefault;
  Direction direction = Direction::kDefault;
  Type type = Type::kDefault;
  friend bool operator==(const Qualifiers&, const Qualifiers&) = default;
};

// The identifier of a primitive, classed by its form alone.
enum class IdKind : std::uint8_t {
  kName,        // www, http, en0
  kNumber,      // 80, 0x50
  kIpv4,        // 10.0.0.1, 10.1 (text keeps what was written)
  kIpv4Prefix,  // 10.0.0.0/8             number is the prefix length
  kIpv4Mask,    // 10.0.0.0 mask 255.0.0.0  second is the mask
  kIpv6,        // fe80::1, fe80::1%eth0
  kIpv6Prefix,  // fe80::/10
  kMac48,       // 00:01:02:03:04:05
  kMac8,        // $2a
  kFile,        // @addresses.txt: each word of the file is an identifier
};

struct Id {
  IdKind kind = IdKind::kName;
  std::string text;          // without a leading backslash
  std::string second;        // kIpv4Mask
  std::uint32_t number = 0;  // kNumber, kIpv4Prefix, kIpv6Prefix
  Span span{};
};

// Tests with a shape of their own. Operands are in Node::values, names in Node::name.
enum class Special : std::uint8_t {
#define WEIR_FILTER_SPECIAL(name, text) name,
#include <weir/filter/specials.def>
#undef WEIR_FILTER_SPECIAL
};

enum class ArithmeticOp : std::uint8_t {
  kNumber,  // number
  kLength,  // len
  kLoad,    // protocol[left : number], number is 1, 2 or 4 bytes
  kNegate,  // -left
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kAnd,
  kOr,
  kXor,
  kShiftLeft,
  kShiftRight,
};
enum class Relation : std::uint8_t { kEqual, kNotEqual, kGreater, kGreaterOrEqual, kLess, kLessOrEqual };

enum class NodeKind : std::uint8_t {
  kEmpty,  // the empty expression: matches every packet
  kAnd,
  kOr,          // children, two or more, left to right
  kNot,         // children[0]
  kPrimitive,   // qualifiers, id
  kProtocol,    // a protocol alone (`tcp`): qualifiers.protocol
  kRelation,    // left relation right: children[0], children[1] are arithmetic
  kSpecial,     // special, with its operands
  kArithmetic,  // arithmetic
};

struct Node {
  NodeKind kind = NodeKind::kEmpty;
  Span span{};  // all words of the node
  SmallVector<NodeId, 2> children{};
  Qualifiers qualifiers{};
  Span qualifiers_span{};                  // where the qualifiers were written (for an heir: at its ancestor)
  Id id{};                                 // kPrimitive
  Special special{};                       // kSpecial
  Relation relation{};                     // kRelation; kSpecial with a relation (`byte`, `vpi > 3`, `opc >= 5`)
  ArithmeticOp arithmetic{};               // kArithmetic
  std::uint32_t number = 0;                // kArithmetic: kNumber, size of kLoad
  SmallVector<std::uint32_t, 2> values{};  // kSpecial: its numbers, in the order written
  std::string name{};                      // kSpecial: its name (`ifname en0`, `type mgt`)
};

struct Ast {
  std::string text;  // what was parsed; spans point into it
  std::vector<Node> nodes;
  NodeId root = kNoNode;
  const Node& operator[](NodeId id) const { return nodes[id]; }
};

// One node a line, indented: stable, for tests and `weir compile --emit tree`.
std::string write(const Ast& ast);

std::string_view name_of(Protocol protocol);
std::string_view name_of(Direction direction);
std::string_view name_of(Type type);

}  // namespace weir::filter
