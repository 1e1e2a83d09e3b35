// Names to numbers: hosts, networks, services, protocols, Ethernet hosts.
//
// The binder asks a Resolver; system_resolver() asks the operating system, StaticResolver is filled by hand (tests,
// sandboxes, reproducible builds). Implementations must be safe to call from several threads at once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::filter {

using Ipv4Address = std::uint32_t;                 // host byte order: 10.0.0.1 is 0x0a000001
using Ipv6Address = std::array<std::uint8_t, 16>;  // as on the wire
using Mac48 = std::array<std::uint8_t, 6>;

struct HostAddresses {
  std::vector<Ipv4Address> ipv4;
  std::vector<Ipv6Address> ipv6;
};

// A service has a port for each transport that knows it.
struct ServicePorts {
  std::optional<std::uint16_t> tcp;
  std::optional<std::uint16_t> udp;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  virtual std::optional<HostAddresses> host(const std::string& name) = 0;
  virtual std::optional<Ipv4Address> network(const std::string& name) = 0;  // as getnetbyname gives it: 10 is 10/8
  virtual std::optional<ServicePorts> service(const std::string& name) = 0;
  virtual std::optional<std::uint8_t> protocol(const std::string& name) = 0;  // IP protocol number
  virtual std::optional<Mac48> ether_host(const std::string& name) = 0;
  // The index of a network interface, for scopes of IPv6 addresses.
  virtual std::optional<std::uint32_t> interface(const std::string& name) = 0;
};

// /etc/hosts and DNS (unless forbidden), /etc/networks, /etc/services, /etc/protocols, /etc/ethers,
// this machine's interfaces.
struct SystemResolverOptions {
  bool allow_dns = true;  // false: only /etc/hosts answers for hosts; nothing leaves the machine
};
// Lives as long as the program.
Resolver& system_resolver(const SystemResolverOptions& options = {});

// Answers from its tables alone.
class StaticResolver : public Resolver {
 public:
  std::map<std::string, HostAddresses> hosts;
  std::map<std::string, Ipv4Address> networks;
  std::map<std::string, ServicePorts> services;
  std::map<std::string, std::uint8_t> protocols;
  std::map<std::string, Mac48> ether_hosts;
  std::map<std::string, std::uint32_t> interfaces;

  std::optional<HostAddresses> host(const std::string& name) override;
  std::optional<Ipv4Address> network(const std::string& name) override;
  std::optional<ServicePorts> service(const std::string& name) override;
  std::optional<std::uint8_t> protocol(const std::string& name) override;
  std::optional<Mac48> ether_host(const std::string& name) override;
  std::optional<std::uint32_t> interface(const std::string& name) override;
};

}  // namespace weir::filter
