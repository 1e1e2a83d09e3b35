// Programs on interfaces through rtnetlink(7). Exports attach_xdp, detach_xdp, xdp_program, attach_tc, detach_tc.
//
// A request is one message, built in a vector: a header, the fixed part, attributes (length, kind, bytes), some of them
// nested. The kernel answers with an acknowledgement, whose text says more than errno does.
// Source: rtnetlink(7), net/sched/cls_bpf.c, net/core/rtnetlink.c.
#include <weir/kernel/net_attach.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::kernel {
namespace {

using Bytes = std::vector<std::uint8_t>;

class Message {
 public:
  template <typename Fixed>
  Message(std::uint16_t type, std::uint16_t flags, const Fixed& fixed) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    add(&header, sizeof header);
    add(&fixed, sizeof fixed);
  }

  void attribute(std::uint16_t kind, const void* bytes, std::size_t size) {
    const nlattr head{static_cast<std::uint16_t>(sizeof(nlattr) + size), kind};
    add(&head, sizeof head);
    add(bytes, size);
  }
  void attribute(std::uint16_t kind, std::uint32_t value) { attribute(kind, &value, sizeof value); }
  void attribute(std::uint16_t kind, const std::string& text) { attribute(kind, text.c_str(), text.size() + 1); }

  // The attributes between open() and close() are inside this one.
  std::size_t open(std::uint16_t kind) {
    const std::size_t at = bytes_.size();
    attribute(kind | NLA_F_NESTED, nullptr, 0);
    return at;
  }
  void close(std::size_t at) {
    store(&bytes_[at], static_cast<std::uint16_t>(bytes_.size() - at), std::endian::native);
  }

  const Bytes& finish() {
    store(bytes_.data(), static_cast<std::uint32_t>(bytes_.size()), std::endian::native);
    return bytes_;
  }

