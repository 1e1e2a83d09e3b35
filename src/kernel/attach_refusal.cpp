// What places want of programs, to say in words why the kernel refused one. Exports explain_attach, explain_tc,
// explain_socket, explain_raw_tracepoint.
//
// The kernel answers EINVAL whether the interface is not there, the program is of another type or was loaded for
// another place. After a refusal these are looked at in turn. Source: kernel/bpf/syscall.c, attach_type_to_prog_type
// and bpf_prog_attach_check_attach_type; kernel/bpf/tcx.c, net/core/dev.c.
#include "kernel/attach_refusal.h"

#include <net/if.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include <fmt/format.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

using A = ebpf::AttachType;
using P = ebpf::ProgramType;

// Types of programs that can be there; empty: not known.
std::vector<P> types_for(A where) {
  switch (where) {
    case A::kCgroupInetIngress:
    case A::kCgroupInetEgress: return {P::kCgroupSkb};
    case A::kCgroupInetSockCreate:
    case A::kCgroupInetSockRelease:
    case A::kCgroupInet4PostBind:
    case A::kCgroupInet6PostBind: return {P::kCgroupSock};
    case A::kCgroupSockOps: return {P::kSockOps};
    case A::kCgroupDevice: return {P::kCgroupDevice};
    case A::kCgroupSysctl: return {P::kCgroupSysctl};
    case A::kCgroupGetsockopt:
    case A::kCgroupSetsockopt: return {P::kCgroupSockopt};
    case A::kCgroupInet4Bind:
    case A::kCgroupInet6Bind:
    case A::kCgroupInet4Connect:
    case A::kCgroupInet6Connect:
    case A::kCgroupUnixConnect:
    case A::kCgroupUdp4Sendmsg:
    case A::kCgroupUdp6Sendmsg:
    case A::kCgroupUnixSendmsg:
    case A::kCgroupUdp4Recvmsg:
    case A::kCgroupUdp6Recvmsg:
    case A::kCgroupUnixRecvmsg:
    case A::kCgroupInet4Getpeername:
    case A::kCgroupInet6Getpeername:
    case A::kCgroupUnixGetpeername:
    case A::kCgroupInet4Getsockname:
    case A::kCgroupInet6Getsockname:
    case A::kCgroupUnixGetsockname: return {P::kCgroupSockAddr};
    case A::kSkMsgVerdict: return {P::kSkMsg};
    case A::kSkSkbStreamParser:
    case A::kSkSkbStreamVerdict:
    case A::kSkSkbVerdict: return {P::kSkSkb};
    case A::kXdp: return {P::kXdp};
    case A::kTcxIngress:
    case A::kTcxEgress:
    case A::kNetkitPrimary:
    case A::kNetkitPeer: return {P::kSchedCls};
    case A::kPerfEvent: return {P::kTracepoint, P::kKprobe, P::kPerfEvent};
    case A::kFlowDissector: return {P::kFlowDissector};
    case A::kSkLookup: return {P::kSkLookup};
    case A::kNetfilter: return {P::kNetfilter};
    case A::kLircMode2: return {P::kLircMode2};
    case A::kLsmCgroup: return {P::kLsm};
    default: return {};
  }
}

// Programs of these types are loaded for one place each.
bool is_loaded_for_a_place(P type) {
  return type == P::kCgroupSockAddr || type == P::kCgroupSock || type == P::kCgroupSockopt || type == P::kSkLookup;
}

bool is_on_interface(A where) {
  return where == A::kXdp || where == A::kTcxIngress || where == A::kTcxEgress || where == A::kNetkitPrimary ||
         where == A::kNetkitPeer;
}

bool has_interface(std::uint32_t index) {
  char name[IF_NAMESIZE] = {};
  return if_indextoname(index, name) != nullptr;
}

// "programs of type xdp are not attached at tcx_ingress, which takes sched_cls"; empty where they are.
std::string type_cause(const Program& program, std::string_view place, const std::vector<P>& wanted) {
  const Result<ProgramInfo> info = program.info();
  if (!info || wanted.empty() || std::find(wanted.begin(), wanted.end(), info->type) != wanted.end()) return {};
  std::vector<std::string> names;
  for (const P type : wanted) names.push_back(ebpf::name_of(type));
  return fmt::format("programs of type {} are not attached at {}, which takes {}", ebpf::name_of(info->type), place,
                     fmt::join(names, ", "));
}

std::string cause_of(const Error& error, const Program& program, std::uint32_t target, A where) {
  const std::string place = ebpf::name_of(where);
  if (is_on_interface(where) && !has_interface(target))
    return fmt::format("this network namespace has no interface with the index {}", target);
  const std::vector<P> wanted = types_for(where);
  if (std::string cause = type_cause(program, place, wanted); !cause.empty()) return cause;
  if (place.rfind("cgroup_", 0) == 0) {
    struct statfs system {};
    if (fstatfs(static_cast<int>(target), &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC)
      return "the descriptor is not that of a control group (version 2)";
    if (error.system_error == EPERM) return "a program of this group, or of one above it, allows no other beside it";
  }
  if (error.system_error == EINVAL && wanted.size() == 1 && is_loaded_for_a_place(wanted.front()))
    return fmt::format("it must have been loaded for {} (its expected attach type)", place);
  if (error.system_error == EBUSY && where == A::kXdp) return "another program is there";
  return {};
}

}  // namespace

Error explain_attach(Error error, const Program& program, std::uint32_t target, A where) {
  if (error.system_error == EPERM && geteuid() != 0) return error;
  if (std::string cause = cause_of(error, program, target, where); !cause.empty()) error.hint = std::move(cause);
  return error;
}

namespace {
Error with_type(Error error, const Program& program, std::string_view place, const std::vector<P>& wanted) {
  if (error.system_error != EINVAL) return error;
  if (std::string cause = type_cause(program, place, wanted); !cause.empty()) error.hint = std::move(cause);
  return error;
}
}  // namespace

Error explain_tc(Error error, const Program& program) {
  return with_type(std::move(error), program, "a filter of tc", {P::kSchedCls});
}
Error explain_socket(Error error, const Program& program) {
  return with_type(std::move(error), program, "a socket", {P::kSocketFilter});
}
Error explain_raw_tracepoint(Error error, const Program& program) {
  return with_type(std::move(error), program, "a raw tracepoint",
                   {P::kRawTracepoint, P::kRawTracepointWritable, P::kTracing, P::kLsm, P::kExt});
}

}  // namespace weir::kernel
