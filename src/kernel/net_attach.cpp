// Programs on interfaces through rtnetlink(7). Exports attach_xdp, detach_xdp, xdp_program, attach_tc, detach_tc.
//
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

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/attach_refusal.h"
#include "kernel/disciplines.h"
#include "kernel/netlink.h"

namespace weir::kernel {
namespace {

using netlink::ask;
using netlink::each_attribute;
using netlink::Message;

ifinfomsg link_message(std::uint32_t interface) {
  ifinfomsg fixed{};
  fixed.ifi_index = static_cast<int>(interface);
  return fixed;
}

Status set_xdp(int program, std::uint32_t interface, XdpMode mode, std::uint32_t flags,
               const Program* expected = nullptr) {
  if (mode == XdpMode::kGeneric) flags |= XDP_FLAGS_SKB_MODE;
  if (mode == XdpMode::kDriver) flags |= XDP_FLAGS_DRV_MODE;
  if (mode == XdpMode::kHardware) flags |= XDP_FLAGS_HW_MODE;
  Message message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, link_message(interface));
  const std::size_t nest = message.open(IFLA_XDP);
  message.attribute(IFLA_XDP_FD, static_cast<std::uint32_t>(program));
  if (expected != nullptr) {
    flags |= XDP_FLAGS_REPLACE;
    message.attribute(IFLA_XDP_EXPECTED_FD, static_cast<std::uint32_t>(expected->descriptor()));
  }
  message.attribute(IFLA_XDP_FLAGS, flags);
  message.close(nest);
  return ask(message, "set XDP program");
}

// The mode whose program this attribute names, which kernels from 4.19 have.
std::optional<XdpMode> mode_of(std::uint16_t attribute) {
  if (attribute == IFLA_XDP_SKB_PROG_ID) return XdpMode::kGeneric;
  if (attribute == IFLA_XDP_DRV_PROG_ID) return XdpMode::kDriver;
  if (attribute == IFLA_XDP_HW_PROG_ID) return XdpMode::kHardware;
  return std::nullopt;
}

std::optional<XdpMode> mode_from(std::uint8_t attached) {
  if (attached == XDP_ATTACHED_SKB) return XdpMode::kGeneric;
  if (attached == XDP_ATTACHED_DRV) return XdpMode::kDriver;
  if (attached == XDP_ATTACHED_HW) return XdpMode::kHardware;
  return std::nullopt;
}

tcmsg filter_message(std::uint32_t interface, Direction direction, const TcOptions& options) {
  tcmsg fixed{};
  fixed.tcm_family = AF_UNSPEC;
  fixed.tcm_ifindex = static_cast<int>(interface);
  fixed.tcm_handle = options.handle;
  fixed.tcm_parent =
      TC_H_MAKE(TC_H_CLSACT, direction == Direction::kIngress ? unsigned{TC_H_MIN_INGRESS} : unsigned{TC_H_MIN_EGRESS});
  fixed.tcm_info = TC_H_MAKE(std::uint32_t{options.priority} << 16, htons(options.protocol));
  return fixed;
}

tcmsg clsact_message(std::uint32_t interface) {
  tcmsg fixed{};
  fixed.tcm_family = AF_UNSPEC;
  fixed.tcm_ifindex = static_cast<int>(interface);
  fixed.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  fixed.tcm_parent = TC_H_CLSACT;
  return fixed;
}

// false: it was there.
Result<bool> make_clsact(std::uint32_t interface) {
  Message message(RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, clsact_message(interface));
  message.attribute(TCA_KIND, std::string("clsact"));
  const Status made = ask(message, "make the queueing discipline clsact");
  if (!made && made.error().system_error != EEXIST) return fail(made.error());
  return made.has_value();
}

// The discipline "ingress" has the place of clsact and takes filters for packets that go out as well, but runs them on
// those that come in.
Status check_egress(std::uint32_t interface) {
  std::vector<Discipline> found;
  WEIR_CHECK(queueing_disciplines(interface, found));
  if (std::none_of(found.begin(), found.end(), [](const Discipline& one) { return one.kind == "ingress"; })) return {};
  return fail(Error{.code = ErrorCode::kUnsupported,
                    .message = "the interface has the queueing discipline ingress, which has no egress",
                    .hint = "clsact, which has both, can only be made without it: tc qdisc del dev ... ingress"});
}

}  // namespace

