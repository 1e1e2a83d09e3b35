// Expressions in plain words. Exports explain(Ast).
#include <weir/filter/explain.h>

#include <algorithm>
#include <bit>
#include <optional>

#include <fmt/format.h>

#include "filter/explain_words.h"
#include "filter/names.h"

namespace weir::filter {
namespace {

std::string_view protocol_words(Protocol protocol) {
  switch (protocol) {
    case Protocol::kIp: return "IPv4";
    case Protocol::kIp6: return "IPv6";
    case Protocol::kArp: return "ARP";
    case Protocol::kRarp: return "RARP";
    case Protocol::kTcp: return "TCP over IPv4 or IPv6";
    case Protocol::kUdp: return "UDP over IPv4 or IPv6";
    case Protocol::kSctp: return "SCTP over IPv4 or IPv6";
    case Protocol::kIcmp: return "ICMP over IPv4";
    case Protocol::kIcmp6: return "ICMPv6 over IPv6";
    case Protocol::kIgmp: return "IGMP over IPv4";
    case Protocol::kPim: return "PIM over IPv4 or IPv6";
    case Protocol::kVrrp: return "VRRP over IPv4";
    case Protocol::kCarp: return "CARP over IPv4";
    case Protocol::kAh: return "an IPsec Authentication Header over IPv4 or IPv6";
    case Protocol::kEsp: return "IPsec ESP over IPv4 or IPv6";
    case Protocol::kStp: return "the spanning tree protocol";
    case Protocol::kIso: return "ISO network protocols";
    case Protocol::kIpx: return "IPX";
    case Protocol::kAtalk: return "AppleTalk";
    case Protocol::kAarp: return "AppleTalk ARP";
    case Protocol::kDecnet: return "DECnet";
    case Protocol::kSca: return "DEC SCA";
    case Protocol::kLat: return "DEC LAT";
    case Protocol::kMopdl: return "DEC MOP, dump and load";
    case Protocol::kMoprc: return "DEC MOP, remote console";
    case Protocol::kNetbeui: return "NetBEUI";
    case Protocol::kIgrp: return "IGRP over IPv4";
    case Protocol::kEsis: return "ES-IS";
    case Protocol::kClnp: return "CLNP";
    case Protocol::kIsis: return "IS-IS";
    case Protocol::kIsisL1: return "IS-IS of level 1";
    case Protocol::kIsisL2: return "IS-IS of level 2";
    case Protocol::kIsisIih: return "an IS-IS hello";
    case Protocol::kIsisLsp: return "an IS-IS link state packet";
    case Protocol::kIsisSnp: return "IS-IS sequence numbers, complete or partial";
    case Protocol::kIsisCsnp: return "IS-IS complete sequence numbers";
    case Protocol::kIsisPsnp: return "IS-IS partial sequence numbers";
    default: return name_of(protocol);
  }
}

std::string_view side_words(Direction direction) {
  switch (direction) {
    case Direction::kSource: return "source";
    case Direction::kDestination: return "destination";
    case Direction::kSourceAndDestination: return "source and destination";
    case Direction::kAddress1: return "first 802.11";
    case Direction::kAddress2: return "second 802.11";
    case Direction::kAddress3: return "third 802.11";
    case Direction::kAddress4: return "fourth 802.11";
    case Direction::kReceiver: return "receiver";
    case Direction::kTransmitter: return "transmitter";
    default: return "source or destination";
  }
}

std::string ether_type_words(std::uint32_t type) {
  switch (type) {
    case kEtherIp: return "0x0800 (IPv4)";
    case kEtherIp6: return "0x86dd (IPv6)";
    case kEtherArp: return "0x0806 (ARP)";
    case kEther8021q: return "0x8100 (VLAN tag)";
    case kEtherMpls: return "0x8847 (MPLS)";
    case 0x88cc: return "0x88cc (LLDP)";
    default: return fmt::format("{:#06x}", type);
  }
}

std::string dotted(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff);
}

struct Ipv4Network {
  std::uint32_t address = 0;
  std::uint32_t mask = 0xffffffff;
};

// What a number or an address with dots stands for: `host 10.1` is all of 10.1.0.0/16, `host 10` is 0.0.0.10, but
// `net 10` is 10.0.0.0/8.
std::optional<Ipv4Network> ipv4_of(const Id& id, bool net) {
  if (id.kind == IdKind::kNumber) {
    Ipv4Network out{.address = id.number};
    while (net && out.address != 0 && out.address <= 0xffffff) out.address <<= 8, out.mask <<= 8;
    return out;
  }
  const std::optional<PartialIpv4> address = parse_ipv4(id.text);
  if (!address) return std::nullopt;
  const auto all_octets = [](const PartialIpv4& part) { return part.value << (32 - part.bits); };
  Ipv4Network out{all_octets(*address), 0xffffffffu << (32 - address->bits)};
  if (id.kind == IdKind::kIpv4Prefix) out.mask = id.number == 0 ? 0 : 0xffffffffu << (32 - id.number);
  if (id.kind == IdKind::kIpv4Mask) {
    const std::optional<PartialIpv4> mask = parse_ipv4(id.second);
    if (!mask) return std::nullopt;
    out.mask = all_octets(*mask);
  }
  return out;
}

// "is 10.0.0.1", "lies in 10.0.0.0/8"
std::string ipv4_words(const Ipv4Network& network) {
  const std::string address = dotted(network.address);
  if (network.mask == 0xffffffff) return "is " + address;
  const int bits = std::countl_one(network.mask);
  if (network.mask << bits != 0) return fmt::format("lies in {} mask {}", address, dotted(network.mask));
  return fmt::format("lies in {}/{}", address, bits);
}

class Outline {
 public:
  Outline(const Ast& ast, const BindOptions& options) : ast_(ast), options_(options) {}

