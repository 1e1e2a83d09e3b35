// Where programs run. Exports placements.
//
// Each kind of place has a list of its own: rtnetlink tells XDP programs with the interfaces and tc's filters behind
// each queueing discipline; BPF_PROG_QUERY tells those of an interface's tcx, of a control group, of a network
// namespace and of a sockmap. Control groups are the folders of the mounted hierarchies. Links are matched by program
// and place. Source: net/core/rtnetlink.c, rtnl_xdp_fill; net/sched/cls_bpf.c, cls_bpf_dump; kernel/bpf/syscall.c,
// bpf_prog_query.
#include <weir/kernel/placement.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <cstring>

#include <weir/kernel/ebpf.h>

#include "kernel/disciplines.h"
#include "kernel/mounts.h"
#include "kernel/netlink.h"

namespace weir::kernel {
namespace {

using ebpf::AttachType;
using netlink::each_attribute;
using netlink::Message;

std::uint32_t word_of(ByteSpan bytes) {
  return bytes.size() < 4 ? 0 : load<std::uint32_t>(bytes.data(), std::endian::native);
}

// The XDP programs, and the indexes of all interfaces.
Status ask_interfaces(std::vector<Placement>& out, std::vector<std::uint32_t>& interfaces) {
  Message message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, ifinfomsg{});
  return netlink::dump(message, "list the interfaces", [&](ByteSpan body) {
    if (body.size() < sizeof(ifinfomsg)) return;
    ifinfomsg fixed;
    std::memcpy(&fixed, body.data(), sizeof fixed);
    const auto interface = static_cast<std::uint32_t>(fixed.ifi_index);
    interfaces.push_back(interface);
    each_attribute(body.subspan(sizeof fixed), [&](std::uint16_t kind, ByteSpan bytes) {
      if (kind != IFLA_XDP) return false;
      each_attribute(bytes, [&](std::uint16_t inner, ByteSpan value) {
        const char* const mode = inner == IFLA_XDP_SKB_PROG_ID   ? "xdp_generic"
                                 : inner == IFLA_XDP_DRV_PROG_ID ? "xdp_driver"
                                 : inner == IFLA_XDP_HW_PROG_ID  ? "xdp_hardware"
                                                                 : nullptr;
        if (mode != nullptr && word_of(value) != 0)
          out.push_back({.program = word_of(value), .kind = mode, .interface_index = interface});
        return false;
      });
      return true;
    });
  });
}

// A queueing discipline's filters of kind bpf.
void ask_filters(std::uint32_t interface, std::uint32_t parent, const char* kind, std::vector<Placement>& out) {
  tcmsg fixed{};
  fixed.tcm_ifindex = static_cast<int>(interface);
  fixed.tcm_parent = parent;
  Message message(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP, fixed);
  (void)netlink::dump(message, "list tc filters", [&](ByteSpan body) {
    if (body.size() < sizeof(tcmsg)) return;
    tcmsg filter;
    std::memcpy(&filter, body.data(), sizeof filter);
    Placement place{.kind = kind,
                    .interface_index = interface,
                    .priority = filter.tcm_info >> 16u,
                    .handle = filter.tcm_handle,
                    .protocol = ntohs(static_cast<std::uint16_t>(filter.tcm_info))};
    bool bpf = false;
    each_attribute(body.subspan(sizeof filter), [&](std::uint16_t attribute, ByteSpan bytes) {
      if (attribute == TCA_KIND) bpf = bytes.size() == 4 && std::memcmp(bytes.data(), "bpf", 4) == 0;
      if (attribute == TCA_CHAIN) place.chain = word_of(bytes);
      if (attribute == TCA_OPTIONS && bpf)
        each_attribute(bytes, [&](std::uint16_t inner, ByteSpan value) {
          if (inner == TCA_BPF_ID) place.program = word_of(value);
          if (inner == TCA_BPF_FLAGS) place.direct_action = (word_of(value) & TCA_BPF_FLAG_ACT_DIRECT) != 0;
          return false;
        });
      return false;
    });
    if (place.program != 0) out.push_back(std::move(place));  // classic ones have no id
  });
}

void ask_tc(std::uint32_t wanted, std::vector<Placement>& out) {
  std::vector<Discipline> found;
  (void)queueing_disciplines(wanted, found);
  constexpr std::uint32_t kIngress = TC_H_MAKE(TC_H_CLSACT, std::uint32_t{TC_H_MIN_INGRESS});
  constexpr std::uint32_t kEgress = TC_H_MAKE(TC_H_CLSACT, std::uint32_t{TC_H_MIN_EGRESS});
  for (const Discipline& one : found) {
    if (one.kind == "clsact" || one.kind == "ingress") ask_filters(wanted, kIngress, "tc_ingress", out);
    else if (one.handle != 0) ask_filters(wanted, one.handle, "tc", out);
    if (one.kind == "clsact") ask_filters(wanted, kEgress, "tc_egress", out);
  }
}

// The programs of one place, as `like` but for program and kind.
void ask_place(std::uint32_t target, AttachType where, const Placement& like, std::vector<Placement>& out) {
  const Result<std::vector<std::uint32_t>> programs = attached_programs(target, where);
  if (!programs) return;
  for (const std::uint32_t program : *programs) {
    Placement place = like;
    place.program = program;
    place.kind = ebpf::name_of(where);
    out.push_back(std::move(place));
  }
}

void ask_group(const std::string& folder, unsigned depth, std::vector<Placement>& out) {
  constexpr unsigned kDeepest = 64;
  DIR* const directory = depth < kDeepest ? opendir(folder.c_str()) : nullptr;
  if (directory == nullptr) return;
  struct stat status {};
  if (fstat(dirfd(directory), &status) == 0)
    for (std::size_t i = 0; i < ebpf::attach_type_names().size(); ++i)
      if (const std::string_view name = ebpf::attach_type_names()[i];
          name.substr(0, 7) == "cgroup_" || name == "lsm_cgroup")
        ask_place(static_cast<std::uint32_t>(dirfd(directory)), static_cast<AttachType>(i),
                  {.group_id = status.st_ino, .group = folder}, out);
  std::vector<std::string> below;
  while (const dirent* entry = readdir(directory))
    if (const std::string name = entry->d_name; entry->d_type == DT_DIR && name != "." && name != "..")
      below.push_back(name);
  closedir(directory);
  std::sort(below.begin(), below.end());
  for (const std::string& name : below) ask_group(folder + "/" + name, depth + 1, out);
}

void ask_groups(std::vector<Placement>& out) {
  std::vector<dev_t> seen;
  for (const std::string& folder : mounts_of("cgroup2")) {
    struct stat status {};
    if (stat(folder.c_str(), &status) != 0 || std::find(seen.begin(), seen.end(), status.st_dev) != seen.end())
      continue;
    seen.push_back(status.st_dev);
    ask_group(folder, 0, out);
  }
}

void ask_sockmaps(std::vector<Placement>& out) {
  const Result<std::vector<std::uint32_t>> ids = map_ids();
  if (!ids) return;
  for (const std::uint32_t id : *ids) {
    const Result<Map> map = Map::open_id(id);
    if (!map) continue;
    const ebpf::MapType type = map->definition().type;
    if (type != ebpf::MapType::kSockmap && type != ebpf::MapType::kSockhash) continue;
    for (const AttachType where : {AttachType::kSkSkbStreamParser, AttachType::kSkSkbStreamVerdict,
                                   AttachType::kSkMsgVerdict, AttachType::kSkSkbVerdict})
      ask_place(static_cast<std::uint32_t>(map->descriptor()), where, {.map = id}, out);
  }
}

void name_links(std::vector<Placement>& places) {
  const Result<std::vector<std::uint32_t>> ids = link_ids();
  if (!ids) return;
  for (const std::uint32_t id : *ids) {
    const Result<Link> link = Link::open_id(id);
    const Result<LinkInfo> info = link ? link->info() : fail(link.error());
    if (!info) continue;
    const auto same = [&](const Placement& place) {
      if (place.link != 0 || place.program != info->program || place.group_id != info->cgroup ||
          place.interface_index != info->interface_index)
        return false;
      return info->type == "xdp" ? place.kind.rfind("xdp", 0) == 0 : place.kind == info->attach_type;
    };
    if (const auto place = std::find_if(places.begin(), places.end(), same); place != places.end()) place->link = id;
  }
}

}  // namespace

Result<std::vector<Placement>> placements() {
  std::vector<Placement> out;
  std::vector<std::uint32_t> interfaces;
  WEIR_CHECK(ask_interfaces(out, interfaces));
  for (const std::uint32_t interface : interfaces) {
    ask_tc(interface, out);
    for (const AttachType where :
         {AttachType::kTcxIngress, AttachType::kTcxEgress, AttachType::kNetkitPrimary, AttachType::kNetkitPeer})
      ask_place(interface, where, {.interface_index = interface}, out);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Placement& a, const Placement& b) { return a.interface_index < b.interface_index; });
  ask_groups(out);
  if (const FileDescriptor network(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); network)
    for (const AttachType where : {AttachType::kFlowDissector, AttachType::kSkLookup})
      ask_place(static_cast<std::uint32_t>(network.get()), where, {}, out);
  ask_sockmaps(out);
  name_links(out);
  return out;
}

}  // namespace weir::kernel
