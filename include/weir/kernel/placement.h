// Where programs run: interfaces, control groups, network namespaces and sockmaps, as the kernel tells it of the place.
//
// A link tells where it keeps its program (weir/kernel/link.h). What is attached without one (XDP and tc through
// netlink, tcx, control groups and sockmaps through BPF_PROG_ATTACH) is found here, by asking every place that this
// process sees. Sockets (SO_ATTACH_BPF), routes (lwt), actions of tc and other network namespaces are not asked: the
// kernel gives no list of them. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/error.h>

namespace weir::kernel {

struct Placement {
  std::uint32_t program = 0;  // its id
  // "xdp_generic", "xdp_driver", "xdp_hardware", "tc_ingress", "tc_egress", "tc" (a filter of another queueing
  // discipline), else the kernel's name of the place: "tcx_ingress", "cgroup_inet_egress", "flow_dissector", ...
  std::string kind{};
  std::uint32_t interface_index = 0;  // xdp, tc, tcx; else 0
  std::uint64_t group_id = 0;         // control groups: the inode of the folder, as in LinkInfo
  std::string group{};                // control groups: the folder
  std::uint32_t map = 0;              // sockmaps and sockhashes: the map's id
  std::uint32_t priority = 0;         // filters of tc
  std::uint32_t handle = 0;           // filters of tc
  std::uint16_t protocol = 0;         // filters of tc: the EtherType of their packets; 3: all
  std::uint32_t chain = 0;            // filters of tc
  bool direct_action = false;         // filters of tc: the result is the packet's fate
  std::uint32_t link = 0;             // the id of the link that keeps it there; 0: none
};

// All of them, interface by interface, then control groups, the network namespace, sockmaps; at one place in the order
// in which they run. Places that may not be asked or go meanwhile are left out; an error is one of netlink, of
// ErrorCode::kSystem. Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN to see links and sockmaps.
Result<std::vector<Placement>> placements();

}  // namespace weir::kernel
