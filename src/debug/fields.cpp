// Fields of the common headers. Exports name_fields, names_of, guess_metadata.
//
// One walk from the link layer up; each header is a list of (size, name) and a few lines that find the next one.
#include <weir/debug/fields.h>

#include <algorithm>
#include <initializer_list>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace weir::debug {
namespace {

using packet::LinkType;

enum class Show : std::uint8_t { kNumber, kHex, kMac, kIpv4, kIpv6, kBytes, kEtherType, kIpProtocol, kTcpFlags };

struct Layout {
  std::uint32_t size;
  const char* name;
  Show show = Show::kNumber;
};

const char* ether_type_name(std::uint32_t type) {
  switch (type) {
    case 0x0800: return "ip";
    case 0x0806: return "arp";
    case 0x8035: return "rarp";
    case 0x8100: return "vlan";
    case 0x86dd: return "ip6";
    case 0x8847: return "mpls";
    case 0x8863: return "pppoed";
    case 0x8864: return "pppoes";
    case 0x88a8: return "vlan, 802.1ad";
    case 0x88cc: return "lldp";
    default: return nullptr;
  }
}

const char* ip_protocol_name(std::uint32_t protocol) {
  switch (protocol) {
    case 0: return "hop-by-hop options";
    case 1: return "icmp";
    case 2: return "igmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 43: return "routing";
    case 44: return "fragment";
    case 47: return "gre";
    case 50: return "esp";
    case 51: return "ah";
    case 58: return "icmp6";
    case 60: return "destination options";
    case 89: return "ospf";
    case 103: return "pim";
    case 112: return "vrrp";
    case 132: return "sctp";
    default: return nullptr;
  }
}

std::string tcp_flags(std::uint32_t flags) {
  static constexpr const char* kNames[] = {"fin", "syn", "rst", "push", "ack", "urg", "ece", "cwr"};
  std::string out;
  for (int bit = 0; bit < 8; ++bit)
    if ((flags >> bit & 1) != 0) out += (out.empty() ? "" : ",") + std::string(kNames[bit]);
  return fmt::format("{:#x} ({})", flags, out.empty() ? "none" : out);
}

class Walk {
 public:
  explicit Walk(const packet::Packet& packet) : p_(packet) {}

  std::vector<Field> run(LinkType link_type) {
    switch (link_type) {
      case LinkType::kEthernet: ethernet(); break;
      case LinkType::kLinuxSll: cooked(); break;
      case LinkType::kLinuxSll2: cooked_2(); break;
      case LinkType::kNull:
      case LinkType::kLoop:
        put({{4, "address family", Show::kHex}});
        ip();
        break;
      case LinkType::kRaw:
      case LinkType::kIpv4:
      case LinkType::kIpv6: ip(); break;
      default: break;
    }
    const std::uint32_t end = std::clamp(network_end_, at_, p_.length);
    if (at_ < end) fields_.push_back({{at_, end - at_}, at_ == 0 ? "packet" : "payload", ""});
    if (end < p_.length) fields_.push_back({{end, p_.length - end}, "padding", ""});
    return std::move(fields_);
  }

 private:
  // A packet shorter than the frame that carries it ends here. A length of 0 is left to the device that sends it.
  void ends_at(std::uint32_t start, std::uint32_t length) {
    if (length != 0 && std::uint64_t{start} + length < network_end_) network_end_ = start + length;
  }

  bool has(std::uint32_t bytes) const { return std::uint64_t{at_} + bytes <= p_.length; }
  std::uint32_t number(std::uint32_t offset, std::uint32_t size) const {
    std::uint32_t value = 0;
    for (std::uint32_t i = 0; i < size; ++i) value = value << 8 | p_.data[offset + i];
    return value;
  }

