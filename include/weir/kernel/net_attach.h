// Programs on interfaces without links: XDP and tc, as `ip link set dev X xdp` and `tc filter add` attach them.
//
// A program stays until it is taken off or its interface goes; no descriptor holds it. Kernels from 5.9 (XDP) and 6.6
// (tcx) have links and Program::attach for the same places. An error carries errno and, as hint, what the kernel says.
// Needs CAP_NET_ADMIN in the interface's network namespace. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>

#include <weir/base/error.h>
#include <weir/kernel/program.h>

namespace weir::kernel {

enum class XdpMode : std::uint8_t {
  kAutomatic,  // the driver's, else the kernel's own
  kGeneric,    // the kernel's own, after a packet has become an skb
  kDriver,
  kHardware,
};

// Puts a program on an interface; `replace` also in place of another.
Status attach_xdp(const Program& program, std::uint32_t interface, XdpMode mode = XdpMode::kAutomatic,
                  bool replace = false);
// Takes off what runs in this mode; kAutomatic means the driver's wherever the driver could run programs, also when a
// program runs in another mode. That none runs there is no error. With `expected`, for kernels from 5.7, that program
// alone: else is_exist().
Status detach_xdp(std::uint32_t interface, XdpMode mode = XdpMode::kAutomatic, const Program* expected = nullptr);
// The id of the program that runs there in this mode, kAutomatic: in any; 0: none.
Result<std::uint32_t> xdp_program(std::uint32_t interface, XdpMode mode = XdpMode::kAutomatic);

enum class Direction : std::uint8_t { kIngress, kEgress };

struct TcOptions {
  std::uint16_t priority = 1;
  std::uint32_t handle = 1;
  std::string name = "weir";
  std::uint16_t protocol = 3;  // the EtherType of its packets; 3: all of them (ETH_P_ALL)
  std::uint32_t chain = 0;
};
// A filter of kind bpf whose result is the packet's fate (direct-action) behind the queueing discipline clsact, which
// is made where there is none. is_exist() where a filter has the same priority and handle. The discipline ingress,
// which may be in its place, has no egress: kUnsupported.
Status attach_tc(const Program& program, std::uint32_t interface, Direction direction, const TcOptions& options = {});
Status detach_tc(std::uint32_t interface, Direction direction, const TcOptions& options = {});

}  // namespace weir::kernel
