// Kinds of programs and their contexts, and what else is behind pointers. Exports find_layout, socket_layout and those
// like it, why_unknown, is_gpl_compatible.
#include "verify/context.h"

#include <algorithm>
#include <array>

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
                  kResult | (attach == AttachType::kCgroupInet4PostBind   ? kPostBind4
                             : attach == AttachType::kCgroupInet6PostBind ? kPostBind6
                                                                          : kSockCreate));
}

Layout address_layout(std::optional<AttachType> attach) {
  Layout layout = deciding("struct bpf_sock_addr", kAddressFields, kAddress);
  if (!attach) return layout;
  switch (*attach) {
    case AttachType::kCgroupInet4Bind:
      layout.family |= kAddress4 | kResult;
      layout.greatest_result = 3;
      break;
    case AttachType::kCgroupInet6Bind:
      layout.family |= kAddress6 | kResult;
      layout.greatest_result = 3;
      break;
    case AttachType::kCgroupInet4Connect: layout.family |= kAddress4 | kConnect | kResult; break;
    case AttachType::kCgroupInet6Connect: layout.family |= kAddress6 | kConnect | kResult; break;
    case AttachType::kCgroupUdp4Sendmsg: layout.family |= kAddress4 | kSend4 | kResult; break;
    case AttachType::kCgroupUdp6Sendmsg: layout.family |= kAddress6 | kSend6 | kResult; break;
    case AttachType::kCgroupUnixConnect:
    case AttachType::kCgroupUnixSendmsg: layout.family |= kResult; break;
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
                           kOption | kResult |
                               (attach == AttachType::kCgroupGetsockopt   ? kGetOption
                                : attach == AttachType::kCgroupSetsockopt ? kSetOption
                                                                          : 0));
  layout.packet = PacketAccess::kWrite;
  return layout;
}

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
    case ProgramType::kLwtIn: return buffer(kLwt | kLwtIn, PacketAccess::kRead);
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
    case ProgramType::kKprobe: {
      Layout layout = flat("struct pt_regs", 0, kRegistersSize);
      layout.family |= kProbe;
      return layout;
    }
    // The first 8 bytes of a trace record belong to the kernel.
    case ProgramType::kTracepoint: return flat("the tracepoint's record", 8, 8192);
    case ProgramType::kRawTracepoint: return flat("struct bpf_raw_tracepoint_args", 0, 12 * 8);
    // The first word is a pointer to the buffer that may be written, which is not followed here.
    case ProgramType::kRawTracepointWritable: return flat("struct bpf_raw_tracepoint_args", 8, 12 * 8);
    case ProgramType::kPerfEvent:
      return Layout{.name = "struct bpf_perf_event_data", .fields = kPerfFields, .family = kTracing | kPerf};
    default: return std::nullopt;
  }
}

const Layout& socket_layout() {
  static const Layout layout{.name = "struct bpf_sock", .fields = kSockFields, .family = kAnySocket};
  return layout;
}

const Layout& common_socket_layout() {
  static constexpr auto kFields = [] {
    std::array<Field, std::size(kSockFields)> fields{};
    for (std::size_t i = 0; i < fields.size(); ++i) {
      fields[i] = kSockFields[i];
      if (fields[i].offset >= offsetof(bpf_sock, type) && fields[i].offset <= offsetof(bpf_sock, priority))
        fields[i].readers = 0;
    }
    return fields;
  }();
  static const Layout layout{
      .name = "struct bpf_sock of a socket that may be no full one", .fields = kFields, .family = kAnySocket};
  return layout;
}

const Layout& tcp_socket_layout() {
  static const Layout layout{.name = "struct bpf_tcp_sock", .fields = kTcpFields, .family = kAll};
  return layout;
}

std::string_view why_unknown(std::int32_t helper) {
  switch (static_cast<Helper>(helper)) {
    case Helper::kSpinLock:
    case Helper::kSpinUnlock: return "locks (bpf_spin_lock) are not followed here";
    case Helper::kTimerInit:
    case Helper::kTimerSetCallback:
    case Helper::kTimerStart:
    case Helper::kTimerCancel: return "timers are not followed here";
    case Helper::kFindVma:
    case Helper::kUserRingbufDrain: return "calls back into the program are not followed here";
    case Helper::kDynptrFromMem:
    case Helper::kDynptrRead:
    case Helper::kDynptrWrite:
    case Helper::kDynptrData:
    case Helper::kRingbufReserveDynptr:
    case Helper::kRingbufSubmitDynptr:
    case Helper::kRingbufDiscardDynptr: return "dynamic pointers are not followed here";
    case Helper::kCopyFromUser:
    case Helper::kCopyFromUserTask: return "it is for programs that may sleep, which are not told apart here";
    case Helper::kGetCurrentTaskBtf:
    case Helper::kTaskPtRegs:
    case Helper::kTaskStorageGet:
    case Helper::kTaskStorageDelete:
    case Helper::kInodeStorageGet:
    case Helper::kInodeStorageDelete:
    case Helper::kCgrpStorageGet:
    case Helper::kCgrpStorageDelete:
    case Helper::kGetTaskStack:
    case Helper::kPerCpuPtr:
    case Helper::kThisCpuPtr:
    case Helper::kSkcToTcp6Sock:
    case Helper::kSkcToTcpSock:
    case Helper::kSkcToTcpTimewaitSock:
    case Helper::kSkcToTcpRequestSock:
    case Helper::kSkcToUdp6Sock:
    case Helper::kSkcToUnixSock:
    case Helper::kSkcToMptcpSock: return "structures of the kernel's own are not followed here";
    case Helper::kKptrXchg: return "pointers of the kernel's within map values are not followed here";
    default: return "";
  }
}

// Source: <linux/license.h>, license_is_gpl_compatible.
bool is_gpl_compatible(std::string_view license) {
  constexpr std::string_view kCompatible[] = {"GPL",          "GPL v2",       "GPL and additional rights",
                                              "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::find(std::begin(kCompatible), std::end(kCompatible), license) != std::end(kCompatible);
}

}  // namespace weir::verify
