// The names that libpcap's test suite expects in the hosts, ethers, networks, services and protocols of a system.
#pragma once

#include <algorithm>
#include <cctype>

#include <weir/filter/resolver.h>

namespace weir::tests {

using filter::HostAddresses;
using filter::Ipv4Address;
using filter::Ipv6Address;
using filter::Mac48;
using filter::StaticResolver;

// Case is ignored for hosts and networks, as system databases do it.
class LibpcapTestNames : public StaticResolver {
 public:
  LibpcapTestNames() {
    constexpr Ipv6Address kOne{0xfd, 0x00, 0xa1, 0xb2, 0xc3, 0xd4, 0,    0,
                               0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80};
    constexpr Ipv6Address kTwo{0xfd, 0x00, 0xa1, 0xb2, 0xc3, 0xd4, 0,    0,
                               0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0x12, 0x78};
    constexpr Ipv6Address kThree{0xfd, 0x00, 0xa1, 0xb2, 0xc3, 0xd4, 0,    0,
                                 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0x34, 0x56};
    const std::vector<Ipv4Address> four{0xc0a8f103, 0xc0a8f204, 0xc0a8f301, 0xc0a8f402};
    for (const bool ethernet : {false, true})
      for (const bool ipv4 : {false, true})
        for (const bool ipv6 : {false, true}) {
          add(ethernet, ipv4 ? "ipv4" : "noipv4", ipv6 ? "ipv6" : "noipv6", "host123", {0xaa, 0, 4, 0, 0x14, 0x0e},
              ipv4 ? std::vector<Ipv4Address>{0x0a141e28} : std::vector<Ipv4Address>{},
              ipv6 ? std::vector<Ipv6Address>{kOne} : std::vector<Ipv6Address>{});
          add(ethernet, ipv4 ? "ipv4x4" : "noipv4", ipv6 ? "ipv6x2" : "noipv6", "host357", {0xaa, 0, 4, 0, 1, 8},
              ipv4 ? four : std::vector<Ipv4Address>{},
              ipv6 ? std::vector<Ipv6Address>{kTwo, kThree} : std::vector<Ipv6Address>{});
        }
    // The programs show that the numbers were whole: trailing zeroes were not dropped.
    networks = {{"net-10-0-0-0.libpcap.test", 0x0a000000},
                {"net-10-20-0-0.libpcap.test", 0x0a140000},
                {"net-10-20-30-0.libpcap.test", 0x0a141e00}};
    services["smtp"] = {25, std::nullopt};
    services["domain"] = {53, 53};
    services["bootps"] = {std::nullopt, 67};
    services["bootpc"] = {std::nullopt, 68};
    services["http"] = {80, std::nullopt};
    protocols = {{"icmp", 1}, {"igmp", 2},  {"tcp", 6},    {"udp", 17},  {"esp", 50},
                 {"ah", 51},  {"pim", 103}, {"vrrp", 112}, {"sctp", 132}};
  }

  std::optional<HostAddresses> host(const std::string& name) override { return StaticResolver::host(lower(name)); }
  std::optional<Ipv4Address> network(const std::string& name) override { return StaticResolver::network(lower(name)); }
  std::optional<Mac48> ether_host(const std::string& name) override { return StaticResolver::ether_host(lower(name)); }

 private:
  void add(bool ethernet, const std::string& ipv4, const std::string& ipv6, const std::string& host_name, Mac48 mac,
           std::vector<Ipv4Address> v4, std::vector<Ipv6Address> v6) {
    const std::string name = (ethernet ? "eth-" : "noeth-") + ipv4 + "-" + ipv6 + "." + host_name + ".libpcap.test";
    if (ethernet) ether_hosts[name] = mac;
    if (!v4.empty() || !v6.empty()) hosts[name] = {std::move(v4), std::move(v6)};
  }

  static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  }
};

}  // namespace weir::tests
