// Maps and programs of the running kernel: bpf(2).
//
// Each object owns its descriptor and closes it; what a socket, a link or a pin holds lives on without it. Errors are
// of ErrorCode::kSystem, name the command ("BPF_MAP_UPDATE_ELEM") and carry errno. Needs CAP_BPF, and CAP_NET_ADMIN for
// programs on packets. Movable, not copyable. A Map may be used from any thread; the kernel synchronises.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/ebpf/program.h>

namespace weir::kernel {

// What an error says about an entry: it is there already, it is not there, the map is full.
bool is_exist(const Error& error);      // EEXIST
bool is_not_exist(const Error& error);  // ENOENT
bool is_too_big(const Error& error);    // E2BIG

class Map;
struct MapOptions {
  const Map* inner = nullptr;  // maps of maps: what the inner ones are like
  std::optional<std::uint32_t> numa_node{};
  std::uint32_t interface_index = 0;  // offloaded maps
};

class Map {
 public:
  // Names longer than 15 bytes are cut; the definition's contents, if any, become the first value.
  static Result<Map> create(const ebpf::MapDefinition& definition, const MapOptions& options = {});
  static Result<Map> open_pinned(const std::string& path);
  static Result<Map> open_id(std::uint32_t id);

  int descriptor() const { return descriptor_.get(); }
  std::uint32_t id() const { return id_; }
  const ebpf::MapDefinition& definition() const { return definition_; }
  // Bytes of a value as the calls below take it: per-CPU maps have one for each possible CPU, rounded up to 8.
  std::size_t value_bytes() const { return value_bytes_; }

  Status set(ByteSpan key, ByteSpan value);     // creates or replaces
  Status create(ByteSpan key, ByteSpan value);  // only a new entry: else is_exist()
  Status update(ByteSpan key, ByteSpan value);  // only an existing one: else is_not_exist()
  Result<std::vector<std::uint8_t>> lookup(ByteSpan key) const;
  Result<std::vector<std::uint8_t>> take(ByteSpan key);  // looks up and deletes; queues and stacks have no key
  Status erase(ByteSpan key);

  // Calls `use` with each entry until it returns true. Entries may be deleted meanwhile. Kernels before 4.12 cannot
  // begin without a key: give them one that is not in the map as a hint; else it may be empty.
  Status iterate(const std::function<bool(ByteSpan key, ByteSpan value)>& use, ByteSpan hint = {}) const;

  Status pin(const std::string& path) const;

 private:
  Map(FileDescriptor descriptor, ebpf::MapDefinition definition);
  static Result<Map> from_descriptor(int descriptor, const char* command);
  Status write(ByteSpan key, ByteSpan value, std::uint64_t flags);
  Status check_sizes(ByteSpan key, std::optional<ByteSpan> value) const;
  FileDescriptor descriptor_;
  ebpf::MapDefinition definition_;
  std::uint32_t id_ = 0;
  std::size_t value_bytes_ = 0;
};

struct LoadOptions {
  std::span<const Map* const> maps{};  // those of the program, in its order
  bool strict_alignment = false;
  std::uint32_t log_level = 1;  // 0: no log; 1: how it ended; 2: every instruction
  std::string* log = nullptr;   // gets the verifier's log, also when the program is refused
};

struct TestRun {
  ByteSpan input{};  // the packet
  std::uint32_t repeat = 1;
  std::size_t output_bytes = 65536;  // room for the packet afterwards
};
struct TestResult {
  std::uint32_t value = 0;
  std::vector<std::uint8_t> output{};
  std::uint32_t nanoseconds = 0;  // of one run, on average
};

class Program {
 public:
  // Loads the program as its type says. A refusal's message is the last line that the verifier wrote.
  static Result<Program> load(const ebpf::Program& program, const LoadOptions& options = {});
  static Result<Program> open_pinned(const std::string& path);
  static Result<Program> open_id(std::uint32_t id);

  int descriptor() const { return descriptor_.get(); }
  std::uint32_t id() const;  // 0 when the kernel does not tell

  Result<TestResult> test_run(const TestRun& options) const;

  Status attach_socket(int socket) const;
  static Status detach_socket(int socket);
  Status attach_cgroup(int cgroup, ebpf::AttachType where, ebpf::CgroupAttach flags = ebpf::CgroupAttach::kNone) const;
  Status detach_cgroup(int cgroup, ebpf::AttachType where) const;

  Status pin(const std::string& path) const;

 private:
  explicit Program(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

// A program where it runs, for as long as the link lives (or its pin does).
class Link {
 public:
  // `target` is an interface's index for XDP and tcx, the descriptor of a control group for those.
  static Result<Link> create(const Program& program, std::uint32_t target, ebpf::AttachType where,
                             std::uint32_t flags = 0);
  int descriptor() const { return descriptor_.get(); }
  Status update(const Program& program) const;  // the same place, another program, without a gap
  Status detach() const;
  Status pin(const std::string& path) const;

 private:
  explicit Link(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

}  // namespace weir::kernel
