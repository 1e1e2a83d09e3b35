// Asked by rtnetlink. Exports queueing_disciplines.
#include "kernel/disciplines.h"

#include <linux/rtnetlink.h>

#include <cstring>

#include "kernel/netlink.h"

namespace weir::kernel {

Status queueing_disciplines(std::uint32_t interface, std::vector<Discipline>& found) {
  tcmsg fixed{};
  fixed.tcm_ifindex = static_cast<int>(interface);
  netlink::Message message(RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, fixed);
  return netlink::dump(message, "list queueing disciplines", [&](ByteSpan body) {
    if (body.size() < sizeof fixed) return;
    std::memcpy(&fixed, body.data(), sizeof fixed);
    if (fixed.tcm_ifindex != static_cast<int>(interface)) return;  // old kernels list all
    Discipline one{.handle = fixed.tcm_handle};
    netlink::each_attribute(body.subspan(sizeof fixed), [&](std::uint16_t kind, ByteSpan bytes) {
      if (kind == TCA_KIND && !bytes.empty()) one.kind.assign(bytes.begin(), bytes.end() - 1);
      return false;
    });
    found.push_back(std::move(one));
  });
}

}  // namespace weir::kernel
