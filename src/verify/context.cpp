// Tables of contexts, and of helpers that only some kinds of programs have. Exports find_layout and may_call.
#include "verify/context.h"

#include <linux/bpf.h>

#include <cstddef>

namespace weir::verify {
namespace {

using ebpf::Helper;
using ebpf::ProgramType;

constexpr std::uint16_t kSocket = 1;  // socket filters
constexpr std::uint16_t kTc = 2;
constexpr std::uint16_t kCgroup = 4;
constexpr std::uint16_t kXdpFamily = 8;
constexpr std::uint16_t kDevice = 16;
constexpr std::uint16_t kTracing = 32;
constexpr std::uint16_t kSkb = kSocket | kTc | kCgroup;
constexpr std::uint16_t kAll = 0xffff;

#define WEIR_FIELD(type, member, whole, readers, writers)                                                            \
  Field {                                                                                                            \
#member, offsetof(type, member), sizeof(type::member), sizeof(type::member), FieldKind::kNumber, whole, readers, \
        writers                                                                                                      \
  }
#define WEIR_ARRAY(type, member, whole, readers, writers) \
  Field { #member, offsetof(type, member), sizeof(type::member), 4, FieldKind::kNumber, whole, readers, writers }
#define WEIR_POINTER(type, member, kind, readers) \
  Field { #member, offsetof(type, member), 4, 4, FieldKind::kind, true, readers, 0 }

constexpr Field kBufferFields[] = {
    WEIR_FIELD(__sk_buff, len, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, pkt_type, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, mark, false, kSkb, kTc | kCgroup),
    WEIR_FIELD(__sk_buff, queue_mapping, false, kSkb, kTc),
    WEIR_FIELD(__sk_buff, protocol, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, vlan_present, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, vlan_tci, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, vlan_proto, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, priority, false, kSkb, kTc | kCgroup),
    WEIR_FIELD(__sk_buff, ingress_ifindex, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, ifindex, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, tc_index, false, kSkb, kTc),
    WEIR_ARRAY(__sk_buff, cb, false, kSkb, kSkb),
    WEIR_FIELD(__sk_buff, hash, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, tc_classid, false, kTc, kTc),
    WEIR_POINTER(__sk_buff, data, kData, kTc | kCgroup),
    WEIR_POINTER(__sk_buff, data_end, kDataEnd, kTc | kCgroup),
    WEIR_FIELD(__sk_buff, napi_id, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, family, false, kCgroup, 0),
    WEIR_FIELD(__sk_buff, remote_ip4, true, kCgroup, 0),
    WEIR_FIELD(__sk_buff, local_ip4, true, kCgroup, 0),
    WEIR_ARRAY(__sk_buff, remote_ip6, true, kCgroup, 0),
    WEIR_ARRAY(__sk_buff, local_ip6, true, kCgroup, 0),
    WEIR_FIELD(__sk_buff, remote_port, false, kCgroup, 0),
    WEIR_FIELD(__sk_buff, local_port, false, kCgroup, 0),
    WEIR_POINTER(__sk_buff, data_meta, kDataMeta, kTc),
    WEIR_FIELD(__sk_buff, tstamp, true, kTc | kCgroup, kTc | kCgroup),
    WEIR_FIELD(__sk_buff, wire_len, false, kTc, 0),
    WEIR_FIELD(__sk_buff, gso_segs, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, gso_size, false, kSkb, 0),
    WEIR_FIELD(__sk_buff, tstamp_type, true, kTc, 0),
    WEIR_FIELD(__sk_buff, hwtstamp, true, kTc | kCgroup, 0),
};
constexpr Field kXdpFields[] = {
    WEIR_POINTER(xdp_md, data, kData, kAll),           WEIR_POINTER(xdp_md, data_end, kDataEnd, kAll),
    WEIR_POINTER(xdp_md, data_meta, kDataMeta, kAll),  WEIR_FIELD(xdp_md, ingress_ifindex, true, kAll, 0),
    WEIR_FIELD(xdp_md, rx_queue_index, true, kAll, 0),
};
constexpr Field kDeviceFields[] = {
    WEIR_FIELD(bpf_cgroup_dev_ctx, access_type, false, kAll, 0),
    WEIR_FIELD(bpf_cgroup_dev_ctx, major, true, kAll, 0),
    WEIR_FIELD(bpf_cgroup_dev_ctx, minor, true, kAll, 0),
};

#if defined(__aarch64__)
constexpr std::uint32_t kRegistersSize = 272;  // struct user_pt_regs
#else
constexpr std::uint32_t kRegistersSize = 168;  // struct pt_regs of x86-64
#endif

constexpr Layout kSocketLayout{
    .name = "struct __sk_buff", .fields = kBufferFields, .family = kSocket, .packet_loads = true};
constexpr Layout kTcLayout{
    .name = "struct __sk_buff", .fields = kBufferFields, .family = kTc, .packet_loads = true, .packet_writable = true};
constexpr Layout kCgroupLayout{
    .name = "struct __sk_buff", .fields = kBufferFields, .family = kCgroup, .greatest_result = 3, .packet_loads = true};
constexpr Layout kXdpLayout{
    .name = "struct xdp_md", .fields = kXdpFields, .family = kXdpFamily, .packet_writable = true};
constexpr Layout kDeviceLayout{
    .name = "struct bpf_cgroup_dev_ctx", .fields = kDeviceFields, .family = kDevice, .greatest_result = 1};
constexpr Layout kProbeLayout{.name = "struct pt_regs", .family = kTracing, .flat_end = kRegistersSize};
// The first 8 bytes of a trace record belong to the kernel.
constexpr Layout kTracepointLayout{
    .name = "the tracepoint's record", .family = kTracing, .flat_begin = 8, .flat_end = 8192};
constexpr Layout kRawTracepointLayout{.name = "struct bpf_raw_tracepoint_args", .family = kTracing, .flat_end = 12 * 8};
constexpr Layout kPerfLayout{.name = "struct bpf_perf_event_data", .family = kTracing, .flat_end = kRegistersSize + 16};

// Helpers that only some programs have; all others are for everybody. Source: the *_func_proto functions of
// net/core/filter.c and kernel/trace/bpf_trace.c.
struct Reserved {
  Helper helper;
  std::uint16_t families;
};
constexpr Reserved kReserved[] = {
    {Helper::kSkbStoreBytes, kTc},         {Helper::kL3CsumReplace, kTc},         {Helper::kL4CsumReplace, kTc},
    {Helper::kRedirect, kTc | kXdpFamily}, {Helper::kCsumDiff, kTc | kXdpFamily}, {Helper::kSkbLoadBytes, kSkb},
    {Helper::kXdpAdjustHead, kXdpFamily},  {Helper::kXdpAdjustTail, kXdpFamily},  {Helper::kXdpGetBuffLen, kXdpFamily},
    {Helper::kProbeRead, kTracing},
};

}  // namespace

const Layout* find_layout(ProgramType type) {
  switch (type) {
    case ProgramType::kSocketFilter: return &kSocketLayout;
    case ProgramType::kSchedCls:
    case ProgramType::kSchedAct: return &kTcLayout;
    case ProgramType::kCgroupSkb: return &kCgroupLayout;
    case ProgramType::kXdp: return &kXdpLayout;
    case ProgramType::kCgroupDevice: return &kDeviceLayout;
    case ProgramType::kKprobe: return &kProbeLayout;
    case ProgramType::kTracepoint: return &kTracepointLayout;
    case ProgramType::kRawTracepoint:
    case ProgramType::kRawTracepointWritable: return &kRawTracepointLayout;
    case ProgramType::kPerfEvent: return &kPerfLayout;
    default: return nullptr;
  }
}

bool may_call(ProgramType type, std::int32_t helper) {
  const Layout* layout = find_layout(type);
  if (layout == nullptr) return true;
  for (const Reserved& row : kReserved)
    if (static_cast<std::int32_t>(row.helper) == helper) return (row.families & layout->family) != 0;
  return true;
}

}  // namespace weir::verify
