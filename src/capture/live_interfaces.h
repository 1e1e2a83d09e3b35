// What is known of a network interface before a socket is bound to it.
#pragma once

#include <string>

#include <weir/capture/live.h>
#include <weir/packet/link_type.h>

namespace weir::capture {

// Packets behind a header that Linux makes of what it knows (LINUX_SLL2), 20 bytes.
inline constexpr auto kCookedLinkType = static_cast<packet::LinkType>(276);
inline constexpr std::uint32_t kCookedHeader = 20;

struct InterfaceFacts {
  int index = 0;  // 0: any
  packet::LinkType link_type{};
  bool loopback = false;
};

Result<InterfaceFacts> find_interface(const std::string& name);

}  // namespace weir::capture
