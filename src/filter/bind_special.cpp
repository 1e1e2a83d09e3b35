// Tests with a shape of their own: broadcast, less, greater, byte, inbound, ifindex, llc, pf, ATM, SS7.
#include <span>

#include <fmt/format.h>

#include "filter/binder.h"
#include "filter/point_code.h"

namespace weir::filter {

using packet::LinkType;

FormulaId Binder::special() {
  const Node& test_node = node();
  switch (test_node.special) {
    case Special::kBroadcast: return broadcast();
    case Special::kMulticast: return multicast();
    case Special::kLess: return at_most(bound_.add({.op = TermOp::kLength}), test_node.values[0]);
    case Special::kGreater: return at_least(bound_.add({.op = TermOp::kLength}), test_node.values[0]);
    case Special::kByte: return byte_test();
    case Special::kInbound: return inbound(false);
    case Special::kOutbound: return inbound(true);
    case Special::kIfindex: return ifindex();
    case Special::kVlan: return vlan();
    case Special::kMpls: return mpls();
    case Special::kPppoed: return carries(kEtherPppoeDiscovery);
    case Special::kPppoes: return pppoes();
    case Special::kGeneve: return tunnel(true);
    case Special::kVxlan: return tunnel(false);
    case Special::kLlc: return llc_kind();
    case Special::kPfIfname:
    case Special::kPfRuleset:
    case Special::kPfRulenum:
    case Special::kPfSubrulenum:
    case Special::kPfReason:
    case Special::kPfAction: return pf();
    case Special::kWlanType:
    case Special::kWlanDirection: return wlan_field();
    case Special::kAtmLane:
    case Special::kAtmMetac:
    case Special::kAtmBcc:
    case Special::kAtmSc:
    case Special::kAtmIlmic:
    case Special::kAtmOam:
    case Special::kAtmOamf4:
    case Special::kAtmOamf4ec:
    case Special::kAtmOamf4sc:
    case Special::kAtmConnectmsg:
    case Special::kAtmMetaconnect:
    case Special::kAtmVpi:
    case Special::kAtmVci: return atm();
    case Special::kFisu:
    case Special::kLssu:
    case Special::kMsu:
    case Special::kHfisu:
    case Special::kHlssu:
    case Special::kHmsu:
    case Special::kSio:
    case Special::kOpc:
    case Special::kDpc:
    case Special::kSls:
    case Special::kHsio:
    case Special::kHopc:
    case Special::kHdpc:
    case Special::kHsls: return ss7();
  }
  return no();
}

FormulaId Binder::broadcast() {
  const Protocol protocol = node().qualifiers.protocol;
  if (protocol == Protocol::kIp) {
    if (!options_.netmask)
      return refuse("'ip broadcast' needs the network mask", node().span, "give it with --netmask");
    const std::uint32_t host_bits = ~*options_.netmask;
    const FormulaId ip = carries(kEtherIp);
    const FormulaId zeroes = masked(network(16, 4), 0, host_bits);
    return both({ip, either({zeroes, masked(network(16, 4), host_bits, host_bits)})});
  }
  if (protocol != Protocol::kDefault && protocol != Protocol::kLink)
    return bad_qualifier(name_of(protocol), "broadcast");
  if (layout_.family == LinkFamily::kArcnet) return mac8(0, Direction::kDestination, "broadcast");
  if (layout_.type == LinkType::kBacnetMsTp) return mac8(0xff, Direction::kDestination, "broadcast");
  return mac48({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Direction::kDestination, "broadcast");
}

FormulaId Binder::byte_test() {
  const std::uint32_t offset = node().values[0];
  const std::uint32_t value = node().values[1];
  if (!within("the byte", value, 0xff)) return 0;
  const TermId byte = link(offset, 1);
  if (node().arithmetic == ArithmeticOp::kAnd || node().arithmetic == ArithmeticOp::kOr) {
    const TermOp op = node().arithmetic == ArithmeticOp::kAnd ? TermOp::kAnd : TermOp::kOr;
    return negate(equal(binary(op, byte, constant(value)), 0));
  }
  return compare(node().relation, byte, constant(value));
}

constexpr const char* kLinuxKnows = "Linux knows it of live packets: --platform linux";

FormulaId Binder::inbound(bool outbound) {
  const auto unless_outbound = [&](FormulaId outgoing) { return outbound ? outgoing : negate(outgoing); };
  constexpr std::uint32_t kOutgoing = 4;  // <linux/if_packet.h>, PACKET_OUTGOING
  switch (layout_.type) {
    case LinkType::kSlip: return equal(link(0, 1), outbound ? 1 : 0);
    case LinkType::kIpnet: return equal(link(2, 2), outbound ? 1 : 2);
    case LinkType::kLinuxSll: return unless_outbound(equal(link(0, 2), kOutgoing));
    case LinkType::kLinuxSll2: return unless_outbound(equal(link(10, 1), kOutgoing));
    case LinkType::kPflog: return equal(link(60, 1), outbound ? 2 : 1);
    case LinkType::kPppPppd: return equal(link(0, 1), outbound ? 1 : 0);
    case LinkType::kDsaTagBrcm: return masked(link(12, 1), outbound ? 0x20 : 0x00, 0xe0);
    case LinkType::kDsaTagDsa:  // the tag's mode: 0 to the CPU, 1 from the CPU, 2 to a sniffer, 3 forwarded
      return outbound ? masked(link(12, 1), 0x40, 0xc0) : negate(bits_set(link(12, 1), 0x40));
    default: break;
  }
  if (layout_.family == LinkFamily::kJuniper) return masked(link(3, 1), outbound ? 0 : 1, 0x01);
  if (options_.platform == Platform::kLinux)
    return unless_outbound(equal(extension(cbpf::Extension::kType), kOutgoing));
  return not_on_this_link(outbound ? "outbound" : "inbound", kLinuxKnows);
}

FormulaId Binder::ifindex() {
  if (layout_.type == LinkType::kLinuxSll2) return equal(link(4, 4), node().values[0]);
  if (options_.platform == Platform::kLinux)
    return equal(extension(cbpf::Extension::kInterfaceIndex), node().values[0]);
  return not_on_this_link("ifindex", kLinuxKnows);
}

// Frames with an 802.2 LLC header.
FormulaId Binder::llc_frame() {
  switch (layout_.type) {
    case LinkType::kEthernet:
    case LinkType::kDsaTagBrcm:
    case LinkType::kDsaTagDsa: {
      const FormulaId length = at_most(type_field(0, 2), kLongestEtherLength);
      return both({length, negate(equal(llc(0, 2), 0xffff))});  // not NetWare's raw 802.3
    }
    case LinkType::kSunAtm: return masked(link(0, 1), 0x02, 0x0f);
    case LinkType::kTokenRing:
    case LinkType::kFddi:
    case LinkType::kAtmRfc1483: return yes();
    default: break;
  }
  if (layout_.family == LinkFamily::kWlan) return masked(link(0, 1), 0x08, 0x0c);
  return not_on_this_link("llc");
}

FormulaId Binder::llc_kind() {
  struct Kind {
    std::string_view name;
    std::uint32_t bits, mask;
  };
  // Control field: IEEE 802.2, 5.4.
  static constexpr Kind kKinds[] = {
      {"s", 0x01, 0x03},    {"u", 0x03, 0x03},   {"rr", 0x01, 0x0f},   {"rnr", 0x05, 0x0f}, {"rej", 0x09, 0x0f},
      {"ui", 0x03, 0xef},   {"ua", 0x63, 0xef},  {"disc", 0x43, 0xef}, {"dm", 0x0f, 0xef},  {"sabme", 0x6f, 0xef},
      {"test", 0xe3, 0xef}, {"xid", 0xaf, 0xef}, {"frmr", 0x87, 0xef}};
  const FormulaId frame = llc_frame();
  const std::string& name = node().name;
  if (error_ || name.empty()) return frame;
  if (name == "i") return both({frame, negate(bits_set(llc(2, 1), 0x01))});
  for (const Kind& kind : kKinds)
    if (kind.name == name) return both({frame, masked(llc(2, 1), kind.bits, kind.mask)});
  return refuse(fmt::format("'{}' is no kind of LLC frame", name), node().span);
}

// Fields of the header that pf(4) logs with. Source: <net/if_pflog.h>, struct pfloghdr.
FormulaId Binder::pf() {
  if (layout_.type != LinkType::kPflog) return not_on_this_link(words_of(node().span));
  const auto text_field = [&](std::uint32_t at, std::size_t size) {
    const std::string& name = node().name;
    if (name.size() >= size)
      return refuse(fmt::format("'{}' is too long", name), node().span, fmt::format("at most {} characters", size - 1));
    return bytes_equal(layout_.link_header, at, {reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  };
  switch (node().special) {
    case Special::kPfAction: return equal(link(2, 1), node().values[0]);
    case Special::kPfReason: return equal(link(3, 1), node().values[0]);
    case Special::kPfIfname: return text_field(4, 16);
    case Special::kPfRuleset: return text_field(20, 16);
    case Special::kPfRulenum: return equal(link(36, 4), node().values[0]);
    default: return equal(link(40, 4), node().values[0]);
  }
}

// SunATM: byte 0 the payload's kind, byte 1 the VPI, bytes 2 and 3 the VCI, then the payload.
FormulaId Binder::atm() {
  if (layout_.type != LinkType::kSunAtm) return not_on_this_link(words_of(node().span));
  const auto vpi = [&](std::uint32_t value) { return equal(link(1, 1), value); };
  const auto vci = [&](std::uint32_t value) { return equal(link(2, 2), value); };
  const auto circuit = [&](std::uint32_t number) {
    const FormulaId path = vpi(0);
    return both({path, vci(number)});
  };
  // Q.2931 message types, in the payload.
  const auto messages = [&](std::initializer_list<std::uint32_t> types) {
    SmallVector<FormulaId, 8> alternatives;
    for (const std::uint32_t type : types) alternatives.push_back(equal(link(4 + 5, 1), type));
    return connect(FormulaKind::kOr, alternatives);
  };
  constexpr std::uint32_t kSetup = 0x05, kProceed = 0x02, kConnect = 0x07, kConnectAck = 0x0f, kRelease = 0x4d,
                          kReleaseDone = 0x5a;
  switch (node().special) {
    case Special::kAtmVpi:
      if (!within("the VPI", node().values[0], 0xff)) return 0;
      return compare(node().relation, link(1, 1), constant(node().values[0]));
    case Special::kAtmVci:
      if (!within("the VCI", node().values[0], 0xffff)) return 0;
      return compare(node().relation, link(2, 2), constant(node().values[0]));
    case Special::kAtmLane: return lane();
    case Special::kAtmMetac: return circuit(1);
    case Special::kAtmBcc: return circuit(2);
    case Special::kAtmOamf4sc: return circuit(3);
    case Special::kAtmOamf4ec: return circuit(4);
    case Special::kAtmSc: return circuit(5);
    case Special::kAtmIlmic: return circuit(16);
    case Special::kAtmOam:
    case Special::kAtmOamf4: {
      const FormulaId path = vpi(0);
      const FormulaId segment = vci(3);
      return both({path, either({segment, vci(4)})});
    }
    case Special::kAtmConnectmsg: {
      const FormulaId signalling = circuit(5);
      return both({signalling, messages({kReleaseDone, kRelease, kConnectAck, kConnect, kSetup, kProceed})});
    }
    default: {
      const FormulaId meta = circuit(1);
      return both({meta, messages({kReleaseDone, kRelease, kConnect, kSetup, kProceed})});
    }
  }
}

// MTP2: a length indicator tells the kind of signal unit; MTP3 fields follow, little-endian, and are compared in the
// byte order in which libpcap loads them, so that `<` and `>` on point codes order the swapped numbers, as there.
FormulaId Binder::ss7() {
  std::uint32_t before = 0;
  switch (layout_.type) {
    case LinkType::kMtp2: break;
    case LinkType::kMtp2WithPhdr: before = 4; break;
    case LinkType::kErf: before = 20; break;
    default: return not_on_this_link(words_of(node().span));
  }
  const auto raw = [&](std::uint32_t at, std::uint8_t size) { return load_at(kNoTerm, before + at, size); };
  const auto length = [&](bool high_speed) {
    const TermId field = high_speed ? raw(4, 2) : raw(2, 1);
    return binary(TermOp::kAnd, field, constant(high_speed ? 0xff80 : 0x3f));
  };
  const auto field = [&](std::string_view what, std::uint32_t at, std::uint8_t size, std::uint32_t mask,
                         std::uint32_t most, std::uint32_t value) {
    if (!within(what, node().values[0], most)) return FormulaId{0};
    const TermId loaded = raw(at, size);
    const TermId bits = mask == 0xffffffff ? loaded : binary(TermOp::kAnd, loaded, constant(mask));
    return compare(node().relation, bits, constant(value));
  };
  const std::uint32_t value = node().values.empty() ? 0 : node().values[0];
  const auto more_than = [&](bool high_speed, std::uint32_t k) {
    return test(flow::Condition::kGreater, length(high_speed), constant(k));
  };
  const auto point_code = [&](std::string_view what, std::uint32_t at, std::uint8_t size, std::uint32_t mask,
                              std::uint32_t swapped) {
    if (orders_swapped(node()))
      warnings_.push_back({.severity = Severity::kWarning,
                           .message = fmt::format("'{}' compares the numbers with their bytes swapped, as in libpcap",
                                                  words_of(node().span)),
                           .place = node().span,
                           .hint = "of point codes, = and != alone mean what they say"});
    return field(what, at, size, mask, 0x3fff, swapped);
  };
  const std::uint32_t opc = __builtin_bswap32(value << 14);
  const std::uint32_t dpc = (value & 0xff) << 8 | (value >> 8 & 0xff);
  switch (node().special) {
    case Special::kFisu: return equal(length(false), 0);
    case Special::kMsu: return more_than(false, 2);
    case Special::kHfisu: return equal(length(true), 0);
    case Special::kHmsu: return more_than(true, 0x0100);
    case Special::kLssu:
    case Special::kHlssu: {
      const bool high_speed = node().special == Special::kHlssu;
      const FormulaId some = more_than(high_speed, 0);
      return both({some, negate(more_than(high_speed, high_speed ? 0x0100 : 2))});
    }
    case Special::kSio: return field("the SIO", 3, 1, 0xffffffff, 0xff, value);
    case Special::kHsio: return field("the SIO", 6, 1, 0xffffffff, 0xff, value);
    case Special::kOpc: return point_code("the OPC", 4, 4, 0x00c0ff0f, opc);
    case Special::kHopc: return point_code("the OPC", 7, 4, 0x00c0ff0f, opc);
    case Special::kDpc: return point_code("the DPC", 4, 2, 0xff3f, dpc);
    case Special::kHdpc: return point_code("the DPC", 7, 2, 0xff3f, dpc);
    case Special::kSls: return field("the SLS", 7, 1, 0xf0, 0xf, value << 4);
    default: return field("the SLS", 10, 1, 0xf0, 0xf, value << 4);
  }
}

}  // namespace weir::filter
