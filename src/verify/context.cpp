// Kinds of programs and their contexts, and the helpers that only some of them have. Exports find_layout, may_call,
// why_unknown, needs_gpl, is_gpl_compatible.
#include "verify/context.h"

#include <algorithm>

#include "verify/context_fields.h"

namespace weir::verify {
namespace {

using ebpf::AttachType;
using ebpf::Helper;
using ebpf::ProgramType;

Layout buffer(Families family, PacketAccess packet) {
  return {.name = "struct __sk_buff", .fields = kBufferFields, .family = family, .packet = packet};
}
Layout flat(std::string_view name, std::uint32_t begin, std::uint32_t end) {
  return {.name = name, .family = kTracing, .flat_begin = begin, .flat_end = end};
}
Layout deciding(std::string_view name, std::span<const Field> fields, Families family) {
  return {.name = name, .fields = fields, .family = family, .greatest_result = 1};
}

Layout sock_layout(std::optional<AttachType> attach) {
  return deciding("struct bpf_sock", kSockFields,
                  attach == AttachType::kCgroupInet4PostBind   ? kPostBind4
                  : attach == AttachType::kCgroupInet6PostBind ? kPostBind6
                                                               : kSockCreate);
}

Layout address_layout(std::optional<AttachType> attach) {
  Layout layout = deciding("struct bpf_sock_addr", kAddressFields, kAddress);
  if (!attach) return layout;
  switch (*attach) {
    case AttachType::kCgroupInet4Bind: layout.greatest_result = 3; [[fallthrough]];
    case AttachType::kCgroupInet4Connect: layout.family |= kAddress4; break;
    case AttachType::kCgroupInet6Bind: layout.greatest_result = 3; [[fallthrough]];
    case AttachType::kCgroupInet6Connect: layout.family |= kAddress6; break;
    case AttachType::kCgroupUdp4Sendmsg: layout.family |= kAddress4 | kSend4; break;
    case AttachType::kCgroupUdp6Sendmsg: layout.family |= kAddress6 | kSend6; break;
    case AttachType::kCgroupUdp4Recvmsg:
    case AttachType::kCgroupInet4Getpeername:
    case AttachType::kCgroupInet4Getsockname:
      layout.family |= kAddress4;
      layout.least_result = 1;
      break;
    case AttachType::kCgroupUdp6Recvmsg:
    case AttachType::kCgroupInet6Getpeername:
    case AttachType::kCgroupInet6Getsockname:
      layout.family |= kAddress6;
      layout.least_result = 1;
      break;
    case AttachType::kCgroupUnixRecvmsg:
    case AttachType::kCgroupUnixGetpeername:
    case AttachType::kCgroupUnixGetsockname: layout.least_result = 1; break;
    default: break;
  }
  return layout;
}

Layout option_layout(std::optional<AttachType> attach) {
  Layout layout = deciding("struct bpf_sockopt", kOptionFields,
                           kOption | (attach == AttachType::kCgroupGetsockopt   ? kGetOption
                                      : attach == AttachType::kCgroupSetsockopt ? kSetOption
                                                                                : 0));
  layout.packet = PacketAccess::kWrite;
  return layout;
}

// Helpers that only some programs have, or that some lack; all others are for everybody. Source: the *_func_proto
// functions of net/core/filter.c and kernel/trace/bpf_trace.c.
struct Reserved {
  Helper helper;
  Families families;
};
constexpr Families kLoaders = kSocket | kTc | kCgroup | kSkSkb | kLwtAny | kDissector | kReuseport;
constexpr Reserved kReserved[] = {
    {Helper::kSkbStoreBytes, kTc | kSkSkb | kLwtXmit},
    {Helper::kL3CsumReplace, kTc | kLwtXmit},
    {Helper::kL4CsumReplace, kTc | kLwtXmit},
    {Helper::kRedirect, kTc | kXdpFamily | kLwtXmit},
    {Helper::kCsumDiff, kTc | kXdpFamily | kLwtAny},
    {Helper::kSkbLoadBytes, kLoaders},
    {Helper::kXdpAdjustHead, kXdpFamily},
    {Helper::kXdpAdjustTail, kXdpFamily},
    {Helper::kXdpGetBuffLen, kXdpFamily},
    {Helper::kProbeRead, kTracing},
    {Helper::kPerfEventOutput, kAll & ~(kDissector | kReuseport | kNetfilter)},
    {Helper::kKtimeGetCoarseNs, kAll & ~(kDevice | kTracing | kOption | kGetOption | kSetOption | kNetfilter)},
};

}  // namespace

std::optional<Layout> find_layout(ProgramType type, std::optional<AttachType> attach) {
  switch (type) {
    case ProgramType::kSocketFilter: {
      Layout layout = buffer(kSocket, PacketAccess::kNone);
      layout.packet_loads = true;
      return layout;
    }
    case ProgramType::kSchedCls:
    case ProgramType::kSchedAct: {
      Layout layout = buffer(kTc, PacketAccess::kWrite);
      layout.packet_loads = true;
      return layout;
    }
    case ProgramType::kCgroupSkb: {
      Layout layout = buffer(kCgroup, PacketAccess::kRead);
      layout.greatest_result = attach == AttachType::kCgroupInetEgress ? 3 : 1;
      return layout;
    }
    case ProgramType::kSkSkb: return buffer(kSkSkb, PacketAccess::kWrite);
    case ProgramType::kLwtIn:
    case ProgramType::kLwtOut: return buffer(kLwt, PacketAccess::kRead);
    case ProgramType::kLwtXmit: return buffer(kLwtXmit, PacketAccess::kWrite);
    case ProgramType::kLwtSeg6local: return buffer(kLwtSegment, PacketAccess::kRead);
    case ProgramType::kFlowDissector: return buffer(kDissector, PacketAccess::kRead);
    case ProgramType::kXdp:
      return Layout{
          .name = "struct xdp_md", .fields = kXdpFields, .family = kXdpFamily, .packet = PacketAccess::kWrite};
    case ProgramType::kCgroupDevice: return deciding("struct bpf_cgroup_dev_ctx", kDeviceFields, kDevice);
    case ProgramType::kCgroupSock: return sock_layout(attach);
    case ProgramType::kCgroupSockAddr: return address_layout(attach);
    case ProgramType::kSockOps: {
      Layout layout = deciding("struct bpf_sock_ops", kSockOpsFields, kSockOps);
      layout.packet = PacketAccess::kRead;
      return layout;
    }
    case ProgramType::kSkMsg:
      return Layout{
          .name = "struct sk_msg_md", .fields = kMessageFields, .family = kSkMsg, .packet = PacketAccess::kWrite};
    case ProgramType::kSkReuseport:
      return Layout{.name = "struct sk_reuseport_md",
                    .fields = kReuseportFields,
                    .family = kReuseport,
                    .packet = PacketAccess::kRead};
    case ProgramType::kSkLookup: return deciding("struct bpf_sk_lookup", kLookupFields, kLookup);
    case ProgramType::kCgroupSysctl: return deciding("struct bpf_sysctl", kSysctlFields, kSysctl);
    case ProgramType::kCgroupSockopt: return option_layout(attach);
    case ProgramType::kNetfilter: return deciding("struct bpf_nf_ctx", kNetfilterFields, kNetfilter);
    case ProgramType::kKprobe: return flat("struct pt_regs", 0, kRegistersSize);
    // The first 8 bytes of a trace record belong to the kernel.
    case ProgramType::kTracepoint: return flat("the tracepoint's record", 8, 8192);
    case ProgramType::kRawTracepoint: return flat("struct bpf_raw_tracepoint_args", 0, 12 * 8);
    // The first word is a pointer to the buffer that may be written, which is not followed here.
    case ProgramType::kRawTracepointWritable: return flat("struct bpf_raw_tracepoint_args", 8, 12 * 8);
    case ProgramType::kPerfEvent:
      return Layout{.name = "struct bpf_perf_event_data", .fields = kPerfFields, .family = kTracing};
    default: return std::nullopt;
  }
}

bool may_call(const Layout& layout, std::int32_t helper) {
  for (const Reserved& row : kReserved)
    if (static_cast<std::int32_t>(row.helper) == helper) return (row.families & layout.family) != 0;
  return true;
}

std::string_view why_unknown(std::int32_t helper) {
  switch (static_cast<Helper>(helper)) {
    case Helper::kSpinLock:
    case Helper::kSpinUnlock: return "locks (bpf_spin_lock) are not followed here";
    case Helper::kTimerInit:
    case Helper::kTimerSetCallback:
    case Helper::kTimerStart:
    case Helper::kTimerCancel: return "timers are not followed here";
    case Helper::kSkLookupTcp:
    case Helper::kSkLookupUdp:
    case Helper::kSkRelease:
    case Helper::kSkcLookupTcp:
    case Helper::kSkFullsock:
    case Helper::kTcpSock:
    case Helper::kGetListenerSock:
    case Helper::kSkAssign: return "references to sockets are not followed here";
    case Helper::kFindVma:
    case Helper::kUserRingbufDrain: return "calls back into the program are not followed here";
    case Helper::kDynptrFromMem:
    case Helper::kDynptrRead:
    case Helper::kDynptrWrite:
    case Helper::kDynptrData:
    case Helper::kRingbufReserveDynptr:
    case Helper::kRingbufSubmitDynptr:
    case Helper::kRingbufDiscardDynptr: return "dynamic pointers are not followed here";
    case Helper::kKptrXchg: return "pointers of the kernel's within map values are not followed here";
    default: return "";
  }
}

// Of those that exist here. Source: gpl_only in the kernel's struct bpf_func_proto.
bool needs_gpl(std::int32_t helper) {
  constexpr Helper kForGpl[] = {Helper::kProbeRead, Helper::kProbeReadKernel, Helper::kTracePrintk,
                                Helper::kPerfEventOutput};
  return std::any_of(std::begin(kForGpl), std::end(kForGpl),
                     [&](Helper each) { return static_cast<std::int32_t>(each) == helper; });
}

// Source: <linux/license.h>, license_is_gpl_compatible.
bool is_gpl_compatible(std::string_view license) {
  constexpr std::string_view kCompatible[] = {"GPL",          "GPL v2",       "GPL and additional rights",
                                              "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::find(std::begin(kCompatible), std::end(kCompatible), license) != std::end(kCompatible);
}

}  // namespace weir::verify
