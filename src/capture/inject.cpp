// Sending through a packet socket. Exports Injector.
//
// A full queue shows as ENOBUFS or EAGAIN: then wait for the socket, or a moment, and go on with the same packet, so
// nothing is skipped, and the call waits nowhere else, so that it can be stopped. A packet that the interface cannot
// take (EMSGSIZE, EINVAL) is counted and passed over.
#include <weir/capture/inject.h>

#include <cerrno>
#include <ctime>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fmt/format.h>

#include "capture/live_interfaces.h"

namespace weir::capture {
namespace {

constexpr std::size_t kAtOnce = 64;
constexpr int kBypass = 20;  // PACKET_QDISC_BYPASS

Error cannot_inject(const std::string& name, int error) {
  Error made = system_failure(fmt::format("cannot send on '{}'", name), error);
  if (error == EPERM || error == EACCES)
    made.hint = "it needs the capability CAP_NET_RAW: run as root, or once 'setcap cap_net_raw+ep' on the program";
  if (error == ENETDOWN) made.hint = fmt::format("bring it up with 'ip link set {} up'", name);
  return made;
}

bool busy(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM; }

void wait_for(int socket, int error) {
  pollfd waits{socket, POLLOUT, 0};
  if (error == EAGAIN || error == EWOULDBLOCK) {
    (void)::poll(&waits, 1, 10);
    return;
  }
  const timespec moment{0, 20000};
  (void)::nanosleep(&moment, nullptr);
}

}  // namespace

Result<Injector> Injector::open(const std::string& interface, const InjectOptions& options) {
  WEIR_TRY(const InterfaceFacts facts, find_interface(interface));
  if (facts.index == 0)
    return fail(Error{.code = ErrorCode::kUsage, .message = "packets are sent on one interface, not on 'any'"});
  if (facts.link_type == kCookedLinkType)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format("'{}' takes no packets with a link-layer header", interface)});
  Injector made;
  made.name_ = interface;
  made.stopping_ = options.stopping;
  made.link_type_ = facts.link_type;
  made.socket_ = FileDescriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!made.socket_) return fail(cannot_inject(interface, errno));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = facts.index;
  if (::bind(made.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(cannot_inject(interface, errno));
  const int buffer = 4 << 20;
  if (::setsockopt(made.socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0)
    (void)::setsockopt(made.socket_.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  const int on = 1;
  if (options.bypass_queues && ::setsockopt(made.socket_.get(), SOL_PACKET, kBypass, &on, sizeof on) != 0)
    return fail(system_failure("this kernel cannot send past the queues", errno));
  return made;
}

Result<InjectResult> Injector::send(packet::Batch batch) {
  InjectResult result;
  mmsghdr messages[kAtOnce]{};
  iovec pieces[kAtOnce];
  for (std::size_t i = 0; i < kAtOnce; ++i) {
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  while (!batch.empty() && (stopping_ == nullptr || !*stopping_)) {
    const std::size_t count = std::min(batch.size(), kAtOnce);
    for (std::size_t i = 0; i < count; ++i)
      pieces[i] = {const_cast<std::uint8_t*>(batch[i].data), batch[i].length};  // sendmmsg reads it
    const int sent = ::sendmmsg(socket_.get(), messages, static_cast<unsigned>(count), MSG_DONTWAIT);
    if (sent < 0) {
      if (busy(errno)) {
        wait_for(socket_.get(), errno);
        continue;
      }
      if (errno != EMSGSIZE && errno != EINVAL) return fail(cannot_inject(name_, errno));
      ++result.refused;
      batch = batch.subspan(1);
      continue;
    }
    for (int i = 0; i < sent; ++i) result.bytes += batch[static_cast<std::size_t>(i)].length;
    result.packets += static_cast<std::uint64_t>(sent);
    batch = batch.subspan(static_cast<std::size_t>(sent));
  }
  return result;
}

}  // namespace weir::capture
