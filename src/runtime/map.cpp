// Makes maps of every type. Exports make_map and the members that most maps do not have.
//
// Sizes and flags are checked here, once for all types, by the kernel's rules. Source: kernel/bpf/syscall.c,
// map_create, and the map_alloc_check of each type.
#include <weir/runtime/map.h>

#include <cerrno>
#include <new>

#include <fmt/format.h>

#include "runtime/makers.h"

namespace weir::runtime {
namespace {

using ebpf::MapType;

tl::unexpected<Error> refuse(const ebpf::MapDefinition& map, std::string_view why) {
  return fail(fmt::format("map '{}' ({}): {}", map.name, ebpf::name_of(map.type), why));
}

constexpr std::uint32_t kNoPrealloc = 1;
constexpr std::uint32_t kKnownFlags = 0x7fff;

bool is_array_like(MapType type) {
  return type == MapType::kArray || type == MapType::kPercpuArray || type == MapType::kProgArray ||
         type == MapType::kArrayOfMaps || type == MapType::kPerfEventArray;
}

bool is_per_cpu(MapType type) {
  return type == MapType::kPercpuArray || type == MapType::kPercpuHash || type == MapType::kLruPercpuHash;
}

// What is wrong with the sizes, or empty.
std::string_view bad_sizes(const ebpf::MapDefinition& map) {
  if ((map.flags & ~kKnownFlags) != 0) return "unknown flags";
  const bool allocates = map.type == MapType::kHash || map.type == MapType::kPercpuHash ||
                         map.type == MapType::kLpmTrie || map.type == MapType::kHashOfMaps;
  if ((map.flags & kNoPrealloc) != 0 && !allocates)
    return "the flag 1 (BPF_F_NO_PREALLOC) is for hash tables and tries";
  if (map.type == MapType::kRingbuf) {
    if (map.key_size != 0 || map.value_size != 0) return "a ring buffer has no keys and values";
    if (map.max_entries < 4096 || (map.max_entries & (map.max_entries - 1)) != 0)
      return "its size in bytes (entries) must be a power of two and at least 4096";
    return {};
  }
  if (map.max_entries == 0) return "it needs at least one entry";
  if (map.value_size == 0) return "values need at least one byte";
  if (map.value_size > 32768 && is_per_cpu(map.type)) return "values of per-CPU maps may have 32 KiB at most";
  if (map.value_size > (32u << 20)) return "values may have 32 MiB at most";
  if (map.type == MapType::kQueue || map.type == MapType::kStack || map.type == MapType::kBloomFilter)
    return map.key_size != 0 ? "it has no keys" : "";
  if (is_array_like(map.type) && map.key_size != 4) return "keys of arrays have 4 bytes";
  if (map.key_size == 0) return "keys need at least one byte";
  // KMALLOC_MAX_SIZE
  if (std::uint64_t{map.key_size} + map.value_size >= (4u << 20) - 64) return "keys and values may have 4 MiB at most";
  if (map.type == MapType::kLpmTrie) {
    if ((map.flags & kNoPrealloc) == 0) return "a trie needs the flag 1 (BPF_F_NO_PREALLOC)";
    if (map.key_size < 5 || map.key_size > 4 + 256) return "keys of tries have 4 bytes of length and 1 to 256 of data";
  }
  const bool references = map.type == MapType::kProgArray || map.type == MapType::kArrayOfMaps ||
                          map.type == MapType::kHashOfMaps || map.type == MapType::kPerfEventArray;
  if (references && map.value_size != 4) return "values that stand for programs or maps have 4 bytes";
  if (!map.contents.empty() && (map.type != MapType::kArray || map.contents.size() > map.value_size))
    return "only the value of an array can have first contents, and no more than it holds";
  return {};
}

// What an entry takes, about; max_entries of a ring buffer are its bytes.
std::uint64_t bytes_of_entry(const ebpf::MapDefinition& map, unsigned cpus) {
  if (map.type == MapType::kRingbuf || map.type == MapType::kBloomFilter) return 2;
  return 64 + std::uint64_t{map.key_size} + std::uint64_t{map.value_size} * (is_per_cpu(map.type) ? cpus : 1);
}

// What programs put into an array of perf events is handed on at once; those of kernels do nothing here.
class EmptyMap final : public Map {
 public:
  using Map::Map;
  void* lookup(const void*, unsigned) override { return nullptr; }
  int update(const void*, const void*, std::uint64_t, unsigned) override { return -EOPNOTSUPP; }
  int erase(const void*) override { return -EOPNOTSUPP; }
  int next_key(const void*, void*) const override { return -ENOENT; }
  bool contains(std::uint64_t, std::uint64_t) const override { return false; }
  std::uint32_t size() const override { return 0; }
};
MadeMap make_empty(const ebpf::MapDefinition& definition, const MapOptions&) {
  return std::shared_ptr<Map>(std::make_shared<EmptyMap>(definition));
}

using Maker = MadeMap (*)(const ebpf::MapDefinition& definition, const MapOptions& options);

// Null for maps that only kernels have.
Maker maker_of(MapType type) {
  switch (type) {
    case MapType::kArray:
    case MapType::kPercpuArray: return make_array;
    case MapType::kHash:
    case MapType::kPercpuHash:
    case MapType::kLruHash:
    case MapType::kLruPercpuHash: return make_hash;
    case MapType::kLpmTrie: return make_trie;
    case MapType::kQueue:
    case MapType::kStack:
    case MapType::kBloomFilter: return make_queue;
    case MapType::kRingbuf: return make_ring_buffer;
    case MapType::kProgArray:
    case MapType::kArrayOfMaps:
    case MapType::kHashOfMaps: return make_reference;
    case MapType::kPerfEventArray: return make_empty;
    default: return nullptr;
  }
}

}  // namespace

int Map::push(const void*, std::uint64_t) { return -EOPNOTSUPP; }
int Map::pop(void*) { return -EOPNOTSUPP; }
int Map::peek(void*) { return -EOPNOTSUPP; }

Result<std::shared_ptr<Map>> make_map(const ebpf::MapDefinition& definition, const MapOptions& options) {
  if (const std::string_view why = bad_sizes(definition); !why.empty()) return refuse(definition, why);
  if (holds_maps(definition.type) && options.inner != nullptr && holds_maps(options.inner->definition().type))
    return refuse(definition, "maps of maps hold no maps that hold maps themselves");
  if (options.cpus == 0)
    return fail(
        Error{.code = ErrorCode::kUsage, .message = "MapOptions::cpus is 0; maps have values for one CPU at least"});
  if (bytes_of_entry(definition, options.cpus) > options.memory_limit / definition.max_entries)
    return fail(
        Error{.code = ErrorCode::kLimit,
              .message = fmt::format("map '{}' would take more than {} bytes", definition.name, options.memory_limit),
              .hint = "fewer entries, or smaller ones"});
  if (const Maker make = maker_of(definition.type)) {
    try {
      return make(definition, options);
    } catch (const std::bad_alloc&) {
      return no_memory(definition);
    }
  }
  return fail(Error{.code = ErrorCode::kUnsupported,
                    .message = fmt::format("maps of type {} need a kernel", ebpf::name_of(definition.type))});
}

bool holds_maps(MapType type) { return type == MapType::kArrayOfMaps || type == MapType::kHashOfMaps; }

bool needs_kernel(MapType type) { return maker_of(type) == nullptr; }

std::shared_ptr<Map> make_kernel_map(const ebpf::MapDefinition& definition) {
  return std::make_shared<EmptyMap>(definition);
}

bool are_alike(const ebpf::MapDefinition& one, const ebpf::MapDefinition& other) {
  return one.type == other.type && one.key_size == other.key_size && one.value_size == other.value_size &&
         one.max_entries == other.max_entries && one.flags == other.flags;
}

}  // namespace weir::runtime
