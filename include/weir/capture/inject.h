// Packets onto a network interface, as they are.
//
//   auto injector = weir::capture::Injector::open("eth0");
//   InjectResult sent = *(*injector).send(batch);
//
// A packet socket and sendmmsg(2): one system call for up to 64 packets. Not synchronised.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/packet/link_type.h>
#include <weir/packet/packet.h>

namespace weir::capture {

struct InjectOptions {
  // Straight to the driver, past queueing disciplines: faster, and the interface's shaping does not hold.
  bool bypass_queues = false;
  // Set, as by a signal, when nothing more shall be sent.
  const std::atomic<bool>* stopping = nullptr;
};

struct InjectResult {
  std::uint64_t packets = 0;  // sent
  std::uint64_t bytes = 0;
  std::uint64_t refused = 0;  // longer than the interface takes, or shorter than a header
};

class Injector {
 public:
  static Result<Injector> open(const std::string& interface, const InjectOptions& options = {});
  // Sends all packets, waiting while the interface is busy, or those that were sent until `stopping` was set. The
  // captured bytes are sent, also of a packet cut short.
  Result<InjectResult> send(packet::Batch batch);
  packet::LinkType link_type() const { return link_type_; }

 private:
  Injector() = default;
  FileDescriptor socket_;
  std::string name_;
  const std::atomic<bool>* stopping_ = nullptr;
  packet::LinkType link_type_{};
};

}  // namespace weir::capture
