// Maps of the running kernel: bpf(2).
//
// A Map owns its descriptor and closes it; programs, other maps and pins keep the kernel's map alive without it. Errors
// are of ErrorCode::kSystem, name the command ("BPF_MAP_UPDATE_ELEM") and carry errno. Needs CAP_BPF. Movable, not
// copyable. A Map may be used from any thread (but for close() and moves); the kernel synchronises. Keys and values of
// other sizes than the map's are errors of ErrorCode::kUsage ("key size is 3, want 4"), and nothing is asked of the
// kernel. Bytes are copied: nothing is kept of what is passed in. Source: bpf(2); kernel/bpf/syscall.c, map_create.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
class TypeTable;
struct MapOptions {
  const Map* inner = nullptr;  // maps of maps: what the inner ones are like
  std::optional<std::uint32_t> numa_node{};
  std::uint32_t interface_index = 0;  // offloaded maps
  std::uint64_t extra = 0;            // bloom filters: how many hash functions
  const TypeTable* types = nullptr;   // what keys and values look like: ids in this table; 0: void
  std::uint32_t key_type = 0;
  std::uint32_t value_type = 0;
};

// What the kernel tells about a map.
struct MapInfo {
  std::uint32_t id = 0;
  std::string name{};
  ebpf::MapType type = ebpf::MapType::kUnspec;
  std::uint32_t key_size = 0;    // bytes
  std::uint32_t value_size = 0;  // bytes, of one CPU
  std::uint32_t max_entries = 0;
  std::uint32_t flags = 0;  // BPF_F_*
  std::uint64_t extra = 0;
  std::uint32_t interface_index = 0;
  std::uint32_t types_id = 0;  // of the table of types (BTF); 0: none
  std::uint32_t key_type = 0;  // ids in it
  std::uint32_t value_type = 0;
  std::uint64_t memory = 0;  // bytes that the kernel counts for it; 0 when it does not tell
  bool frozen = false;       // user space cannot write it any more
};

class Map {
 public:
  // Names longer than 15 bytes are cut; the definition's contents, if any, become the first value. Where the kernel
  // refuses, the error's hint says what of the definition its type does not take: "key size is 8, want 4 (array)".
  static Result<Map> create(const ebpf::MapDefinition& definition, const MapOptions& options = {});
  static Result<Map> open_pinned(const std::string& path);
  static Result<Map> open_id(std::uint32_t id);
  // Takes the descriptor over.
  static Result<Map> adopt(FileDescriptor descriptor);

  int descriptor() const { return descriptor_.get(); }
  std::uint32_t id() const { return id_; }
  const ebpf::MapDefinition& definition() const { return definition_; }
  Result<MapInfo> info() const;
  // Bytes of a value as the calls below take it: per-CPU maps have one for each possible CPU, rounded up to 8.
  std::size_t value_bytes() const { return value_bytes_; }
  // One value for each possible CPU?
  bool per_cpu() const;

  // is_too_big() where the map is full or an index lies outside; EPERM where it is frozen. Maps of programs and maps of
  // maps take descriptors as values and give ids.
  Status set(ByteSpan key, ByteSpan value);     // creates or replaces
  Status create(ByteSpan key, ByteSpan value);  // only a new entry: else is_exist()
  Status update(ByteSpan key, ByteSpan value);  // only an existing one: else is_not_exist()
  Result<std::vector<std::uint8_t>> lookup(ByteSpan key) const;
  Status contains(ByteSpan value) const;                 // bloom filters, which have no key: else is_not_exist()
  Result<std::vector<std::uint8_t>> take(ByteSpan key);  // looks up and deletes; queues and stacks have no key
  Status erase(ByteSpan key);

  // Calls `use` with each entry until it returns true. Entries may be deleted meanwhile. Kernels before 4.12 cannot
  // begin without a key: give them one that is not in the map as a hint; else it may be empty. Where others delete keys
  // meanwhile the kernel may begin anew; after max_entries entries, where the map has such a limit, that is an error of
  // ErrorCode::kLimit.
  Status iterate(const std::function<bool(ByteSpan key, ByteSpan value)>& use, ByteSpan hint = {}) const;

  // Many entries a call (BPF_MAP_*_BATCH); kinds of maps that cannot take one by one. Keys lie one behind the other,
  // and so do values. They return how many entries were done; where the kernel stopped before the end, the error says
  // after how many.
  Result<std::size_t> set_many(ByteSpan keys, ByteSpan values);
  Result<std::size_t> erase_many(ByteSpan keys);
  // Like iterate(), `at_once` entries a call of the kernel; kinds of maps that cannot are read one by one.
  Status iterate_many(const std::function<bool(ByteSpan key, ByteSpan value)>& use, std::size_t at_once = 256) const;
  // Shows all entries and deletes them. Only hash tables can.
  Status take_many(const std::function<void(ByteSpan key, ByteSpan value)>& use, std::size_t at_once = 256);

  // Ring buffers: hands each finished record to `use`, oldest first, and takes it out, until one is still being
  // written. Returns the bytes that lay in the ring before, with headers. One reader at a time; `use` must not call it.
  Result<std::uint64_t> consume(const std::function<void(ByteSpan record)>& use);

  Status freeze();  // from now on only programs write
  Status pin(const std::string& path) const;
  // Gives the descriptor up; all calls fail from then on (EBADF). Without it the destructor does.
  void close();

 private:
  Map(FileDescriptor descriptor, ebpf::MapDefinition definition);
  Status write(ByteSpan key, ByteSpan value, std::uint64_t flags);
  Status check_sizes(ByteSpan key, std::optional<ByteSpan> value) const;
  Result<std::vector<std::uint8_t>> read_value(ByteSpan key, int command, const char* name) const;
  Result<bool> next_key(const std::vector<std::uint8_t>& key, std::vector<std::uint8_t>& next) const;
  Status read_batches(int command, const char* name, std::size_t at_once,
                      const std::function<bool(ByteSpan, ByteSpan)>& use) const;
  Result<std::size_t> write_batch(int command, const char* name, ByteSpan keys, ByteSpan values) const;
  FileDescriptor descriptor_;
  ebpf::MapDefinition definition_;
  std::uint32_t id_ = 0;
  std::size_t value_bytes_ = 0;
};

// How many CPUs the kernel counts with: so many values a per-CPU map has for a key. Cached.
std::size_t possible_cpus();

}  // namespace weir::kernel
