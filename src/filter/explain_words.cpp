// Words for tests with a shape of their own (`vlan 5`, `type mgt`, `opc > 3`) and for comparisons (`tcp[13] & 2 != 0`).
// Exports special_words and comparison_words.
#include "filter/explain_words.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "filter/point_code.h"
#include "filter/signs.h"

namespace weir::filter {
namespace {

std::string_view relation_words(Relation relation) {
  switch (relation) {
    case Relation::kEqual: return "is";
    case Relation::kNotEqual: return "is not";
    case Relation::kGreater: return "is greater than";
    case Relation::kGreaterOrEqual: return "is at least";
    case Relation::kLess: return "is less than";
    case Relation::kLessOrEqual: return "is at most";
  }
  return "is";
}

// Fields of one number, which a relation follows.
std::string_view field_words(Special special) {
  switch (special) {
    case Special::kAtmVpi: return "the ATM virtual path identifier";
    case Special::kAtmVci: return "the ATM virtual channel identifier";
    case Special::kSio: return "the service information octet";
    case Special::kOpc: return "the originating point code";
    case Special::kDpc: return "the destination point code";
    case Special::kSls: return "the signalling link selection";
    case Special::kHsio: return "the service information octet (high-speed link)";
    case Special::kHopc: return "the originating point code (high-speed link)";
    case Special::kHdpc: return "the destination point code (high-speed link)";
    case Special::kHsls: return "the signalling link selection (high-speed link)";
    default: return "";
  }
}

// Tests without any operand.
std::string_view alone_words(Special special) {
  switch (special) {
    case Special::kInbound: return "received by the capturing host";
    case Special::kOutbound: return "sent by the capturing host";
    case Special::kPppoed: return "PPPoE discovery";
    case Special::kAtmMetac: return "on the ATM meta-signalling circuit";
    case Special::kAtmBcc: return "on the ATM broadcast signalling circuit";
    case Special::kAtmSc: return "on the ATM signalling circuit";
    case Special::kAtmIlmic: return "on the ATM ILMI circuit";
    case Special::kAtmOam: return "an ATM OAM cell, F4 or F5";
    case Special::kAtmOamf4: return "on an ATM OAM F4 flow, segment or end to end";
    case Special::kAtmOamf4ec: return "on the ATM OAM F4 flow from end to end";
    case Special::kAtmOamf4sc: return "on the ATM OAM F4 flow of a segment";
    case Special::kAtmConnectmsg: return "on the ATM signalling circuit, and sets up or ends a connection";
    case Special::kAtmMetaconnect: return "on the ATM meta-signalling circuit, and sets up or ends a connection";
    case Special::kFisu: return "an SS7 fill-in signal unit";
    case Special::kLssu: return "an SS7 link status signal unit";
    case Special::kMsu: return "an SS7 message signal unit";
    case Special::kHfisu: return "an SS7 fill-in signal unit (high-speed link)";
    case Special::kHlssu: return "an SS7 link status signal unit (high-speed link)";
    case Special::kHmsu: return "an SS7 message signal unit (high-speed link)";
    default: return "";
  }
}

std::string sent_to(const Node& node, std::string_view kind) {
  switch (node.qualifiers.protocol) {
    case Protocol::kIp: return fmt::format("IPv4, sent to {} IPv4 address", kind);
    case Protocol::kIp6: return fmt::format("IPv6, sent to {} IPv6 address", kind);
    default: return fmt::format("sent to {} link-layer address", kind);
  }
}

std::string_view direction_words(std::uint32_t direction) {
  static constexpr std::string_view kWords[] = {"within a cell (nods)", "to the distribution system (tods)",
                                                "from the distribution system (fromds)",
                                                "from one distribution system to another (dstods)"};
  return kWords[direction & 3];
}

std::string_view header_words(Protocol protocol) {
  switch (protocol) {
    case Protocol::kLink: return "the packet";
    case Protocol::kRadio: return "the radio header";
    case Protocol::kIp: return "the IPv4 header";
    case Protocol::kIp6: return "the IPv6 header";
    case Protocol::kTcp: return "the TCP header";
    case Protocol::kUdp: return "the UDP header";
    case Protocol::kSctp: return "the SCTP header";
    case Protocol::kIcmp: return "the ICMP header";
    case Protocol::kIcmp6: return "the ICMPv6 header";
    case Protocol::kArp: return "the ARP packet";
    case Protocol::kRarp: return "the RARP packet";
    default: return "";
  }
}

class Comparison {
 public:
  explicit Comparison(const Ast& ast) : ast_(ast) {}

  std::string words(const Node& node) const {
    const Node& left = ast_[node.children[0]];
    const Node& right = ast_[node.children[1]];
    if (const std::string bits = bit_words(node.relation, left, right); !bits.empty()) return bits;
    return fmt::format("{} {} {}", value(left, 0), relation_words(node.relation), value(right, 0));
  }

 private:
  static constexpr int kDeepest = 6;  // deeper sums are shown as they are written

  std::string written(const Node& node) const {
    return fmt::format("'{}'", ast_.text.substr(node.span.begin, node.span.end - node.span.begin));
  }

  // `x & 6 != 0`, `x & 6 = 0`, `x & 6 = 6`
  std::string bit_words(Relation relation, const Node& left, const Node& right) const {
    const bool equal = relation == Relation::kEqual;
    if (left.arithmetic != ArithmeticOp::kAnd || right.arithmetic != ArithmeticOp::kNumber) return "";
    const std::optional<std::uint32_t> mask = constant(ast_[left.children[1]], 0);
    if (!mask || (!equal && relation != Relation::kNotEqual)) return "";
    const std::string of = value(ast_[left.children[0]], 0);
    if (right.number == 0) return fmt::format("{} has {} the bits {:#x}", of, equal ? "none of" : "some of", *mask);
    if (right.number != *mask) return "";
    return fmt::format("{} has {}all of the bits {:#x}", of, equal ? "" : "not ", *mask);
  }