  std::string show(const Layout& layout) const {
    const std::uint8_t* const bytes = p_.data + at_;
    char text[INET6_ADDRSTRLEN] = "";
    switch (layout.show) {
      case Show::kNumber: return fmt::format("{}", number(at_, layout.size));
      case Show::kHex: return fmt::format("{:#x}", number(at_, layout.size));
      case Show::kMac:
        return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3],
                           bytes[4], bytes[5]);
      case Show::kIpv4: ::inet_ntop(AF_INET, bytes, text, sizeof text); return text;
      case Show::kIpv6: ::inet_ntop(AF_INET6, bytes, text, sizeof text); return text;
      case Show::kBytes: return "";
      case Show::kEtherType: {
        const std::uint32_t type = number(at_, 2);
        const char* name = ether_type_name(type);
        return name != nullptr ? fmt::format("{:#06x} ({})", type, name) : fmt::format("{:#06x}", type);
      }
      case Show::kIpProtocol: {
        const std::uint32_t protocol = number(at_, 1);
        const char* name = ip_protocol_name(protocol);
        return name != nullptr ? fmt::format("{} ({})", protocol, name) : fmt::format("{}", protocol);
      }
      case Show::kTcpFlags: return tcp_flags(number(at_, 1));
    }
    return "";
  }

  // Adds fields one after the other; false, with those that fit, where the packet ends first.
  bool put(std::initializer_list<Layout> layouts) {
    for (const Layout& layout : layouts) {
      if (!has(layout.size)) return false;
      fields_.push_back({{at_, layout.size}, layout.name, show(layout)});
      at_ += layout.size;
    }
    return true;
  }

  void ethernet() {
    if (!put({{6, "ether dst", Show::kMac}, {6, "ether src", Show::kMac}})) return;
    ether_type("ether type");
  }

  void ether_type(const char* name) {
    if (!has(2)) return;
    const std::uint32_t type = number(at_, 2);
    if (type <= 1500) {
      put({{2, "length"}});
      return;
    }
    put({{2, name, Show::kEtherType}});
    carried(type);
  }

  void carried(std::uint32_t type) {
    if (type == 0x8100 || type == 0x88a8 || type == 0x9100) {
      if (put({{2, "vlan tag", Show::kHex}})) ether_type("vlan type");
    } else if (type == 0x0806 || type == 0x8035) {
      arp();
    } else if (type == 0x0800 || type == 0x86dd) {
      ip();
    }
  }

  void cooked() {
    if (!put({{2, "packet type"}, {2, "hardware type"}, {2, "address length"}, {8, "address", Show::kBytes}})) return;
    ether_type("protocol");
  }

  void cooked_2() {
    if (!has(20)) return;
    const std::uint32_t type = number(at_, 2);
    put({{2, "protocol", Show::kEtherType},
         {2, "reserved"},
         {4, "interface"},
         {2, "hardware type"},
         {1, "packet type"},
         {1, "address length"},
         {8, "address", Show::kBytes}});
    carried(type);
  }

  void arp() {
    if (!has(8)) return;
    const bool usual = number(at_ + 2, 2) == 0x0800 && number(at_ + 4, 2) == 0x0604;
    put({{2, "arp hardware"},
         {2, "arp protocol", Show::kEtherType},
         {1, "arp hardware size"},
         {1, "arp protocol size"},
         {2, "arp operation"}});
    if (usual)
      put({{6, "arp sender mac", Show::kMac},
           {4, "arp src host", Show::kIpv4},
           {6, "arp target mac", Show::kMac},
           {4, "arp dst host", Show::kIpv4}});
    if (usual) network_end_ = at_;
  }

  void ip() {
    if (!has(1)) return;
    const std::uint32_t version = p_.data[at_] >> 4;
    if (version == 4) ipv4();
    if (version == 6) ipv6();
  }

  void ipv4() {
    const std::uint32_t start = at_;
    const std::uint32_t header = (p_.data[at_] & 0xfu) * 4;
    if (!put({{1, "ip version and header length", Show::kHex},
              {1, "ip tos", Show::kHex},
              {2, "ip len"},
              {2, "ip id"},
              {2, "ip flags and fragment offset", Show::kHex},
              {1, "ip ttl"},
              {1, "ip proto", Show::kIpProtocol},
              {2, "ip checksum", Show::kHex},
              {4, "ip src", Show::kIpv4},
              {4, "ip dst", Show::kIpv4}}))
      return;
    ends_at(start, number(start + 2, 2));
    if (header > 20 && !put({{header - 20, "ip options", Show::kBytes}})) return;
    if ((number(start + 6, 2) & 0x1fff) == 0) transport(p_.data[start + 9]);
  }

  void ipv6() {
    const std::uint32_t start = at_;
    if (!put({{4, "ip6 version, class and flow", Show::kHex},
              {2, "ip6 payload length"},
              {1, "ip6 next header", Show::kIpProtocol},
              {1, "ip6 hop limit"},
              {16, "ip6 src", Show::kIpv6},
              {16, "ip6 dst", Show::kIpv6}}))
      return;
    if (const std::uint32_t length = number(start + 4, 2); length != 0) ends_at(start, 40 + length);
    std::uint32_t next = p_.data[start + 6];
    while ((next == 0 || next == 43 || next == 44 || next == 60) && has(8)) {
      const std::uint32_t size = next == 44 ? 8 : (p_.data[at_ + 1] + 1u) * 8;
      const bool later_fragment = next == 44 && (number(at_ + 2, 2) & 0xfff8) != 0;
      next = p_.data[at_];
      if (!put({{1, "ip6 next header", Show::kIpProtocol}, {size - 1, "ip6 extension header", Show::kBytes}})) return;
      if (later_fragment) return;
    }
    transport(next);
  }

  void transport(std::uint32_t protocol) {
    if (protocol == 6) tcp();
    if (protocol == 17)
      put({{2, "udp src port"}, {2, "udp dst port"}, {2, "udp length"}, {2, "udp checksum", Show::kHex}});
    if (protocol == 1) put({{1, "icmp type"}, {1, "icmp code"}, {2, "icmp checksum", Show::kHex}});
    if (protocol == 58) put({{1, "icmp6 type"}, {1, "icmp6 code"}, {2, "icmp6 checksum", Show::kHex}});
    if (protocol == 132) put({{2, "sctp src port"}, {2, "sctp dst port"}, {4, "sctp tag", Show::kHex}});
  }

  void tcp() {
    const std::uint32_t start = at_;
    if (!put({{2, "tcp src port"},
              {2, "tcp dst port"},
              {4, "tcp sequence"},
              {4, "tcp acknowledgement"},
              {1, "tcp header length", Show::kHex},
              {1, "tcp flags", Show::kTcpFlags},
              {2, "tcp window"},
              {2, "tcp checksum", Show::kHex},
              {2, "tcp urgent"}}))
      return;
    const std::uint32_t header = (p_.data[start + 12] >> 4) * 4u;
    if (header > 20) put({{header - 20, "tcp options", Show::kBytes}});
  }

  const packet::Packet& p_;
  std::uint32_t at_ = 0;
  std::uint32_t network_end_ = 0xffffffff;  // where its length says the network's packet ends
  std::vector<Field> fields_;
};

}  // namespace

