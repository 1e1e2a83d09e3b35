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
Status detach_xdp(std::uint32_t interface, XdpMode mode = XdpMode::kAutomatic);
// The id of the program there; 0: none.
Result<std::uint32_t> xdp_program(std::uint32_t interface);

enum class Direction : std::uint8_t { kIngress, kEgress };

struct TcOptions {
  std::uint16_t priority = 1;
  std::uint32_t handle = 1;
  std::string name = "weir";
};
// A filter of kind bpf whose result is the packet's fate (direct-action) behind the queueing discipline clsact, which
// is made where there is none. is_exist() where a filter has the same priority and handle.
Status attach_tc(const Program& program, std::uint32_t interface, Direction direction, const TcOptions& options = {});
Status detach_tc(std::uint32_t interface, Direction direction, const TcOptions& options = {});

}  // namespace weir::kernel
