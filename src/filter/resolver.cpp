// Names through the operating system. Exports system_resolver and StaticResolver.
//
// With DNS allowed, hosts, services and protocols are asked of the C library, which follows the system's configuration;
// without, /etc/hosts, /etc/services and /etc/protocols are read here, so that nothing can leave the machine. Networks
// and Ethernet hosts are always read here. Behind services and protocols stands a small built-in table, since
// containers often lack both files.
#include <weir/filter/resolver.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>

#include "filter/names.h"

namespace weir::filter {
namespace {

struct KnownService {
  std::string_view name;
  std::uint16_t port;
  bool tcp;
  bool udp;
};
// Source: IANA service name registry; which transports as Debian's netbase has them.
constexpr KnownService kServices[] = {
    {"ftp-data", 20, true, false}, {"ftp", 21, true, false},    {"ssh", 22, true, false},
    {"telnet", 23, true, false},   {"smtp", 25, true, false},   {"domain", 53, true, true},
    {"bootps", 67, false, true},   {"bootpc", 68, false, true}, {"tftp", 69, false, true},
    {"http", 80, true, false},     {"www", 80, true, false},    {"kerberos", 88, true, true},
    {"pop3", 110, true, false},    {"sunrpc", 111, true, true}, {"ntp", 123, false, true},
    {"imap2", 143, true, false},   {"snmp", 161, true, true},   {"bgp", 179, true, false},
    {"ldap", 389, true, true},     {"https", 443, true, true},  {"syslog", 514, false, true},
    {"imaps", 993, true, false},   {"pop3s", 995, true, false}, {"radius", 1812, true, true}};

struct KnownProtocol {
  std::string_view name;
  std::uint8_t number;
};
// Source: IANA protocol numbers.
constexpr KnownProtocol kProtocols[] = {
    {"ip", 0},          {"hopopt", 0},     {"icmp", 1},   {"igmp", 2},   {"ggp", 3},      {"ipencap", 4},
    {"st", 5},          {"tcp", 6},        {"egp", 8},    {"igp", 9},    {"pup", 12},     {"udp", 17},
    {"hmp", 20},        {"idp", 22},       {"rdp", 27},   {"dccp", 33},  {"ipv6", 41},    {"ipv6-route", 43},
    {"ipv6-frag", 44},  {"rsvp", 46},      {"gre", 47},   {"esp", 50},   {"ah", 51},      {"ipv6-icmp", 58},
    {"ipv6-nonxt", 59}, {"ipv6-opts", 60}, {"eigrp", 88}, {"ospf", 89},  {"ipip", 94},    {"pim", 103},
    {"ipcomp", 108},    {"vrrp", 112},     {"l2tp", 115}, {"sctp", 132}, {"udplite", 136}};

// The words of each line of a file of names, without comments.
template <typename Use>
void for_each_line(const char* path, Use use) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string first;
    if (!(words >> first)) continue;
    std::vector<std::string> names;
    for (std::string name; words >> name;) names.push_back(std::move(name));
    use(first, names);
  }
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Names of hosts, networks and Ethernet hosts are alike whatever their case.
bool holds_any_case(const std::vector<std::string>& names, const std::string& name) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& other) { return ::strcasecmp(other.c_str(), name.c_str()) == 0; });
}

template <typename T>
void add_once(std::vector<T>& list, const T& value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

std::optional<HostAddresses> found(HostAddresses addresses) {
  if (addresses.ipv4.empty() && addresses.ipv6.empty()) return std::nullopt;
  return addresses;
}

std::optional<HostAddresses> host_from_file(const std::string& name) {
  HostAddresses addresses;
  for_each_line("/etc/hosts", [&](const std::string& address, const std::vector<std::string>& names) {
    if (!holds_any_case(names, name)) return;
    if (const auto v6 = parse_ipv6(address)) add_once(addresses.ipv6, *v6);
    else if (const auto v4 = parse_ipv4(address); v4 && v4->bits == 32) add_once(addresses.ipv4, v4->value);
  });
  return found(std::move(addresses));
}

std::optional<HostAddresses> host_from_system(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return std::nullopt;
  HostAddresses addresses;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    if (at->ai_family == AF_INET) {
      sockaddr_in address{};
      std::memcpy(&address, at->ai_addr, sizeof address);
      add_once(addresses.ipv4, static_cast<Ipv4Address>(ntohl(address.sin_addr.s_addr)));
    } else if (at->ai_family == AF_INET6) {
      sockaddr_in6 address{};
      std::memcpy(&address, at->ai_addr, sizeof address);
      Ipv6Address bytes{};
      std::memcpy(bytes.data(), &address.sin6_addr, bytes.size());
      add_once(addresses.ipv6, bytes);
    }
  }
  ::freeaddrinfo(list);
  return found(std::move(addresses));
}

std::optional<std::uint16_t> port_from_system(const std::string& name, const char* transport) {
  servent entry{};
  servent* result = nullptr;
  char buffer[4096];
  if (::getservbyname_r(name.c_str(), transport, &entry, buffer, sizeof buffer, &result) != 0 || result == nullptr)
    return std::nullopt;
  return ntohs(static_cast<std::uint16_t>(result->s_port));
}

