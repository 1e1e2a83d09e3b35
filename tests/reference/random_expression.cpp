// Makes random filter expressions. Exports random_expression.
#include "reference/random_expression.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace weir::reference {
namespace {

using std::string_view;

class Generator {
 public:
  explicit Generator(std::mt19937& random) : random_(random) {}

  std::string expression(const ExpressionOptions& options) {
    const int count = 1 + below(options.primitives);
    std::string out = operand(options);
    for (int i = 1; i < count; ++i) {
      const string_view connective = one_of<4>({" and ", " or ", " && ", " || "});
      if (below(3) == 0) out = "(" + out + ")" + std::string(connective) + operand(options);
      else out += std::string(connective) + operand(options);
    }
    return out;
  }

  std::string arithmetic(int depth) {
    if (depth == 0 || below(4) == 0) {
      switch (below(4)) {
        case 0: return number(below(3) == 0 ? 0xffffffff : 300);
        case 1: return "len";
        default: return load(depth);
      }
    }
    const std::string left = arithmetic(depth - 1);
    switch (below(12)) {
      case 0: return "(" + left + " / " + number(9, 1) + ")";
      case 1: return "(" + left + " % " + number(9, 1) + ")";
      case 2: return "(" + left + " << " + number(31) + ")";
      case 3: return "(" + left + " >> " + number(31) + ")";
      case 4: return "-(" + left + ")";
      case 5: return "(" + left + " / (len - " + number(260) + "))";
      default:
        return "(" + left + std::string(one_of<6>({" + ", " - ", " * ", " & ", " | ", " ^ "})) + arithmetic(depth - 1) +
               ")";
    }
  }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  bool maybe() { return below(2) == 0; }

  template <std::size_t N>
  string_view one_of(const std::array<string_view, N>& choices) {
    return choices[static_cast<std::size_t>(below(static_cast<int>(N)))];
  }

  std::string number(std::uint32_t most, std::uint32_t least = 0) {
    const std::uint32_t value = most == 0xffffffff ? static_cast<std::uint32_t>(random_())
                                                   : least + static_cast<std::uint32_t>(random_()) % (most - least + 1);
    if (below(8) != 0) return std::to_string(value);
    char text[16];
    std::snprintf(text, sizeof text, maybe() || value > 0xffffff ? "0x%x" : "0%o", static_cast<unsigned>(value));
    return text;
  }
  std::string compared(std::uint32_t most) {
    return std::string(one_of<6>({"", "= ", "!= ", "> ", "<= ", ">= "})) + number(most);
  }

  std::string decimal(int most, int least = 0) { return std::to_string(least + below(most - least + 1)); }

  // Few different values, so that tests of one expression meet each other.
  std::string ipv4() { return "10." + decimal(1) + "." + decimal(1) + "." + decimal(3); }
  std::string ipv6() { return "fe80::" + decimal(2) + ":" + decimal(9); }
  std::string mac() { return "00:11:22:33:44:5" + decimal(3); }
  std::string port() { return std::string(one_of<5>({"53", "80", "443", "6081", "1"})); }

  std::string direction() { return std::string(one_of<5>({"", "src ", "dst ", "src or dst ", "src and dst "})); }

  std::string load(int depth) {
    const string_view protocol = one_of<24>({"link", "ether", "ip",    "arp",   "rarp", "atalk", "decnet", "sca",
                                             "lat",  "moprc", "mopdl", "ip6",   "sctp", "tcp",   "udp",    "icmp",
                                             "igmp", "pim",   "vrrp",  "icmp6", "carp", "igrp",  "radio",  "wlan"});
    const std::string index = below(4) == 0 && depth > 0 ? arithmetic(depth - 1) : number(40);
    return std::string(protocol) + "[" + index + std::string(one_of<4>({"", ":1", ":2", ":4"})) + "]";
  }