Status attach_xdp(const Program& program, std::uint32_t interface, XdpMode mode, bool replace) {
  const Status done = set_xdp(program.descriptor(), interface, mode, replace ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST);
  return done || !done.error().hint.empty()
             ? done
             : fail(explain_attach(done.error(), program, interface, ebpf::AttachType::kXdp));
}

Status detach_xdp(std::uint32_t interface, XdpMode mode, const Program* expected) {
  return set_xdp(-1, interface, mode, 0, expected);
}

Result<std::uint32_t> xdp_program(std::uint32_t interface, XdpMode mode) {
  std::uint32_t id = 0;
  std::uint32_t only = 0;  // the program, where one mode has one
  std::optional<XdpMode> only_mode;
  Message message(RTM_GETLINK, NLM_F_REQUEST, link_message(interface));
  WEIR_CHECK(ask(message, "ask for the interface's XDP program", [&](ByteSpan body) {
    if (body.size() < sizeof(ifinfomsg)) return;
    each_attribute(body.subspan(sizeof(ifinfomsg)), [&](std::uint16_t kind, ByteSpan bytes) {
      if (kind != IFLA_XDP) return false;
      each_attribute(bytes, [&](std::uint16_t inner, ByteSpan value) {
        const auto there = mode_of(inner);
        if (inner == IFLA_XDP_ATTACHED && !value.empty()) only_mode = mode_from(value[0]);
        if (inner == IFLA_XDP_PROG_ID && value.size() >= 4)
          only = load<std::uint32_t>(value.data(), std::endian::native);
        if (there && (mode == XdpMode::kAutomatic || mode == *there) && value.size() >= 4)
          id = load<std::uint32_t>(value.data(), std::endian::native);
        return id != 0;
      });
      return true;
    });
  }));
  return id == 0 && (mode == XdpMode::kAutomatic || mode == only_mode) ? only : id;
}

Status attach_tc(const Program& program, std::uint32_t interface, Direction direction, const TcOptions& options) {
  WEIR_TRY(const bool made_clsact, make_clsact(interface));
  if (!made_clsact && direction == Direction::kEgress) WEIR_CHECK(check_egress(interface));
  Message message(RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                  filter_message(interface, direction, options));
  message.attribute(TCA_KIND, std::string("bpf"));
  if (options.chain != 0) message.attribute(TCA_CHAIN, options.chain);
  const std::size_t nest = message.open(TCA_OPTIONS);
  message.attribute(TCA_BPF_FD, static_cast<std::uint32_t>(program.descriptor()));
  message.attribute(TCA_BPF_NAME, options.name);
  message.attribute(TCA_BPF_FLAGS, std::uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  message.close(nest);
  const Status done = ask(message, "attach tc filter");
  if (done) return done;
  if (made_clsact) {
    Message removal(RTM_DELQDISC, NLM_F_REQUEST | NLM_F_ACK, clsact_message(interface));
    (void)ask(removal, "remove the queueing discipline clsact");
  }
  return fail(explain_tc(done.error(), program));
}

Status detach_tc(std::uint32_t interface, Direction direction, const TcOptions& options) {
  if (direction == Direction::kEgress) WEIR_CHECK(check_egress(interface));
  Message message(RTM_DELTFILTER, NLM_F_REQUEST | NLM_F_ACK, filter_message(interface, direction, options));
  message.attribute(TCA_KIND, std::string("bpf"));
  if (options.chain != 0) message.attribute(TCA_CHAIN, options.chain);
  return ask(message, "detach tc filter");
}

}  // namespace weir::kernel
