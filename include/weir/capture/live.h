// Live interfaces as sources: AF_PACKET sockets with a TPACKET_V3 ring.
//
//   auto live = weir::capture::open_live("eth0", {.snap_length = 96});
//   (*live)->attach(checked);    // the program runs in the kernel, for packets of kernel_link_type()
//   (*live)->start();            // no packet that the program drops ever takes room in the ring
//   while ((*live)->read(batch) == Read::kMore) ...
//
// A batch is one block of the ring, in place: packets point into memory that the kernel shares, until the next read().
// read() waits for packets; it gives Read::kEnd after request_stop(), when all that came before was handed out.
// Timestamps are nanoseconds. Packets are as on the wire: a VLAN tag that the kernel took off is put back.
// One thread reads a source; request_stop() may be called from any thread and from signal handlers.
// Source: packet(7), Documentation/networking/packet_mmap.rst.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weir/base/error.h>
#include <weir/capture/source.h>
#include <weir/cbpf/program.h>

namespace weir::capture {

enum class Direction : std::uint8_t { kBoth, kIn, kOut };

// How the packets of one interface are spread over several sources.
enum class Fanout : std::uint8_t { kNone, kHash, kRoundRobin, kCpu, kQueue };

struct LiveOptions {
  std::uint32_t snap_length = 262144;  // bytes kept of a packet
  bool promiscuous = true;             // given back when the source is closed, even by kill -9
  Direction direction = Direction::kBoth;
  std::uint64_t ring_bytes = 16u << 20;  // rounded to whole blocks
  std::uint32_t block_bytes = 1u << 19;  // a power of two, at least a page; grows for long snap lengths
  // A block that is not full is handed out after this time. Few packets take a whole block a time: this times the
  // number of blocks is how long a reader may stall.
  std::uint32_t wait_milliseconds = 300;
  Fanout fanout = Fanout::kNone;
  std::optional<std::uint32_t> fanout_group{};  // of the first source of the group; none: a new group
};

struct LiveStatistics {
  std::uint64_t received = 0;  // passed the kernel's filter, dropped ones included
  std::uint64_t dropped = 0;   // of these, found no room in the ring
  std::uint64_t freezes = 0;   // how often the ring was full
};

class LiveSource : public Source {
 public:
  // A program of extended instructions, by its descriptor, or a classic one. Replaces what is attached.
  virtual Status attach(const cbpf::Checked& program) = 0;
  virtual Status attach_extended(int program_descriptor) = 0;

  // Packets come from now on. Call once.
  virtual Status start() = 0;

  // Closes the inflow; read() hands out what the ring holds and then returns Read::kEnd.
  virtual void request_stop() = 0;

  virtual Result<LiveStatistics> statistics() = 0;
  virtual std::uint32_t fanout_group() const = 0;

  // Cooked sources ("any", and link types that Linux gives no header of) show packets with a header (SLL2) which the
  // kernel's filter does not see: programs for it need cooked_for_kernel().
  virtual bool cooked() const = 0;
};

// "any" is all interfaces.
Result<std::unique_ptr<LiveSource>> open_live(const std::string& interface, const LiveOptions& options = {});

// A program for SLL2 packets as the kernel must have it for a cooked source: the header's fields become extension
// loads, offsets behind it move. ErrorCode::kUnsupported where that is not possible: then filter what read() gives.
Result<cbpf::Checked> cooked_for_kernel(const cbpf::Checked& program);

// A program in front of which a test of the direction stands.
Result<cbpf::Checked> only_outgoing(const cbpf::Checked& program);

struct LiveInterface {
  std::uint32_t index = 0;
  std::string name{};
  bool up = false;
  bool loopback = false;
};
// All interfaces of this network namespace, by index.
Result<std::vector<LiveInterface>> live_interfaces();

// The mask of the interface's IPv4 network, in host byte order; none without an address, and for "any".
std::optional<std::uint32_t> interface_netmask(const std::string& name);

}  // namespace weir::capture
