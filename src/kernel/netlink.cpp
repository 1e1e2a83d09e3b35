// Requests to the kernel's network configuration. Exports netlink::ask, netlink::dump.
//
// The kernel answers with an acknowledgement, whose text says more than errno does, or with a series of messages that
// an NLMSG_DONE ends. Source: netlink(7), rtnetlink(7), net/netlink/af_netlink.c.
#include "kernel/netlink.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <weir/base/file.h>

namespace weir::kernel::netlink {
namespace {

// What the kernel says beside the number of an error.
std::string words_of(const nlmsghdr& header, ByteSpan body) {
  std::string words;
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return words;
  std::size_t skip = sizeof(nlmsgerr);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0 && body.size() >= sizeof(nlmsgerr))
    skip += load<std::uint32_t>(&body[4], std::endian::native) - sizeof(nlmsghdr);
  if (skip > body.size()) return words;
  each_attribute(body.subspan(skip), [&](std::uint16_t kind, ByteSpan bytes) {
    if (kind == NLMSGERR_ATTR_MSG) words.assign(bytes.begin(), bytes.end());
    return false;
  });
  return words.c_str();
}

// A socket to which the request went.
Result<FileDescriptor> send(Message& message, const char* what) {
  FileDescriptor descriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!descriptor) return fail(system_failure("netlink", errno));
  const int on = 1;
  (void)setsockopt(descriptor.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  const std::vector<std::uint8_t>& bytes = message.finish();
  if (::send(descriptor.get(), bytes.data(), bytes.size(), 0) < 0) return fail(system_failure(what, errno));
  return descriptor;
}

// What an NLMSG_ERROR or NLMSG_DONE says.
Status status_of(const nlmsghdr& header, ByteSpan body, const char* what) {
  const int error = body.size() >= 4 ? -load<std::int32_t>(body.data(), std::endian::native) : EIO;
  if (error == 0) return {};
  Error made = system_failure(what, error);
  if (const std::string words = words_of(header, body); !words.empty()) made.hint = "the kernel says: " + words;
  else if (error == EPERM) made.hint = "it needs CAP_NET_ADMIN (root has it)";
  return fail(std::move(made));
}

// Calls `use` with each message of these bytes until it returns true.
bool each_message(ByteSpan bytes, const std::function<bool(const nlmsghdr& header, ByteSpan body)>& use) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return true;
    if (use(header, bytes.subspan(sizeof header, header.nlmsg_len - sizeof header))) return true;
    bytes = bytes.subspan(std::min<std::size_t>((header.nlmsg_len + 3u) / 4 * 4, bytes.size()));
  }
  return false;
}

}  // namespace

Status ask(Message& message, const char* what, const std::function<void(ByteSpan)>& use) {
  WEIR_TRY(const FileDescriptor descriptor, send(message, what));
  std::vector<std::uint8_t> answer(1u << 16);
  const ssize_t got = ::recv(descriptor.get(), answer.data(), answer.size(), 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return fail(system_failure(what, got < 0 ? errno : EIO));
  Status status;
  each_message(ByteSpan(answer).first(static_cast<std::size_t>(got)), [&](const nlmsghdr& header, ByteSpan body) {
    if (header.nlmsg_type == NLMSG_ERROR) status = status_of(header, body, what);
    else if (use) use(body);
    return true;
  });
  return status;
}

Status dump(Message& message, const char* what, const std::function<void(ByteSpan)>& use) {
  WEIR_TRY(const FileDescriptor descriptor, send(message, what));
  std::vector<std::uint8_t> answer(1u << 18);
  Status status;
  for (bool done = false; !done;) {
    const ssize_t got = ::recv(descriptor.get(), answer.data(), answer.size(), 0);
    if (got <= 0) return fail(system_failure(what, got < 0 ? errno : EIO));
    done =
        each_message(ByteSpan(answer).first(static_cast<std::size_t>(got)), [&](const nlmsghdr& header, ByteSpan body) {
          const bool last = header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE;
          if (last) status = status_of(header, body, what);
          else use(body);
          return last;
        });
  }
  return status;
}

}  // namespace weir::kernel::netlink
