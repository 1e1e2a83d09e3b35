// Text form of trees and the names of qualifiers. Exports write and name_of.
#include <weir/filter/ast.h>

#include <array>

#include <fmt/format.h>

#include "filter/signs.h"

namespace weir::filter {
namespace {

constexpr std::string_view kRelationText[] = {"=", "!=", ">", ">=", "<", "<="};

std::string_view name_of(Special special) {
  static constexpr std::array kNames = {
#define WEIR_FILTER_SPECIAL(name, text) std::string_view(text),
#include <weir/filter/specials.def>
#undef WEIR_FILTER_SPECIAL
  };
  return kNames[static_cast<std::size_t>(special)];
}

std::string describe_id(const Id& id) {
  switch (id.kind) {
    case IdKind::kNumber: return std::to_string(id.number);
    case IdKind::kIpv4Prefix:
    case IdKind::kIpv6Prefix: return fmt::format("{}/{}", id.text, id.number);
    case IdKind::kIpv4Mask: return fmt::format("{} mask {}", id.text, id.second);
    default: return id.text;
  }
}

std::string_view name_of(IdKind kind) {
  static constexpr std::string_view kNames[] = {"name", "number",      "ipv4",  "ipv4/prefix", "ipv4/mask",
                                                "ipv6", "ipv6/prefix", "mac48", "mac8",        "file"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case NodeKind::kEmpty: return "empty";
    case NodeKind::kAnd: return "and";
    case NodeKind::kOr: return "or";
    case NodeKind::kNot: return "not";
    case NodeKind::kProtocol: return fmt::format("protocol {}", filter::name_of(node.qualifiers.protocol));
    case NodeKind::kRelation: return fmt::format("relation {}", kRelationText[static_cast<std::size_t>(node.relation)]);
    case NodeKind::kPrimitive:
      return fmt::format("primitive protocol={} direction={} type={} {} {}", filter::name_of(node.qualifiers.protocol),
                         filter::name_of(node.qualifiers.direction), filter::name_of(node.qualifiers.type),
                         name_of(node.id.kind), describe_id(node.id));
    case NodeKind::kSpecial: {
      std::string out = fmt::format("special {}", name_of(node.special));
      if (node.qualifiers.protocol != Protocol::kDefault)
        out += fmt::format(" protocol={}", filter::name_of(node.qualifiers.protocol));
      if (!node.values.empty()) out += fmt::format(" {}", kRelationText[static_cast<std::size_t>(node.relation)]);
      for (const std::uint32_t value : node.values) out += fmt::format(" {}", value);
      return node.name.empty() ? out : out + " " + node.name;
    }
    case NodeKind::kArithmetic:
      if (node.arithmetic == ArithmeticOp::kNumber) return fmt::format("number {}", node.number);
      if (node.arithmetic == ArithmeticOp::kLoad)
        return fmt::format("load {} {}", filter::name_of(node.qualifiers.protocol), node.number);
      if (node.arithmetic == ArithmeticOp::kLength) return "len";
      if (node.arithmetic == ArithmeticOp::kNegate) return "neg";
      return std::string(sign_of(node.arithmetic));
  }
  return "?";
}

}  // namespace

std::string_view name_of(Protocol protocol) {
  static constexpr std::array kNames = {
      std::string_view("default"),
#define WEIR_FILTER_PROTOCOL(name, text) std::string_view(text),
#include <weir/filter/protocols.def>
#undef WEIR_FILTER_PROTOCOL
  };
  return kNames[static_cast<std::size_t>(protocol)];
}

std::string_view name_of(Direction direction) {
  static constexpr std::string_view kNames[] = {"default", "src",   "dst",   "src or dst", "src and dst", "addr1",
                                                "addr2",   "addr3", "addr4", "ra",         "ta"};
  return kNames[static_cast<std::size_t>(direction)];
}

std::string_view name_of(Type type) {
  static constexpr std::string_view kNames[] = {"default",   "host",    "net",   "port",
                                                "portrange", "gateway", "proto", "protochain"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string write(const Ast& ast) {
  struct Line {
    NodeId node;
    std::size_t depth;
  };
  std::string out;
  std::vector<Line> pending{{ast.root, 0}};
  while (!pending.empty()) {
    const Line line = pending.back();
    pending.pop_back();
    const Node& node = ast[line.node];
    out += fmt::format("{:{}}{} @{}-{}\n", "", 2 * std::min<std::size_t>(line.depth, 100), describe(node),
                       node.span.begin, node.span.end);
    for (auto child = node.children.rbegin(); child != node.children.rend(); ++child)
      pending.push_back({*child, line.depth + 1});
  }
  return out;
}

}  // namespace weir::filter
