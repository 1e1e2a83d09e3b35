// Programs of the running kernel: loaded, run once over a packet, attached.
//
// A Program owns its descriptor and closes it; what a socket, a control group, a link or a pin holds runs on without
// it. Errors are of ErrorCode::kSystem, name the command ("BPF_PROG_LOAD") and carry errno. Needs CAP_BPF,
// CAP_NET_ADMIN for programs on packets, CAP_PERFMON for tracing. Movable, not copyable; const members from any thread.
// Where a place refuses a program (another type, no such interface, no control group) the error's hint says so.
// Source: bpf(2); kernel/bpf/syscall.c, net/bpf/test_run.c.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/ebpf/program.h>
#include <weir/kernel/map.h>

namespace weir::kernel {

class Program;
struct LoadOptions {
  std::span<const Map* const> maps{};  // those of the program, in its order
  bool strict_alignment = false;
  bool sleepable = false;
  bool source_lines = true;     // gives the kernel the names of functions and the source lines, where there are some
  std::uint32_t log_level = 1;  // 0: no log; 1: how it ended; 2: every instruction
  std::string* log = nullptr;   // gets the verifier's log, also when the program is refused
  std::uint32_t kernel_version = 0;   // what old kernels want for kprobes; 0: that of the running kernel
  std::uint32_t interface_index = 0;  // offloaded programs
  std::uint32_t attach_type_id =
      0;  // tracing, lsm: the function's type in the kernel's table (/sys/kernel/btf/vmlinux)
  const Program* extends = nullptr;  // ext: the program whose function is replaced
};

struct TestRun {
  ByteSpan input{};    // the packet: 14 bytes at least, a page less the kernel's head- and tailroom at most
  ByteSpan context{};  // what r1 points to, for kinds that take it (struct xdp_md, __sk_buff, raw tracepoints' words)
  std::uint32_t repeat = 1;                  // runs; the result is that of the last
  std::size_t output_bytes = 65536;          // room for the packet afterwards
  std::optional<std::uint32_t> processor{};  // raw tracepoints: on this CPU
};
struct TestResult {
  std::uint32_t value = 0;
  std::vector<std::uint8_t> output{};   // the packet afterwards
  std::vector<std::uint8_t> context{};  // the context afterwards, where one was given
  std::uint32_t nanoseconds = 0;        // of one run, on average
};

// What the kernel tells about a program.
struct ProgramInfo {
  std::uint32_t id = 0;
  std::string name{};
  ebpf::ProgramType type = ebpf::ProgramType::kUnspec;
  std::string tag{};           // 16 hexadecimal digits: a hash of the instructions
  std::int64_t loaded_at = 0;  // seconds since 1970
  std::uint32_t user = 0;      // who loaded it
  bool gpl_compatible = false;
  std::uint32_t bytes = 0;            // of its instructions, as the verifier left them
  std::uint32_t machine_bytes = 0;    // of its machine code; 0: it is interpreted
  std::uint64_t memory = 0;           // bytes that the kernel counts for it; 0 when it does not tell
  std::uint32_t verified = 0;         // instructions that the verifier walked over; 0 when the kernel does not tell
  std::uint64_t run_nanoseconds = 0;  // with kernel.bpf_stats_enabled=1
  std::uint64_t runs = 0;
  std::uint32_t interface_index = 0;
  std::uint32_t types_id = 0;         // of the table of types (BTF); 0: none
  std::vector<std::uint32_t> maps{};  // ids
};

class Program {
 public:
  // Loads the program as its type says. A refusal's hint is the last line that the verifier wrote. ErrorCode::kUsage
  // where it uses more maps than were given. The kernel copies all: program, maps and options may go afterwards.
  static Result<Program> load(const ebpf::Program& program, const LoadOptions& options = {});
  static Result<Program> open_pinned(const std::string& path);
  static Result<Program> open_id(std::uint32_t id);
  // Takes the descriptor over.
  static Program adopt(FileDescriptor descriptor) { return Program(std::move(descriptor)); }

  int descriptor() const { return descriptor_.get(); }
  std::uint32_t id() const;  // 0 when the kernel does not tell
  Result<ProgramInfo> info() const;
  // As the kernel runs it: after its verifier changed it. Source lines too, where it has them.
  Result<ebpf::Program> translated() const;

  // ENOTSUPP (524) for types that the kernel cannot test, EINVAL for a packet or context that it does not take, ENOSPC
  // where the packet afterwards does not fit into output_bytes. Nothing is sent; maps change.
  Result<TestResult> test_run(const TestRun& options) const;

  // `socket` and `cgroup` are descriptors, which stay the caller's. A socket holds one program: another takes its
  // place.
  Status attach_socket(int socket) const;
  static Status detach_socket(int socket);
  Status attach_cgroup(int cgroup, ebpf::AttachType where, ebpf::CgroupAttach flags = ebpf::CgroupAttach::kNone) const;
  Status detach_cgroup(int cgroup, ebpf::AttachType where) const;
  // Where a program stays without a link: tcx (`target` is the interface's index), sockmaps and control groups
  // (descriptors).
  Status attach(std::uint32_t target, ebpf::AttachType where, std::uint32_t flags = 0) const;
  Status detach(std::uint32_t target, ebpf::AttachType where) const;

  // In a BPF file system; the program lives as long as the file. is_exist() where there is one.
  Status pin(const std::string& path) const;

 private:
  explicit Program(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

// Ids of the programs at this place, in the order in which they run. Also where control groups and tcx have none.
Result<std::vector<std::uint32_t>> attached_programs(std::uint32_t target, ebpf::AttachType where);

}  // namespace weir::kernel