  std::string operand(const ExpressionOptions& options) {
    std::string out = primitive(options);
    if (below(5) == 0) out = maybe() ? "not " + out : "not (" + out + " or " + primitive(options) + ")";
    return out;
  }

  std::string primitive(const ExpressionOptions& options) {
    switch (below(options.encapsulation ? 12 : 11)) {
      case 0:
      case 1: return address();
      case 2: return transport();
      case 3: return protocol();
      case 4:
      case 5: return relation();
      case 6: return link_layer();
      case 7: return size();
      case 8: return list();
      case 9: return wlan_or_other();
      case 10: return bare();
      default: return encapsulation();
    }
  }

  std::string address() {
    const std::string protocol(one_of<5>({"", "", "ip ", "arp ", "rarp "}));
    switch (below(9)) {
      case 0: return protocol + direction() + "net 10." + decimal(1) + "." + decimal(1);
      case 1: return protocol + direction() + "net 10." + decimal(1) + ".0.0/" + decimal(32, 16);
      case 2: return protocol + direction() + "net 10.0.0.0 mask 255." + decimal(255) + ".0.0";
      case 3: return "ip6 " + direction() + "net fe80::/" + decimal(128, 10);
      case 4: return direction() + "host " + ipv6();
      case 5: return "decnet " + direction() + "host " + std::to_string(below(64)) + "." + std::to_string(below(1024));
      case 6: return protocol + direction() + "net " + number(300);
      default: return protocol + direction() + "host " + ipv4();
    }
  }

  std::string transport() {
    const std::string protocol(one_of<4>({"", "tcp ", "udp ", "sctp "}));
    if (below(3) == 0) return protocol + direction() + "portrange " + port() + "-" + port();
    return protocol + direction() + "port " + port();
  }

  std::string protocol() {
    switch (below(6)) {
      case 0: return "ip proto " + number(140);
      case 1: return "ip6 proto " + number(140);
      case 2: return "proto " + number(140);
      case 3:
        return "ether proto " +
               std::string(one_of<8>({"0x0800", "0x86dd", "0x0806", "0x8137", "0x809b", "0xfe", "0x42", "6"}));
      case 4: return "iso proto " + number(0x84, 0x80);
      default: return "isis proto " + number(31);
    }
  }

  std::string bare() {
    return std::string(one_of<41>({"ip broadcast", "wlan multicast",
                                   "ip",           "ip6",
                                   "arp",          "rarp",
                                   "tcp",          "udp",
                                   "sctp",         "icmp",
                                   "icmp6",        "igmp",
                                   "igrp",         "pim",
                                   "vrrp",         "carp",
                                   "ah",           "esp",
                                   "atalk",        "aarp",
                                   "decnet",       "lat",
                                   "sca",          "moprc",
                                   "mopdl",        "iso",
                                   "esis",         "isis",
                                   "l1",           "l2",
                                   "iih",          "lsp",
                                   "snp",          "csnp",
                                   "psnp",         "clnp",
                                   "stp",          "ipx",
                                   "netbeui",      "ip multicast",
                                   "ip6 multicast"}));
  }

  std::string relation() {
    const std::string comparison(one_of<7>({" > ", " >= ", " = ", " == ", " < ", " <= ", " != "}));
    if (below(3) == 0) return "tcp[tcpflags] & (tcp-syn|tcp-ack)" + comparison + number(18);
    if (below(3) == 0) return load(1) + " & " + number(255) + comparison + number(255);
    return arithmetic(1 + below(3)) + comparison + arithmetic(below(3));
  }

  std::string link_layer() {
    switch (below(4)) {
      case 0: return "broadcast";
      case 1: return "multicast";
      case 2: return "ether " + direction() + "host " + mac();
      default: return "ether " + std::string(one_of<2>({"broadcast", "multicast"}));
    }
  }

  std::string size() {
    switch (below(3)) {
      case 0: return "less " + number(300);
      case 1: return "greater " + number(300);
      default: return "byte " + number(30) + std::string(one_of<5>({" = ", " < ", " > ", " & ", " | "})) + number(255);
    }
  }

