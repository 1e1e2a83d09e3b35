// Live interfaces as sources: AF_XDP sockets, which take packets before the network stack of Linux sees them.
//
//   auto live = weir::capture::open_xdp("eth0", {.mode = XdpMode::kGeneric});
//   (*live)->attach(checked);    // becomes part of the XDP program on the interface
//   (*live)->start();
//
// A packet that matches goes to the source INSTEAD of the host: nothing else on this machine sees it, and no copy of it
// can be made. All others go on to the host as ever (XDP_PASS). Only packets that come in are seen. A packet for which
// there is no room is dropped. The XDP program goes with the source, also after kill -9.
//
// The time of a packet is when the program saw it; where the driver leaves no room for that, when it was read.
// A batch is what one queue holds, in place, until the next read(). Threads as for live.h.
// Source: Documentation/networking/af_xdp.rst.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <weir/base/error.h>
#include <weir/capture/live.h>

namespace weir::capture {

enum class XdpMode : std::uint8_t {
  kAutomatic,  // native where the driver can, else generic
  kNative,     // in the driver
  kGeneric,    // in the kernel, behind the driver: every interface, slower
};

struct XdpOptions {
  std::uint32_t snap_length = 262144;   // bytes kept of a packet
  bool promiscuous = true;              // given back when the source is closed
  std::uint64_t ring_bytes = 8u << 20;  // over all queues; a packet takes 4096 bytes, longer ones several times that
  XdpMode mode = XdpMode::kAutomatic;
};

class XdpSource : public LiveSource {
 public:
  virtual bool native() const = 0;
  virtual bool zero_copy() const = 0;  // the driver writes into the ring itself, on every queue
  virtual std::uint32_t queues() const = 0;
};

// Needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF until attach() was called. attach_extended() is refused: the program has
// to be part of another. Interfaces with Ethernet headers only. One XDP program fits to an interface: where there is
// one, this fails.
Result<std::unique_ptr<XdpSource>> open_xdp(const std::string& interface, const XdpOptions& options = {});

}  // namespace weir::capture