// The lines of /etc/services are: name port/transport alias...
ServicePorts ports_from_file(const std::string& name) {
  ServicePorts ports;
  for_each_line("/etc/services", [&](const std::string& first, const std::vector<std::string>& words) {
    if (words.empty() || (first != name && !holds({words.begin() + 1, words.end()}, name))) return;
    const std::size_t slash = words.front().find('/');
    const auto port = parse_number(std::string_view(words.front()).substr(0, slash));
    if (slash == std::string::npos || !port || *port > 0xffff) return;
    const std::string transport = words.front().substr(slash + 1);
    if (transport == "tcp" && !ports.tcp) ports.tcp = static_cast<std::uint16_t>(*port);
    if (transport == "udp" && !ports.udp) ports.udp = static_cast<std::uint16_t>(*port);
  });
  return ports;
}

// The lines of /etc/protocols are: name number alias...
std::optional<std::uint8_t> protocol_from_file(const std::string& name) {
  std::optional<std::uint8_t> protocol;
  for_each_line("/etc/protocols", [&](const std::string& first, const std::vector<std::string>& words) {
    if (protocol || words.empty() || (first != name && !holds({words.begin() + 1, words.end()}, name))) return;
    if (const auto number = parse_number(words.front()); number && *number <= 0xff)
      protocol = static_cast<std::uint8_t>(*number);
  });
  return protocol;
}

std::optional<std::uint8_t> protocol_from_system(const std::string& name) {
  protoent entry{};
  protoent* result = nullptr;
  char buffer[4096];
  if (::getprotobyname_r(name.c_str(), &entry, buffer, sizeof buffer, &result) != 0 || result == nullptr)
    return std::nullopt;
  if (result->p_proto < 0 || result->p_proto > 0xff) return std::nullopt;
  return static_cast<std::uint8_t>(result->p_proto);
}

class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(bool allow_dns) : allow_dns_(allow_dns) {}

  std::optional<HostAddresses> host(const std::string& name) override {
    return allow_dns_ ? host_from_system(name) : host_from_file(name);
  }

  std::optional<Ipv4Address> network(const std::string& name) override {
    std::optional<Ipv4Address> network;
    for_each_line("/etc/networks", [&](const std::string& first, const std::vector<std::string>& words) {
      // The line is: name number alias...
      if (network || words.empty()) return;
      std::vector<std::string> names(words.begin() + 1, words.end());
      names.push_back(first);
      if (!holds_any_case(names, name)) return;
      // As the C library of Linux reads it: 10.1 is 10.1.0.0, four octets.
      if (const auto address = parse_ipv4(words.front())) network = address->value << (32 - address->bits);
    });
    return network;
  }

  std::optional<ServicePorts> service(const std::string& name) override {
    ServicePorts ports =
        allow_dns_ ? ServicePorts{port_from_system(name, "tcp"), port_from_system(name, "udp")} : ports_from_file(name);
    if (!ports.tcp && !ports.udp)
      for (const KnownService& row : kServices)
        if (row.name == name) {
          if (row.tcp) ports.tcp = row.port;
          if (row.udp) ports.udp = row.port;
        }
    if (!ports.tcp && !ports.udp) return std::nullopt;
    return ports;
  }

  std::optional<std::uint8_t> protocol(const std::string& name) override {
    if (const auto known = allow_dns_ ? protocol_from_system(name) : protocol_from_file(name)) return known;
    for (const KnownProtocol& row : kProtocols)
      if (row.name == name) return row.number;
    return std::nullopt;
  }

  std::optional<Mac48> ether_host(const std::string& name) override {
    std::optional<Mac48> mac;
    for_each_line("/etc/ethers", [&](const std::string& address, const std::vector<std::string>& names) {
      if (!mac && holds_any_case(names, name)) mac = parse_mac48(address);
    });
    return mac;
  }

  std::optional<std::uint32_t> interface(const std::string& name) override {
    const std::uint32_t index = ::if_nametoindex(name.c_str());
    return index != 0 ? std::optional(index) : std::nullopt;
  }

 private:
  bool allow_dns_;
};

template <typename Table>
auto look_up(const Table& table, const std::string& name) -> std::optional<typename Table::mapped_type> {
  const auto at = table.find(name);
  if (at == table.end()) return std::nullopt;
  return at->second;
}

}  // namespace

Resolver& system_resolver(const SystemResolverOptions& options) {
  static SystemResolver with_dns(true);
  static SystemResolver without_dns(false);
  return options.allow_dns ? with_dns : without_dns;
}

std::optional<HostAddresses> StaticResolver::host(const std::string& name) { return look_up(hosts, name); }
std::optional<Ipv4Address> StaticResolver::network(const std::string& name) { return look_up(networks, name); }
std::optional<ServicePorts> StaticResolver::service(const std::string& name) { return look_up(services, name); }
std::optional<std::uint8_t> StaticResolver::protocol(const std::string& name) { return look_up(protocols, name); }
std::optional<std::uint32_t> StaticResolver::interface(const std::string& name) { return look_up(interfaces, name); }
std::optional<Mac48> StaticResolver::ether_host(const std::string& name) { return look_up(ether_hosts, name); }

}  // namespace weir::filter
