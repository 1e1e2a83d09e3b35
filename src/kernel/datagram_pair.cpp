// A socket pair of family unix. Exports DatagramPair.
//
// The filter runs while the sender sends (net/unix/af_unix.c, unix_dgram_sendmsg): when send() returns, the datagram
// is queued, cut to the verdict, or gone. So the answer is there without waiting.
#include "kernel/datagram_pair.h"

#include <cerrno>
#include <sys/socket.h>

#include <fmt/format.h>

#include <weir/kernel/socket_filter.h>

namespace weir::kernel {

Result<DatagramPair> DatagramPair::create(const cbpf::Program& filter) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return fail(system_failure("cannot make a socket pair", errno));
  DatagramPair pair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
  // Long packets need a larger send buffer; without privilege as much as net.core.wmem_max allows.
  const int wanted = 2 << 20;
  if (::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) != 0)
    (void)::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
  WEIR_CHECK(attach_unchecked(ends[1], filter));
  return pair;
}

Result<std::optional<std::uint32_t>> DatagramPair::pass(ByteSpan packet) {
  while (::send(sender_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    Error error = system_failure(fmt::format("cannot hand a packet of {} bytes to the kernel", packet.size()), errno);
    if (errno == EMSGSIZE) error.hint = "net.core.wmem_max limits it without privilege";
    return fail(std::move(error));
  }
  std::uint8_t first;
  // MSG_TRUNC: the length of the datagram, though only one byte of it is copied.
  const ssize_t got = ::recv(receiver_.get(), &first, sizeof first, MSG_DONTWAIT | MSG_TRUNC);
  if (got >= 0) return std::optional<std::uint32_t>(static_cast<std::uint32_t>(got));
  if (errno == EAGAIN || errno == EWOULDBLOCK) return std::optional<std::uint32_t>();
  return fail(system_failure("cannot receive a packet from the kernel", errno));
}

}  // namespace weir::kernel