  std::string run() {
    const Node& root = ast_[ast_.root];
    if (root.kind == NodeKind::kEmpty) return "every packet\n";
    struct Line {
      NodeId node;
      std::size_t depth;
      bool negated;
    };
    std::string out =
        fmt::format("{} packets that match\n",
                    packet::find(options_.link_type) != nullptr ? packet::find(options_.link_type)->name : "unknown");
    std::vector<Line> pending{{ast_.root, 1, false}};
    while (!pending.empty()) {
      const Line line = pending.back();
      pending.pop_back();
      const Node& node = ast_[line.node];
      if (node.kind == NodeKind::kNot) {
        pending.push_back({node.children[0], line.depth, !line.negated});
        continue;
      }
      const bool connective = node.kind == NodeKind::kAnd || node.kind == NodeKind::kOr;
      std::string words = connective ? (node.kind == NodeKind::kAnd ? "all of these:" : "any of these:") : leaf(node);
      out += fmt::format("{:{}}- {}{}\n", "", 2 * std::min<std::size_t>(line.depth, 100), line.negated ? "not: " : "",
                         words);
      for (auto child = node.children.rbegin(); connective && child != node.children.rend(); ++child)
        pending.push_back({*child, line.depth + 1, false});
    }
    return out;
  }

 private:
  std::string_view words_of(Span span) const {
    return std::string_view(ast_.text).substr(span.begin, span.end - span.begin);
  }

  std::string leaf(const Node& node) const {
    switch (node.kind) {
      case NodeKind::kProtocol: return std::string(protocol_words(node.qualifiers.protocol));
      case NodeKind::kPrimitive: return primitive(node);
      case NodeKind::kRelation: return relation(node);
      case NodeKind::kSpecial: return special(node);
      default: return std::string(words_of(node.span));
    }
  }

  std::string primitive(const Node& node) const {
    const Qualifiers& q = node.qualifiers;
    const std::string id = id_words(node.id);
    const std::string_view side = side_words(q.direction);
    switch (q.type) {
      case Type::kPort:
      case Type::kPortRange: return ports(node, port_words(node.id), side);
      case Type::kProto: return protocol_number(node, id);
      case Type::kProtoChain:
        return fmt::format("{} with protocol {} somewhere in the chain of its headers", network(q.protocol), id);
      case Type::kGateway: return fmt::format("passing the gateway '{}': its MAC address, but not its IP address", id);
      default: break;
    }
    const std::string is = address_words(node);
    if (q.protocol == Protocol::kLink) return fmt::format("the {} link-layer address {}", side, is);
    const bool ip6 = node.id.kind == IdKind::kIpv6 || node.id.kind == IdKind::kIpv6Prefix;
    if (q.protocol != Protocol::kDefault)
      return fmt::format("the {} {} address {}", side, protocol_words(q.protocol), is);
    if (ip6) return fmt::format("the {} IPv6 address {}", side, is);
    const bool name = node.id.kind == IdKind::kName || node.id.kind == IdKind::kFile;
    return fmt::format("the {} {} address {}; or so in ARP and RARP", side, name ? "IPv4 or IPv6" : "IPv4", is);
  }

  // What is told of an address: "is 10.0.0.1".
  static std::string address_words(const Node& node) {
    const bool net = node.qualifiers.type == Type::kNet;
    switch (node.id.kind) {
      case IdKind::kNumber:
      case IdKind::kIpv4:
      case IdKind::kIpv4Prefix:
      case IdKind::kIpv4Mask:
        if (node.qualifiers.protocol == Protocol::kDecnet) break;
        if (const std::optional<Ipv4Network> network = ipv4_of(node.id, net)) return ipv4_words(*network);
        break;
      case IdKind::kIpv6: return "is " + node.id.text;
      default: break;
    }
    const std::string_view verb = net ? "lies in" : node.id.kind == IdKind::kFile ? "is one of" : "is";
    return fmt::format("{} {}", verb, id_words(node.id));
  }

