// What the names of sections mean. Exports meaning_of, section_of, is_variables_name. Source: libbpf's documentation,
// "Program Types and ELF Sections".
#include <weir/object/object.h>

#include <algorithm>

#include <fmt/format.h>

#include "object/linker.h"

namespace weir::object {
namespace {

using ebpf::AttachType;
using ebpf::ProgramType;

struct Row {
  std::string_view prefix;  // the whole name, or up to a '/' or a '.'
  ProgramType type;
  std::optional<AttachType> attach{};
};

constexpr Row kRows[] = {
    {"socket", ProgramType::kSocketFilter},
    {"sk_reuseport/migrate", ProgramType::kSkReuseport, AttachType::kSkReuseportSelectOrMigrate},
    {"sk_reuseport", ProgramType::kSkReuseport, AttachType::kSkReuseportSelect},
    {"kprobe.multi", ProgramType::kKprobe, AttachType::kTraceKprobeMulti},
    {"kretprobe.multi", ProgramType::kKprobe, AttachType::kTraceKprobeMulti},
    {"kprobe", ProgramType::kKprobe},
    {"kretprobe", ProgramType::kKprobe},
    {"ksyscall", ProgramType::kKprobe},
    {"kretsyscall", ProgramType::kKprobe},
    {"uprobe", ProgramType::kKprobe},
    {"uretprobe", ProgramType::kKprobe},
    {"usdt", ProgramType::kKprobe},
    {"tcx/ingress", ProgramType::kSchedCls, AttachType::kTcxIngress},
    {"tcx/egress", ProgramType::kSchedCls, AttachType::kTcxEgress},
    {"tc", ProgramType::kSchedCls},
    {"tc/ingress", ProgramType::kSchedCls},
    {"tc/egress", ProgramType::kSchedCls},
    {"classifier", ProgramType::kSchedCls},
    {"action", ProgramType::kSchedAct},
    {"tracepoint", ProgramType::kTracepoint},
    {"tp", ProgramType::kTracepoint},
    {"raw_tracepoint.w", ProgramType::kRawTracepointWritable},
    {"raw_tp.w", ProgramType::kRawTracepointWritable},
    {"raw_tracepoint", ProgramType::kRawTracepoint},
    {"raw_tp", ProgramType::kRawTracepoint},
    {"tp_btf", ProgramType::kTracing, AttachType::kTraceRawTp},
    {"fentry", ProgramType::kTracing, AttachType::kTraceFentry},
    {"fexit", ProgramType::kTracing, AttachType::kTraceFexit},
    {"fmod_ret", ProgramType::kTracing, AttachType::kModifyReturn},
    {"freplace", ProgramType::kExt},
    {"lsm_cgroup", ProgramType::kLsm, AttachType::kLsmCgroup},
    {"lsm", ProgramType::kLsm, AttachType::kLsmMac},
    {"iter", ProgramType::kTracing, AttachType::kTraceIter},
    {"syscall", ProgramType::kSyscall},
    {"xdp/devmap", ProgramType::kXdp, AttachType::kXdpDevmap},
    {"xdp/cpumap", ProgramType::kXdp, AttachType::kXdpCpumap},
    {"xdp", ProgramType::kXdp, AttachType::kXdp},
    {"perf_event", ProgramType::kPerfEvent},
    {"lwt_in", ProgramType::kLwtIn},
    {"lwt_out", ProgramType::kLwtOut},
    {"lwt_xmit", ProgramType::kLwtXmit},
    {"lwt_seg6local", ProgramType::kLwtSeg6local},
    {"sockops", ProgramType::kSockOps, AttachType::kCgroupSockOps},
    {"sk_skb/stream_parser", ProgramType::kSkSkb, AttachType::kSkSkbStreamParser},
    {"sk_skb/stream_verdict", ProgramType::kSkSkb, AttachType::kSkSkbStreamVerdict},
    {"sk_skb", ProgramType::kSkSkb},
    {"sk_msg", ProgramType::kSkMsg, AttachType::kSkMsgVerdict},
    {"lirc_mode2", ProgramType::kLircMode2, AttachType::kLircMode2},
    {"flow_dissector", ProgramType::kFlowDissector, AttachType::kFlowDissector},
    {"cgroup_skb/ingress", ProgramType::kCgroupSkb, AttachType::kCgroupInetIngress},
    {"cgroup_skb/egress", ProgramType::kCgroupSkb, AttachType::kCgroupInetEgress},
    {"cgroup/skb", ProgramType::kCgroupSkb},
    {"cgroup/sock_create", ProgramType::kCgroupSock, AttachType::kCgroupInetSockCreate},
    {"cgroup/sock_release", ProgramType::kCgroupSock, AttachType::kCgroupInetSockRelease},
    {"cgroup/sock", ProgramType::kCgroupSock, AttachType::kCgroupInetSockCreate},
    {"cgroup/post_bind4", ProgramType::kCgroupSock, AttachType::kCgroupInet4PostBind},
    {"cgroup/post_bind6", ProgramType::kCgroupSock, AttachType::kCgroupInet6PostBind},
    {"cgroup/bind4", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet4Bind},
    {"cgroup/bind6", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet6Bind},
    {"cgroup/connect4", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet4Connect},
    {"cgroup/connect6", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet6Connect},
    {"cgroup/sendmsg4", ProgramType::kCgroupSockAddr, AttachType::kCgroupUdp4Sendmsg},
    {"cgroup/sendmsg6", ProgramType::kCgroupSockAddr, AttachType::kCgroupUdp6Sendmsg},
    {"cgroup/recvmsg4", ProgramType::kCgroupSockAddr, AttachType::kCgroupUdp4Recvmsg},
    {"cgroup/recvmsg6", ProgramType::kCgroupSockAddr, AttachType::kCgroupUdp6Recvmsg},
    {"cgroup/getpeername4", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet4Getpeername},
    {"cgroup/getpeername6", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet6Getpeername},
    {"cgroup/getsockname4", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet4Getsockname},
    {"cgroup/getsockname6", ProgramType::kCgroupSockAddr, AttachType::kCgroupInet6Getsockname},
    {"cgroup/sysctl", ProgramType::kCgroupSysctl, AttachType::kCgroupSysctl},
    {"cgroup/getsockopt", ProgramType::kCgroupSockopt, AttachType::kCgroupGetsockopt},
    {"cgroup/setsockopt", ProgramType::kCgroupSockopt, AttachType::kCgroupSetsockopt},
    {"cgroup/dev", ProgramType::kCgroupDevice, AttachType::kCgroupDevice},
    {"struct_ops", ProgramType::kStructOps},
    {"sk_lookup", ProgramType::kSkLookup, AttachType::kSkLookup},
    {"netfilter", ProgramType::kNetfilter, AttachType::kNetfilter},
};

}  // namespace

// The longest prefix counts: "tp_btf" is no "tp".
SectionMeaning meaning_of(std::string_view section) {
  if (!section.empty() && section[0] == '?') section.remove_prefix(1);  // libbpf: not loaded by default
  const Row* best = nullptr;
  for (const Row& row : kRows) {
    if (section.substr(0, row.prefix.size()) != row.prefix) continue;
    const std::string_view rest = section.substr(row.prefix.size());
    const bool ends = rest.empty() || rest[0] == '/' || rest[0] == '.' || rest[0] == '+' || rest[0] == '_' ||
                      (rest[0] >= '0' && rest[0] <= '9');
    if (ends && (best == nullptr || row.prefix.size() > best->prefix.size())) best = &row;
  }
  return best == nullptr ? SectionMeaning{} : SectionMeaning{best->type, best->attach};
}

// Of the sections for the type, in order: the one for where the program attaches; else one that leaves that open, the
// only one that is not further divided, or the only one at all.
Result<std::string> section_of(const ebpf::Program& program) {
  if (program.type == ProgramType::kUnspec) return std::string("socket");
  std::vector<const Row*> rows;
  for (const Row& row : kRows)
    if (row.type == program.type) rows.push_back(&row);
  const auto only = [&rows](const auto& wanted) -> const Row* {
    const auto first = std::find_if(rows.begin(), rows.end(), wanted);
    if (first == rows.end()) return nullptr;
    const bool all =
        std::all_of(first, rows.end(), [&](const Row* row) { return !wanted(row) || row->attach == (*first)->attach; });
    return all ? *first : nullptr;
  };
  const Row* row = nullptr;
  if (program.has_attach_type) {
    row = only([&](const Row* each) { return each->attach == program.attach_type; });
  } else {
    row = only([](const Row* each) { return !each->attach; });
    if (row == nullptr) row = only([](const Row* each) { return each->prefix.find('/') == std::string_view::npos; });
    if (row == nullptr) row = only([](const Row*) { return true; });
  }
  if (row != nullptr) return std::string(row->prefix);
  std::string hint = program.has_attach_type || rows.empty() ? "" : "say where it attaches: '.attach PLACE'";
  const std::string type(ebpf::name_of(program.type));
  return fail(Error{.code = ErrorCode::kUnsupported,
                    .message = program.has_attach_type
                                   ? fmt::format("no section of an object says '{}' attached at '{}'", type,
                                                 ebpf::name_of(program.attach_type))
                                   : fmt::format("no section of an object says '{}'", type),
                    .hint = std::move(hint)});
}

bool is_variables_name(std::string_view name) {
  for (const std::string_view kind : {".data", ".rodata", ".bss"})
    if (name.substr(0, kind.size()) == kind && (name.size() == kind.size() || name[kind.size()] == '.')) return true;
  return false;
}

}  // namespace weir::object