 private:
  void add(const void* bytes, std::size_t size) {
    const auto* const from = static_cast<const std::uint8_t*>(bytes);
    bytes_.insert(bytes_.end(), from, from + size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  Bytes bytes_;
};

// Calls `use` with each attribute of these bytes until it returns true.
template <typename Use>
void each_attribute(ByteSpan bytes, Use use) {
  while (bytes.size() >= sizeof(nlattr)) {
    const auto size = load<std::uint16_t>(bytes.data(), std::endian::native);
    const auto kind = static_cast<std::uint16_t>(load<std::uint16_t>(&bytes[2], std::endian::native) & NLA_TYPE_MASK);
    if (size < sizeof(nlattr) || size > bytes.size()) return;
    if (use(kind, bytes.subspan(sizeof(nlattr), size - sizeof(nlattr)))) return;
    bytes = bytes.subspan(std::min<std::size_t>((size + 3u) / 4 * 4, bytes.size()));
  }
}

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

// Sends the request; hands the answer's body to `use`, if there is one.
template <typename Use>
Status ask(Message& message, const char* what, Use use) {
  const FileDescriptor descriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!descriptor) return fail(system_failure("netlink", errno));
  const int on = 1;
  (void)setsockopt(descriptor.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  const Bytes& bytes = message.finish();
  if (::send(descriptor.get(), bytes.data(), bytes.size(), 0) < 0) return fail(system_failure(what, errno));
  Bytes answer(1u << 16);
  const ssize_t got = ::recv(descriptor.get(), answer.data(), answer.size(), 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return fail(system_failure(what, got < 0 ? errno : EIO));
  nlmsghdr header;
  std::memcpy(&header, answer.data(), sizeof header);
  const ByteSpan body = ByteSpan(answer).subspan(sizeof header, static_cast<std::size_t>(got) - sizeof header);
  if (header.nlmsg_type != NLMSG_ERROR) return use(body), Status{};
  const int error = body.size() >= 4 ? -load<std::int32_t>(body.data(), std::endian::native) : EIO;
  if (error == 0) return {};
  Error made = system_failure(what, error);
  if (const std::string words = words_of(header, body); !words.empty()) made.hint = "the kernel says: " + words;
  else if (error == EPERM) made.hint = "it needs CAP_NET_ADMIN (root has it)";
  return fail(std::move(made));
}
Status ask(Message& message, const char* what) {
  return ask(message, what, [](ByteSpan) {});
}

ifinfomsg link_message(std::uint32_t interface) {
  ifinfomsg fixed{};
  fixed.ifi_index = static_cast<int>(interface);
  return fixed;
}

Status set_xdp(int program, std::uint32_t interface, XdpMode mode, bool only_new) {
  std::uint32_t flags = only_new ? XDP_FLAGS_UPDATE_IF_NOEXIST : 0;
  if (mode == XdpMode::kGeneric) flags |= XDP_FLAGS_SKB_MODE;
  if (mode == XdpMode::kDriver) flags |= XDP_FLAGS_DRV_MODE;
  if (mode == XdpMode::kHardware) flags |= XDP_FLAGS_HW_MODE;
  Message message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, link_message(interface));
  const std::size_t nest = message.open(IFLA_XDP);
  message.attribute(IFLA_XDP_FD, static_cast<std::uint32_t>(program));
  message.attribute(IFLA_XDP_FLAGS, flags);
  message.close(nest);
  return ask(message, "set XDP program");
}

tcmsg filter_message(std::uint32_t interface, Direction direction, const TcOptions& options) {
  tcmsg fixed{};
  fixed.tcm_family = AF_UNSPEC;
  fixed.tcm_ifindex = static_cast<int>(interface);
  fixed.tcm_handle = options.handle;
  fixed.tcm_parent =
      TC_H_MAKE(TC_H_CLSACT, direction == Direction::kIngress ? unsigned{TC_H_MIN_INGRESS} : unsigned{TC_H_MIN_EGRESS});
  fixed.tcm_info = TC_H_MAKE(std::uint32_t{options.priority} << 16, htons(ETH_P_ALL));
  return fixed;
}

Status make_clsact(std::uint32_t interface) {
  tcmsg fixed{};
  fixed.tcm_family = AF_UNSPEC;
  fixed.tcm_ifindex = static_cast<int>(interface);
  fixed.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  fixed.tcm_parent = TC_H_CLSACT;
  Message message(RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, fixed);
  message.attribute(TCA_KIND, std::string("clsact"));
  const Status made = ask(message, "make the queueing discipline clsact");
  return made || made.error().system_error == EEXIST ? Status{} : made;
}

}  // namespace

Status attach_xdp(const Program& program, std::uint32_t interface, XdpMode mode, bool replace) {
  return set_xdp(program.descriptor(), interface, mode, !replace);
}

Status detach_xdp(std::uint32_t interface, XdpMode mode) { return set_xdp(-1, interface, mode, false); }

Result<std::uint32_t> xdp_program(std::uint32_t interface) {
  std::uint32_t id = 0;
  Message message(RTM_GETLINK, NLM_F_REQUEST, link_message(interface));
  WEIR_CHECK(ask(message, "ask for the interface's XDP program", [&](ByteSpan body) {
    if (body.size() < sizeof(ifinfomsg)) return;
    each_attribute(body.subspan(sizeof(ifinfomsg)), [&](std::uint16_t kind, ByteSpan bytes) {
      if (kind != IFLA_XDP) return false;
      each_attribute(bytes, [&](std::uint16_t inner, ByteSpan value) {
        if (inner == IFLA_XDP_PROG_ID && value.size() >= 4) id = load<std::uint32_t>(value.data(), std::endian::native);
        return false;
      });
      return true;
    });
  }));
  return id;
}

Status attach_tc(const Program& program, std::uint32_t interface, Direction direction, const TcOptions& options) {
  WEIR_CHECK(make_clsact(interface));
  Message message(RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                  filter_message(interface, direction, options));
  message.attribute(TCA_KIND, std::string("bpf"));
  const std::size_t nest = message.open(TCA_OPTIONS);
  message.attribute(TCA_BPF_FD, static_cast<std::uint32_t>(program.descriptor()));
  message.attribute(TCA_BPF_NAME, options.name);
  message.attribute(TCA_BPF_FLAGS, std::uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  message.close(nest);
  return ask(message, "attach tc filter");
}

Status detach_tc(std::uint32_t interface, Direction direction, const TcOptions& options) {
  Message message(RTM_DELTFILTER, NLM_F_REQUEST | NLM_F_ACK, filter_message(interface, direction, options));
  message.attribute(TCA_KIND, std::string("bpf"));
  return ask(message, "detach tc filter");
}

}  // namespace weir::kernel