std::vector<Field> name_fields(const packet::Packet& packet, LinkType link_type) { return Walk(packet).run(link_type); }

std::string names_of(const std::vector<Field>& fields, const ByteRange& bytes) {
  std::string out;
  for (const Field& field : fields) {
    const std::uint64_t end = std::uint64_t{field.bytes.offset} + field.bytes.size;
    if (end <= bytes.offset || field.bytes.offset >= std::uint64_t{bytes.offset} + bytes.size) continue;
    if (!out.empty()) out += ", ";
    out += field.name;
  }
  return out;
}

packet::Metadata guess_metadata(const packet::Packet& packet, LinkType link_type) {
  packet::Metadata known = packet.metadata != nullptr ? *packet.metadata : packet::Metadata{};
  const auto at = [&](std::uint32_t offset) {
    return std::uint32_t{packet.data[offset]} << 8 | packet.data[offset + 1];
  };
  if (link_type == LinkType::kEthernet && packet.length >= 14) {
    const bool broadcast = std::all_of(packet.data, packet.data + 6, [](std::uint8_t byte) { return byte == 0xff; });
    known.type = broadcast ? 1 : (packet.data[0] & 1) != 0 ? 2 : 0;
    known.hardware_type = 1;
    known.protocol = at(12) > 1500 ? at(12) : 4;  // ETH_P_802_2
  } else if (link_type == LinkType::kLinuxSll && packet.length >= 16) {
    known.type = at(0);
    known.hardware_type = at(2);
    known.protocol = at(14);
  } else if (link_type == LinkType::kLinuxSll2 && packet.length >= 20) {
    known.protocol = at(0);
    known.interface_index = at(4) << 16 | at(6);
    known.hardware_type = at(8);
    known.type = packet.data[10];
  } else if (link_type == LinkType::kRaw || link_type == LinkType::kIpv4 || link_type == LinkType::kIpv6) {
    const int version = packet.length > 0 ? packet.data[0] >> 4 : 0;
    if (version == 4 || version == 6) known.protocol = version == 4 ? 0x0800 : 0x86dd;
    known.hardware_type = 0xfffe;  // ARPHRD_NONE: a device without a link-layer header
  }
  return known;
}

}  // namespace weir::debug
