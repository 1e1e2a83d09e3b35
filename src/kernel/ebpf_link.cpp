// Links. Exports Link. Source: bpf(2); kernel/bpf/syscall.c, link_create; perf_event_open(2).
//
// What a link tells about itself is read as words, since the headers that weir is compiled with may be older than the
// kernel: type, id and program come first, then at byte 16 what the kind of link has to say.
#include <weir/kernel/link.h>

#include <linux/perf_event.h>
#include <sys/ioctl.h>

#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "kernel/attach_refusal.h"
#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

constexpr std::string_view kLinkTypes[] = {
    "unspec",       "raw_tracepoint", "tracing",   "cgroup", "iter",         "netns",  "xdp",    "perf_event",
    "kprobe_multi", "struct_ops",     "netfilter", "tcx",    "uprobe_multi", "netkit", "sockmap"};

struct RawLinkInfo {
  std::uint32_t type;
  std::uint32_t id;
  std::uint32_t program;
  std::uint32_t unused;
  union {
    std::uint32_t words[16];
    std::uint64_t longs[8];
  };
};

Result<std::uint64_t> tracepoint_number(const std::string& category, const std::string& name) {
  for (const std::string& part : {category, name})
    if (part.empty() || part.find('/') != std::string::npos || part[0] == '.')
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("'{}' is no part of a tracepoint's name", part),
                        .hint = "write it as CATEGORY:NAME, such as syscalls:sys_enter_openat"});
  bool mounted = false;
  for (const char* const root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    std::uint64_t number = 0;
    if (std::ifstream(fmt::format("{}/events/{}/{}/id", root, category, name)) >> number) return number;
    mounted = mounted || std::ifstream(fmt::format("{}/events/enable", root)).good();
  }
  if (mounted)
    return fail(Error{.message = fmt::format("there is no tracepoint {}:{}", category, name),
                      .hint = fmt::format("those that there are: ls /sys/kernel/tracing/events/{}", category)});
  return fail(Error{.code = ErrorCode::kUnsupported,
                    .message = "tracepoints cannot be looked up",
                    .hint = "as root: mount -t tracefs tracefs /sys/kernel/tracing"});
}

Result<FileDescriptor> open_event(std::uint64_t number) {
  perf_event_attr event{};
  event.type = PERF_TYPE_TRACEPOINT;
  event.size = sizeof event;
  event.config = number;
  event.sample_period = 1;
  event.wakeup_events = 1;
  // Any one CPU: the program runs on all that hit the tracepoint.
  const long descriptor = syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  if (descriptor < 0) {
    Error error = system_failure("perf_event_open", errno);
    if (errno == EPERM || errno == EACCES) error.hint = "tracepoints need CAP_PERFMON (root has it)";
    return fail(std::move(error));
  }
  return FileDescriptor(static_cast<int>(descriptor));
}

}  // namespace

Result<Link> Link::create(const Program& program, std::uint32_t target, ebpf::AttachType where, std::uint32_t flags) {
  bpf_attr attributes = empty_attributes();
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program.descriptor());
  attributes.link_create.target_fd = target;
  attributes.link_create.attach_type = static_cast<std::uint32_t>(where);
  attributes.link_create.flags = flags;
  const Result<int> descriptor = bpf_call(BPF_LINK_CREATE, attributes, "BPF_LINK_CREATE");
  if (!descriptor) return fail(explain_attach(descriptor.error(), program, target, where));
  return Link(FileDescriptor(*descriptor));
}

Result<Link> Link::tracepoint(const Program& program, const std::string& category, const std::string& name) {
  WEIR_TRY(const std::uint64_t number, tracepoint_number(category, name));
  WEIR_TRY(const FileDescriptor event, open_event(number));
  // The link holds the event from now on.
  WEIR_TRY(Link link, create(program, static_cast<std::uint32_t>(event.get()), ebpf::AttachType::kPerfEvent));
  if (ioctl(event.get(), PERF_EVENT_IOC_ENABLE, 0) != 0) return fail(system_failure("PERF_EVENT_IOC_ENABLE", errno));
  return link;
}

Result<Link> Link::raw_tracepoint(const Program& program, const std::string& name) {
  bpf_attr attributes = empty_attributes();
  attributes.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(program.descriptor());
  attributes.raw_tracepoint.name = name.empty() ? 0 : pointer_of(name.c_str());
  Result<int> descriptor = bpf_call(BPF_RAW_TRACEPOINT_OPEN, attributes, "BPF_RAW_TRACEPOINT_OPEN");
  if (descriptor) return Link(FileDescriptor(*descriptor));
  Error error = std::move(descriptor).error();
  if (error.system_error == ENOENT) error.message = fmt::format("there is no tracepoint '{}'", name);
  return fail(explain_raw_tracepoint(std::move(error), program));
}

Result<Link> Link::open_pinned(const std::string& path) {
  WEIR_TRY(FileDescriptor descriptor, open_object(path));
  return Link(std::move(descriptor));
}

Result<Link> Link::open_id(std::uint32_t id) {
  WEIR_TRY(FileDescriptor descriptor, object_by_id(BPF_LINK_GET_FD_BY_ID, id, "BPF_LINK_GET_FD_BY_ID"));
  return Link(std::move(descriptor));
}

Result<LinkInfo> Link::info() const {
  RawLinkInfo raw{};
  WEIR_CHECK(object_info(descriptor(), raw));
  LinkInfo out{.id = raw.id, .program = raw.program};
  out.type = raw.type < std::size(kLinkTypes) ? std::string(kLinkTypes[raw.type]) : fmt::format("{}", raw.type);
  const auto attach_type = [](std::uint32_t number) { return ebpf::name_of(static_cast<ebpf::AttachType>(number)); };
  if (out.type == "xdp") out.interface_index = raw.words[0];
  if (out.type == "tcx" || out.type == "netkit") {
    out.interface_index = raw.words[0];
    out.attach_type = attach_type(raw.words[1]);
  }
  if (out.type == "cgroup") {
    out.cgroup = raw.longs[0];
    out.attach_type = attach_type(raw.words[2]);
  }
  if (out.type == "netns") out.attach_type = attach_type(raw.words[1]);
  if (out.type == "tracing") out.attach_type = attach_type(raw.words[0]);
  const bool event = out.type == "perf_event" && raw.words[0] == 5;  // BPF_PERF_EVENT_TRACEPOINT, since Linux 6.6
  if (out.type == "raw_tracepoint" || event) {
    char name[128] = {};
    raw = {};
    raw.longs[event ? 1 : 0] = pointer_of(name);
    raw.words[event ? 4 : 2] = sizeof name;
    WEIR_CHECK(object_info(descriptor(), raw));
    out.target.assign(name, strnlen(name, sizeof name));
  }
  return out;
}

Status Link::update(const Program& program) const {
  bpf_attr attributes = empty_attributes();
  attributes.link_update.link_fd = static_cast<std::uint32_t>(descriptor());
  attributes.link_update.new_prog_fd = static_cast<std::uint32_t>(program.descriptor());
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_LINK_UPDATE, attributes, "BPF_LINK_UPDATE"));
  return {};
}

Status Link::detach() const {
  bpf_attr attributes = empty_attributes();
  attributes.link_detach.link_fd = static_cast<std::uint32_t>(descriptor());
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_LINK_DETACH, attributes, "BPF_LINK_DETACH"));
  return {};
}

Status Link::pin(const std::string& path) const { return pin_object(descriptor(), path); }

}  // namespace weir::kernel