  static std::string_view network(Protocol protocol) {
    if (protocol == Protocol::kIp) return "IPv4";
    return protocol == Protocol::kIp6 ? "IPv6" : "IPv4 or IPv6";
  }

  std::string ports(const Node& node, const std::string& id, std::string_view side) const {
    std::string_view transport = "TCP, UDP or SCTP";
    if (node.qualifiers.protocol == Protocol::kTcp) transport = "TCP";
    if (node.qualifiers.protocol == Protocol::kUdp) transport = "UDP";
    if (node.qualifiers.protocol == Protocol::kSctp) transport = "SCTP";
    const bool walk = options_.ip6 == Ip6Headers::kWalk;
    return fmt::format("{} with {} port {} (over IPv4 not in later fragments; over IPv6 {})", transport, side, id,
                       walk ? "also behind extension headers" : "only without extension headers");
  }

  // A range from the lower number to the higher one, in whichever order it was written.
  static std::string port_words(const Id& id) {
    if (id.kind == IdKind::kNumber) return std::to_string(id.number);
    const std::size_t dash = std::min(id.text.find('-'), id.text.size());
    std::optional<std::uint32_t> first = parse_number(id.text.substr(0, dash));
    std::optional<std::uint32_t> last = dash < id.text.size() ? parse_number(id.text.substr(dash + 1)) : std::nullopt;
    if (!first || !last) return id_words(id);
    if (*first > *last) std::swap(first, last);
    return *first == *last ? std::to_string(*first) : fmt::format("{}-{}", *first, *last);
  }

  std::string protocol_number(const Node& node, const std::string& id) const {
    switch (node.qualifiers.protocol) {
      case Protocol::kLink: {
        std::optional<std::uint32_t> number;
        if (node.id.kind == IdKind::kNumber) number = node.id.number;
        else number = ether_type_named(node.id.text);
        if (number && *number <= kLongestEtherLength) return fmt::format("the LLC service access point is {}", id);
        return fmt::format("the EtherType is {}", number ? ether_type_words(*number) : id);
      }
      case Protocol::kIso: return fmt::format("the ISO network protocol is {}", id);
      case Protocol::kIsis: return fmt::format("the IS-IS packet type is {}", id);
      default: return fmt::format("{} with protocol {}", network(node.qualifiers.protocol), id);
    }
  }

  static std::string id_words(const Id& id) {
    switch (id.kind) {
      case IdKind::kIpv6Prefix: return fmt::format("{}/{}", id.text, id.number);
      case IdKind::kFile: return fmt::format("those in the file '{}'", id.text);
      default: return id.text;
    }
  }

  // The protocols whose bytes a value reads, in the order in which they are read.
  void add_protocols(NodeId id, std::vector<Protocol>& out) const {
    std::vector<NodeId> pending{id};
    while (!pending.empty()) {
      const Node& node = ast_[pending.back()];
      pending.pop_back();
      if (node.arithmetic == ArithmeticOp::kLoad && node.kind == NodeKind::kArithmetic)
        if (std::find(out.begin(), out.end(), node.qualifiers.protocol) == out.end())
          out.push_back(node.qualifiers.protocol);
      for (const NodeId child : node.children) pending.push_back(child);
    }
  }

  std::string relation(const Node& node) const {
    std::vector<Protocol> protocols;
    for (const NodeId child : node.children) add_protocols(child, protocols);
    std::string of;
    for (const Protocol protocol : protocols) {
      if (protocol == Protocol::kLink || protocol == Protocol::kRadio) continue;
      const bool transport = protocol == Protocol::kTcp || protocol == Protocol::kUdp || protocol == Protocol::kSctp;
      const bool walk = transport && options_.ip6 == Ip6Headers::kWalk;
      of += of.empty() ? "bytes of " : " and ";
      of += transport && !walk ? fmt::format("{} over IPv4", protocol == Protocol::kTcp   ? "TCP"
                                                             : protocol == Protocol::kUdp ? "UDP"
                                                                                          : "SCTP")
                               : std::string(protocol_words(protocol));
    }
    return comparison_words(ast_, node) + (of.empty() ? of : " (" + of + ")");
  }

  std::string special(const Node& node) const {
    const bool shifts = node.special != Special::kVlan || options_.vlan == VlanMode::kShift;
    return special_words(node, words_of(node.span), shifts);
  }

  const Ast& ast_;
  const BindOptions& options_;
};

}  // namespace

std::string explain(const Ast& ast, const BindOptions& options) { return Outline(ast, options).run(); }

}  // namespace weir::filter
