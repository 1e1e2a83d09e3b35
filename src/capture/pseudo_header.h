// Headers before packets that a system wrote in its own byte order.
#pragma once

#include <cstdint>
#include <span>

#include <weir/packet/link_type.h>

namespace weir::capture {

// Whether packets of this type start with fields in the byte order of the host that captured them.
bool has_host_order(packet::LinkType type);

// Swaps these fields, in place, from the other byte order to that of this host. Fields that are cut stay as they are.
void swap_host_order(packet::LinkType type, std::span<std::uint8_t> packet);

}  // namespace weir::capture