  // The number that sums of flags are: (tcp-syn|tcp-fin).
  std::optional<std::uint32_t> constant(const Node& node, int depth) const {
    if (node.arithmetic == ArithmeticOp::kNumber) return node.number;
    if (depth > kDeepest || (node.arithmetic != ArithmeticOp::kOr && node.arithmetic != ArithmeticOp::kAdd)) return {};
    const auto left = constant(ast_[node.children[0]], depth + 1), right = constant(ast_[node.children[1]], depth + 1);
    if (!left || !right) return {};
    return node.arithmetic == ArithmeticOp::kOr ? *left | *right : *left + *right;
  }

  std::string value(const Node& node, int depth) const {
    if (depth > kDeepest) return written(node);
    switch (node.arithmetic) {
      case ArithmeticOp::kNumber: return std::to_string(node.number);
      case ArithmeticOp::kLength: return "the length on the wire";
      case ArithmeticOp::kNegate: return "-" + value(ast_[node.children[0]], depth + 1);
      case ArithmeticOp::kLoad: {
        const std::string_view header = header_words(node.qualifiers.protocol);
        if (header.empty()) return written(node);
        const std::string place = value(ast_[node.children[0]], depth + 1);
        return node.number == 1 ? fmt::format("byte {} of {}", place, header)
                                : fmt::format("the number in {} bytes at {} of {}", node.number, place, header);
      }
      default:
        if (const std::optional<std::uint32_t> number = constant(node, depth)) return std::to_string(*number);
        return fmt::format("({} {} {})", value(ast_[node.children[0]], depth + 1), sign_of(node.arithmetic),
                           value(ast_[node.children[1]], depth + 1));
    }
  }

  const Ast& ast_;
};

std::string byte_words(const Node& node) {
  if (node.arithmetic == ArithmeticOp::kAnd)
    return fmt::format("byte {} of the packet has some of the bits {:#x}", node.values[0], node.values[1]);
  if (node.arithmetic == ArithmeticOp::kOr)
    return fmt::format("byte {} of the packet with the bits {:#x} set is not 0", node.values[0], node.values[1]);
  return fmt::format("byte {} of the packet {} {}", node.values[0], relation_words(node.relation), node.values[1]);
}

}  // namespace

std::string special_words(const Node& node, std::string_view written, bool tests_shift) {
  const auto value = [&] { return node.values.empty() ? std::string() : std::to_string(node.values.front()); };
  const auto with = [&](std::string_view what, std::string_view field) {
    std::string out(what);
    if (!node.values.empty())
      out += fmt::format(" with {} {}", field, written.substr(std::min(written.find(' '), written.size() - 1) + 1));
    return tests_shift ? out + "; all tests after this one look behind it" : out;
  };
  if (const std::string_view alone = alone_words(node.special); !alone.empty()) return std::string(alone);
  if (const std::string_view field = field_words(node.special); !field.empty())
    return fmt::format("{} {} {}{}", field, relation_words(node.relation), value(),
                       orders_swapped(node) ? ", both with their bytes swapped" : "");
  switch (node.special) {
    case Special::kBroadcast:
      return sent_to(node, node.qualifiers.protocol == Protocol::kIp ? "a broadcast" : "the broadcast");
    case Special::kMulticast: return sent_to(node, "a multicast");
    case Special::kLess: return fmt::format("at most {} bytes long on the wire", value());
    case Special::kGreater: return fmt::format("at least {} bytes long on the wire", value());
    case Special::kByte: return byte_words(node);
    case Special::kIfindex: return fmt::format("on the interface with index {}", value());
    case Special::kVlan: return with("tagged with a VLAN", "identifier");
    case Special::kMpls: return with("labelled by MPLS", "label");
    case Special::kPppoes: return with("a PPPoE session", "identifier");
    case Special::kGeneve: return with("in a Geneve tunnel", "network identifier");
    case Special::kVxlan: return with("in a VXLAN tunnel", "network identifier");
    case Special::kAtmLane: return with("ATM LAN emulation", "");
    case Special::kLlc:
      return node.name.empty() ? "an 802.2 LLC frame" : fmt::format("an 802.2 LLC frame of the kind '{}'", node.name);
    case Special::kPfIfname: return fmt::format("logged by pf on interface '{}'", node.name);
    case Special::kPfRuleset: return fmt::format("logged by pf for the rule set '{}'", node.name);
    case Special::kPfRulenum: return fmt::format("logged by pf for rule {}", value());
    case Special::kPfSubrulenum: return fmt::format("logged by pf for rule {} of an anchored rule set", value());
    case Special::kPfReason: return fmt::format("logged by pf with the reason '{}'", node.name);
    case Special::kPfAction: return fmt::format("logged by pf with the action '{}'", node.name);
    case Special::kWlanDirection:
      return fmt::format("an 802.11 frame {}", direction_words(node.values.empty() ? 0 : node.values.front()));
    case Special::kWlanType:
      return fmt::format("an 802.11 frame of {}", written.substr(written.starts_with("wlan ") ? 5 : 0));
    default: return fmt::format("'{}' holds", written);
  }
}

std::string comparison_words(const Ast& ast, const Node& node) { return Comparison(ast).words(node); }

}  // namespace weir::filter