  std::string list() {
    const std::string connective = maybe() ? " or " : " and ";
    switch (below(4)) {
      case 0: return direction() + "port (" + port() + connective + port() + ")";
      case 1: return direction() + "host (" + ipv4() + connective + "not " + ipv4() + ")";
      case 2: return "ip " + direction() + "host " + ipv4() + connective + ipv4();
      default: return "not " + direction() + "port " + port() + connective + port();
    }
  }

  std::string wlan_or_other() {
    switch (below(14)) {
      case 0: return "type " + std::string(one_of<5>({"mgt", "ctl", "data", "management", "control"}));
      case 1: return "type data subtype " + std::string(one_of<5>({"data", "null", "qos-data", "cf-ack", "qos"}));
      case 2: return "subtype " + std::string(one_of<6>({"beacon", "ack", "probe-req", "rts", "deauth", "ps-poll"}));
      case 3: return "dir " + std::string(one_of<4>({"nods", "tods", "fromds", "dstods"}));
      case 4: return "wlan " + std::string(one_of<6>({"addr1 ", "addr2 ", "addr3 ", "addr4 ", "ra ", "ta "})) + mac();
      case 5: return std::string(one_of<2>({"inbound", "outbound"}));
      case 6: return "vpi " + compared(3);
      case 7: return "vci " + (maybe() ? compared(40) : "(" + number(9) + " or " + number(40) + ")");
      case 8:
        return std::string(one_of<16>({"fisu", "lssu", "msu", "hfisu", "hlssu", "hmsu", "lane", "metac", "bcc", "oamf4",
                                       "connectmsg", "metaconnect", "oam", "oamf4sc", "sc", "ilmic"}));
      case 9:
        return std::string(one_of<8>({"sio ", "opc ", "dpc ", "sls ", "hsio ", "hopc ", "hdpc ", "hsls "})) +
               compared(15);
      case 10: return "sio (" + number(9) + " or " + number(255) + " or " + number(3) + ")";
      case 11: return pf();
      case 12: return "link " + direction() + "host $" + std::string(one_of<4>({"0", "2a", "ff", "7"}));
      default:
        return "llc" + std::string(one_of<14>({"", " i", " s", " u", " rr", " rnr", " rej", " ui", " ua", " disc",
                                               " sabme", " xid", " test", " frmr"}));
    }
  }

  std::string pf() {
    switch (below(6)) {
      case 0: return std::string(one_of<2>({"ifname ", "on "})) + std::string(one_of<3>({"en0", "vlan7x", "lo"}));
      case 1: return std::string(one_of<2>({"ruleset ", "rset "})) + std::string(one_of<3>({"main", "a.b", "x1"}));
      case 2: return std::string(one_of<2>({"rulenum ", "rnr "})) + number(9);
      case 3: return std::string(one_of<2>({"subrulenum ", "srnr "})) + number(9);
      case 4: return "reason " + std::string(one_of<5>({"match", "short", "memory", "bad-offset", "0"}));
      default: return "action " + std::string(one_of<6>({"pass", "block", "nat", "rdr", "binat", "scrub"}));
    }
  }

  std::string encapsulation() {
    switch (below(6)) {
      case 0: return "vlan";
      case 1: return "vlan " + number(3);
      case 2: return maybe() ? "mpls" : "mpls " + number(1000);
      case 3: return maybe() ? "pppoes" : "pppoes " + number(9);
      case 4: return "pppoed";
      default: return maybe() ? "geneve" : "geneve " + number(3);
    }
  }

  std::mt19937& random_;
};

}  // namespace

std::string random_expression(std::mt19937& random, const ExpressionOptions& options) {
  return Generator(random).expression(options);
}

std::string random_arithmetic(std::mt19937& random, int depth) { return Generator(random).arithmetic(depth); }

}  // namespace weir::reference
