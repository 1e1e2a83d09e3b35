// What network interfaces there are, and what their packets start with. Exports live_interfaces, interface_netmask,
// find_interface.
#include "capture/live_interfaces.h"

#include <cerrno>
#include <cstring>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/base/suggest.h>

namespace weir::capture {
namespace {

Error no_such_interface(const std::string& name) {
  std::vector<std::string_view> names = {"any"};
  const Result<std::vector<LiveInterface>> all = live_interfaces();
  std::string list = "any";
  if (all) {
    for (const LiveInterface& one : *all) {
      names.emplace_back(one.name);
      list += ", " + one.name;
    }
  }
  std::string hint = did_you_mean(name, names);
  if (hint.empty()) hint = "there are: " + list;
  return Error{.code = ErrorCode::kBadInput,
               .message = fmt::format("there is no interface '{}'", name),
               .hint = std::move(hint),
               .system_error = ENODEV};
}

packet::LinkType link_type_of(int hardware) {
  constexpr int kTunnelOfNothing = 0xfffe;  // ARPHRD_NONE: tun
  constexpr int kRawIp = 519;               // ARPHRD_RAWIP
  switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK: return packet::LinkType::kEthernet;
    case kTunnelOfNothing:
    case kRawIp:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT: return packet::LinkType::kRaw;
    case ARPHRD_IEEE80211: return static_cast<packet::LinkType>(105);
    case ARPHRD_IEEE80211_PRISM: return static_cast<packet::LinkType>(119);
    case ARPHRD_IEEE80211_RADIOTAP: return static_cast<packet::LinkType>(127);
    default: return kCookedLinkType;
  }
}

}  // namespace

Result<std::vector<LiveInterface>> live_interfaces() {
  struct if_nameindex* list = ::if_nameindex();
  if (list == nullptr) return fail(system_failure("cannot list the interfaces", errno));
  const FileDescriptor probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::vector<LiveInterface> all;
  for (const struct if_nameindex* one = list; one->if_index != 0; ++one) {
    LiveInterface found{.index = one->if_index, .name = one->if_name};
    ifreq request{};
    std::strncpy(request.ifr_name, one->if_name, IFNAMSIZ - 1);
    if (::ioctl(probe.get(), SIOCGIFFLAGS, &request) == 0) {
      found.up = (request.ifr_flags & IFF_UP) != 0;
      found.loopback = (request.ifr_flags & IFF_LOOPBACK) != 0;
    }
    all.push_back(std::move(found));
  }
  ::if_freenameindex(list);
  return all;
}

std::optional<std::uint32_t> interface_netmask(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= IFNAMSIZ) return std::nullopt;
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  const FileDescriptor probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe || ::ioctl(probe.get(), SIOCGIFNETMASK, &request) != 0) return std::nullopt;
  sockaddr_in mask{};
  std::memcpy(&mask, &request.ifr_netmask, sizeof mask);
  return ntohl(mask.sin_addr.s_addr);
}

Result<InterfaceFacts> find_interface(const std::string& name) {
  if (name == "any") return InterfaceFacts{.index = 0, .link_type = kCookedLinkType, .loopback = false};
  ifreq request{};
  if (name.empty() || name.size() >= IFNAMSIZ) return fail(no_such_interface(name));
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  const FileDescriptor probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return fail(system_failure("cannot look up the interface '" + name + "'", errno));
  if (::ioctl(probe.get(), SIOCGIFINDEX, &request) != 0) return fail(no_such_interface(name));
  InterfaceFacts facts{.index = request.ifr_ifindex};
  if (::ioctl(probe.get(), SIOCGIFHWADDR, &request) != 0)
    return fail(system_failure("cannot look up the interface '" + name + "'", errno));
  facts.link_type = link_type_of(request.ifr_hwaddr.sa_family);
  if (::ioctl(probe.get(), SIOCGIFFLAGS, &request) == 0) facts.loopback = (request.ifr_flags & IFF_LOOPBACK) != 0;
  return facts;
}

}  // namespace weir::capture
