// Links: a program where it runs, for as long as the link's descriptor or a pin of it lives.
//
// Movable, not copyable; const members from any thread. A Link owns its descriptor and closes it, which takes the
// program off unless a pin or another descriptor holds the link. Errors are of ErrorCode::kSystem, name the command
// ("BPF_LINK_CREATE") and carry errno; the hint says why a place refuses a program. Needs what the program's type needs
// (weir/kernel/program.h). Source: bpf(2); kernel/bpf/syscall.c, link_create; perf_event_open(2).
#pragma once

#include <cstdint>
#include <string>

#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/ebpf/program.h>
#include <weir/kernel/program.h>

namespace weir::kernel {

struct LinkInfo {
  std::uint32_t id = 0;
  std::string type{};  // "xdp", "tcx", "cgroup", "perf_event", "raw_tracepoint", "tracing", "netns", ...
  std::uint32_t program = 0;
  std::uint32_t interface_index = 0;  // xdp, tcx
  std::uint64_t cgroup = 0;           // cgroup: its id, the inode of its folder
  std::string attach_type{};          // tcx, cgroup, tracing, netns
  std::string target{};               // raw_tracepoint, perf_event: the tracepoint's name
};

class Link {
 public:
  // `target` is an interface's index for XDP and tcx, the descriptor of a control group or a network namespace for
  // those; it stays the caller's. `flags` are the kernel's of that place (XDP_FLAGS_*). EBUSY where another XDP program
  // is.
  static Result<Link> create(const Program& program, std::uint32_t target, ebpf::AttachType where,
                             std::uint32_t flags = 0);
  // A tracepoint by its two names ("syscalls", "sys_enter_getpid"); its events are found in tracefs, which must be
  // mounted. For programs of type tracepoint.
  static Result<Link> tracepoint(const Program& program, const std::string& category, const std::string& name);
  // A tracepoint by its name, for programs of type raw_tracepoint; for those of type tracing and lsm, which know their
  // place since they were loaded, `name` is empty.
  static Result<Link> raw_tracepoint(const Program& program, const std::string& name);
  static Result<Link> open_pinned(const std::string& path);
  static Result<Link> open_id(std::uint32_t id);

  int descriptor() const { return descriptor_.get(); }
  Result<LinkInfo> info() const;
  Status update(const Program& program) const;  // the same place, another program of its type, without a gap
  Status detach() const;                        // the link lives on without a program
  Status pin(const std::string& path) const;

 private:
  explicit Link(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

}  // namespace weir::kernel
