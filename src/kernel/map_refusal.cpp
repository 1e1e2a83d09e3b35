// What the kernel wants of maps, to say in words why it refused one. Exports why_no_map, map_call.
//
// BPF_MAP_CREATE answers with a bare errno. Each type has a row here: sizes of keys and values, how many entries, which
// flags, and since when kernels have it. The rows are those of the map_alloc_check functions; a test tries them on the
// running kernel: where a rule names a cause, the kernel refuses. Newer kernels may take more, so the rules are asked
// only after a refusal. Source: kernel/bpf/syscall.c, map_create; arraymap.c, hashtab.c, lpm_trie.c, ...
#include "kernel/map_refusal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <optional>

#include <fmt/format.h>

namespace weir::kernel {
namespace {

using T = ebpf::MapType;

// Sizes from `least` to `most` in steps.
struct Sizes {
  std::uint32_t least;
  std::uint32_t most;
  std::uint32_t step = 1;
};
constexpr Sizes kNone{0, 0};
constexpr Sizes kFour{4, 4};
constexpr Sizes kFourOrEight{4, 8, 4};
constexpr Sizes kSome{1, UINT32_MAX};
constexpr Sizes kOneCpu{1, 32768};          // what a per-CPU allocation may have
constexpr Sizes kStorageKey{8, 16, 8};      // struct bpf_cgroup_storage_key, or the group's id alone
constexpr Sizes kPrefix{5, 260};            // a length, then at most 256 bytes
constexpr Sizes kAddresses{8, 127 * 8, 8};  // of a stack: kernel.perf_event_max_stack

constexpr Sizes kBuildIds{32, 127 * 32, 32};  // with BPF_F_STACK_BUILD_ID

enum class Entries : std::uint8_t { kPositive, kZero, kPages };

constexpr std::uint32_t kNoPrealloc = 1u << 0, kNoCommonLru = 1u << 1, kNuma = 1u << 2, kReadOnly = 1u << 3,
                        kWriteOnly = 1u << 4, kBuildId = 1u << 5, kZeroSeed = 1u << 6, kReadOnlyProgram = 1u << 7,
                        kWriteOnlyProgram = 1u << 8, kClone = 1u << 9, kMappable = 1u << 10, kPreserve = 1u << 11,
                        kInner = 1u << 12;
constexpr std::uint32_t kUser = kReadOnly | kWriteOnly;
constexpr std::uint32_t kAccess = kUser | kReadOnlyProgram | kWriteOnlyProgram;
// Flags that say how the call is to be read, and what future kernels may bring.
constexpr std::uint32_t kUnknown = ~0u << 13;

struct Row {
  T type;
  std::uint16_t since;  // 0x50a: Linux 5.10
  Sizes key;
  Sizes value;
  Entries entries;
  std::uint32_t flags;
  std::uint32_t needs = 0;  // flags it cannot be without
};
constexpr Row kRows[] = {
    {T::kHash, 0x313, kSome, kSome, Entries::kPositive, kNoPrealloc | kNuma | kAccess | kZeroSeed},
    {T::kArray, 0x313, kFour, kSome, Entries::kPositive, kNuma | kAccess | kMappable | kInner},
    {T::kProgArray, 0x402, kFour, kFour, Entries::kPositive, kNuma | kUser},
    {T::kPerfEventArray, 0x403, kFour, kFour, Entries::kPositive, kNuma | kUser | kPreserve},
    {T::kPercpuHash, 0x406, kSome, kOneCpu, Entries::kPositive, kNoPrealloc | kAccess | kZeroSeed},
    {T::kPercpuArray, 0x406, kFour, kOneCpu, Entries::kPositive, kAccess},
    {T::kStackTrace, 0x406, kFour, kAddresses, Entries::kPositive, kNuma | kUser | kBuildId},
    {T::kCgroupArray, 0x408, kFour, kFour, Entries::kPositive, kNuma | kUser},
    {T::kLruHash, 0x40a, kSome, kSome, Entries::kPositive, kNoCommonLru | kNuma | kAccess | kZeroSeed},
    {T::kLruPercpuHash, 0x40a, kSome, kOneCpu, Entries::kPositive, kNoCommonLru | kAccess | kZeroSeed},
    {T::kLpmTrie, 0x40b, kPrefix, kSome, Entries::kPositive, kNoPrealloc | kNuma | kAccess, kNoPrealloc},
    {T::kArrayOfMaps, 0x40c, kFour, kFour, Entries::kPositive, kNuma | kUser},
    {T::kHashOfMaps, 0x40c, kSome, kFour, Entries::kPositive, kNoPrealloc | kNuma | kAccess | kZeroSeed},
    {T::kDevmap, 0x40e, kFour, kFourOrEight, Entries::kPositive, kNuma | kUser},
    {T::kSockmap, 0x40e, kFour, kFourOrEight, Entries::kPositive, kNuma | kUser},
    {T::kCpumap, 0x40f, kFour, kFourOrEight, Entries::kPositive, kNuma},
    {T::kXskmap, 0x412, kFour, kFour, Entries::kPositive, kNuma | kUser},
    {T::kSockhash, 0x412, kSome, kFourOrEight, Entries::kPositive, kNuma | kUser},
    {T::kCgroupStorage, 0x413, kStorageKey, kSome, Entries::kZero, kNuma | kAccess},
    {T::kReuseportSockarray, 0x413, kFour, kFourOrEight, Entries::kPositive, kNuma | kAccess},
    {T::kPercpuCgroupStorage, 0x414, kStorageKey, kSome, Entries::kZero, kNuma | kAccess},
    {T::kQueue, 0x414, kNone, kSome, Entries::kPositive, kNuma | kAccess},
    {T::kStack, 0x414, kNone, kSome, Entries::kPositive, kNuma | kAccess},
    {T::kSkStorage, 0x502, kFour, kSome, Entries::kZero, kNoPrealloc | kClone, kNoPrealloc},
    {T::kDevmapHash, 0x504, kFour, kFourOrEight, Entries::kPositive, kNuma | kUser},
    {T::kStructOps, 0x506, kFour, kSome, Entries::kPositive, 0},
    {T::kRingbuf, 0x508, kNone, kNone, Entries::kPages, kNuma},
    {T::kInodeStorage, 0x50a, kFour, kSome, Entries::kZero, kNoPrealloc | kClone, kNoPrealloc},
    {T::kTaskStorage, 0x50b, kFour, kSome, Entries::kZero, kNoPrealloc | kClone, kNoPrealloc},
    {T::kBloomFilter, 0x510, kNone, kSome, Entries::kPositive, kNuma | kAccess | kZeroSeed},
    {T::kUserRingbuf, 0x601, kNone, kNone, Entries::kPages, kNuma},
    {T::kCgrpStorage, 0x602, kFour, kSome, Entries::kZero, kNoPrealloc | kClone, kNoPrealloc},
    {T::kArena, 0x609, kNone, kNone, Entries::kPositive, kMappable, kMappable},
};

std::string name_of_flag(std::uint32_t flag) {
  constexpr std::string_view kNames[] = {"NO_PREALLOC",    "NO_COMMON_LRU",  "NUMA_NODE",   "RDONLY",      "WRONLY",
                                         "STACK_BUILD_ID", "ZERO_SEED",      "RDONLY_PROG", "WRONLY_PROG", "CLONE",
                                         "MMAPABLE",       "PRESERVE_ELEMS", "INNER_MAP"};
  const auto bit = static_cast<unsigned>(std::countr_zero(flag));
  return bit < std::size(kNames) ? fmt::format("BPF_F_{}", kNames[bit]) : fmt::format("0x{:x}", flag);
}

// "value size is 3, want 4 or 8 (devmap)"
std::string size_cause(std::string_view what, std::uint32_t given, const Sizes& want, const std::string& type) {
  if (given >= want.least && given <= want.most && (given - want.least) % want.step == 0) return {};
  std::string wanted = fmt::format("{}", want.least);
  if (want.most == want.least + want.step && want.step > 1) wanted += fmt::format(" or {}", want.most);
  else if (want.most == UINT32_MAX) wanted = fmt::format("at least {}", want.least);
  else if (want.step > 1) wanted = fmt::format("a multiple of {} up to {}", want.step, want.most);
  else if (want.most != want.least) wanted += fmt::format(" to {}", want.most);
  return fmt::format("{} size is {}, want {} ({})", what, given, wanted, type);
}

std::string entries_cause(const ebpf::MapDefinition& map, Entries want, const std::string& type) {
  switch (want) {
    case Entries::kPositive:
      return map.max_entries != 0 ? "" : fmt::format("max_entries is 0, want at least 1 ({})", type);
    case Entries::kZero:
      return map.max_entries == 0 ? "" : fmt::format("max_entries is {}, want 0 ({})", map.max_entries, type);
    case Entries::kPages: {
      const auto page = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
      if (map.max_entries >= page && std::has_single_bit(map.max_entries)) return {};
      return fmt::format("max_entries is {}, want bytes: a power of two of whole pages, {} at least ({})",
                         map.max_entries, page, type);
    }
  }
  return {};
}

std::string flags_cause(std::uint32_t flags, const Row& row, const std::string& type) {
  if (const std::uint32_t missing = row.needs & ~flags; missing != 0)
    return fmt::format("maps of type {} want the flag {} (0x{:x})", type, name_of_flag(missing), missing);
  std::uint32_t bad = flags & ~row.flags & ~kUnknown;
  if (bad != 0) {
    bad &= ~bad + 1;
    return fmt::format("maps of type {} do not take the flag {} (0x{:x})", type, name_of_flag(bad), bad);
  }
  for (const std::uint32_t both : {kUser, kReadOnlyProgram | kWriteOnlyProgram})
    if ((flags & both) == both)
      return fmt::format("the flags {} and {} exclude each other", name_of_flag(both), name_of_flag(both & (both - 1)));
  return {};
}

bool is_storage(T type) {
  return type == T::kSkStorage || type == T::kInodeStorage || type == T::kTaskStorage || type == T::kCgrpStorage;
}
bool holds_maps(T type) { return type == T::kArrayOfMaps || type == T::kHashOfMaps; }

std::string options_cause(const ebpf::MapDefinition& map, const MapOptions& options, const std::string& type) {
  if (holds_maps(map.type)) {
    if (options.inner == nullptr)
      return fmt::format("maps of type {} want an inner map, which shows what they hold", type);
    if (const T inner = options.inner->definition().type; holds_maps(inner))
      return fmt::format("maps of maps hold no maps of type {}", ebpf::name_of(inner));
  }
  if (is_storage(map.type) && (options.types == nullptr || options.key_type == 0 || options.value_type == 0))
    return fmt::format("maps of type {} want the types (BTF) of their keys and values", type);
  if (map.type == T::kBloomFilter && options.extra > 15)
    return fmt::format("a bloom filter has at most 15 hash functions, not {}", options.extra);
  if (options.extra != 0 && map.type != T::kBloomFilter && map.type != T::kArena)
    return fmt::format("extra is {}, want 0 ({})", options.extra, type);
  if (options.numa_node &&
      ::access(fmt::format("/sys/devices/system/node/node{}", *options.numa_node).c_str(), F_OK) != 0 &&
      ::access("/sys/devices/system/node/node0", F_OK) == 0)
    return fmt::format("there is no NUMA node {}", *options.numa_node);
  return {};
}

}  // namespace

std::string why_no_map(const ebpf::MapDefinition& map, const MapOptions& options, int error) {
  if (error == EPERM || error == EACCES) {
    // Root without a limit on its memory has no such trouble; kernels from 5.11 count elsewhere.
    return geteuid() == 0 && running_kernel() < kernel_version(5, 11)
               ? "maps count against RLIMIT_MEMLOCK on kernels before 5.11: ulimit -l unlimited"
               : "";
  }
  const std::string type = ebpf::name_of(map.type);
  if (map.type == T::kUnspec) return "unspecified map type";
  const auto* const row =
      std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& each) { return each.type == map.type; });
  if (row == std::end(kRows)) return fmt::format("invalid map type {}", static_cast<std::uint32_t>(map.type));
  const std::uint32_t flags = map.flags | (options.numa_node ? kNuma : 0);
  const Sizes value = map.type == T::kStackTrace && (flags & kBuildId) != 0 ? kBuildIds : row->value;
  for (std::string cause :
       {size_cause("key", map.key_size, row->key, type), size_cause("value", map.value_size, value, type),
        entries_cause(map, row->entries, type), flags_cause(flags, *row, type), options_cause(map, options, type)})
    if (!cause.empty()) return cause;
  if (error == E2BIG || error == ENOMEM)
    return fmt::format("{} entries of {} + {} bytes are more than the kernel has room for", map.max_entries,
                       map.key_size, map.value_size);
  if (options.types != nullptr) return "the sizes of keys and values must be those of their types (BTF)";
  if (running_kernel() != 0 && running_kernel() < kernel_version(row->since >> 8u, row->since & 0xffu))
    return fmt::format("maps of type {} came with Linux {}.{}", type, row->since >> 8u, row->since & 0xffu);
  return {};
}

namespace {

// Why the kernel lets nobody write (or read) the map's entries; empty: there is no right to do it.
std::string why_no_access(const Map& map, bool writes) {
  // BPF_F_RDONLY and BPF_F_WRONLY are kept with the descriptor, not with the map.
  const int access = fcntl(map.descriptor(), F_GETFL) & O_ACCMODE;
  if (writes && access == O_RDONLY) return "the map's descriptor is for reading alone (BPF_F_RDONLY)";
  if (!writes && access == O_WRONLY) return "the map's descriptor is for writing alone (BPF_F_WRONLY)";
  if (writes && fd_info(map.descriptor())["frozen"] == "1") return "the map is frozen: only programs write it";
  return {};
}

bool is_array(T type) {
  return type == T::kArray || type == T::kPercpuArray || type == T::kProgArray || type == T::kPerfEventArray ||
         type == T::kCgroupArray || type == T::kArrayOfMaps;
}

// A key is the number of a slot.
bool has_slots(T type) {
  return is_array(type) || type == T::kDevmap || type == T::kSockmap || type == T::kCpumap || type == T::kXskmap ||
         type == T::kReuseportSockarray;
}

std::string why_not(const Map& map, int command, int error, bool writes) {
  constexpr int kNotSupported = 524;  // ENOTSUPP, the kernel's own number
  const ebpf::MapDefinition& definition = map.definition();
  const std::string type = ebpf::name_of(definition.type);
  if (error == EPERM) return why_no_access(map, writes);
  if (error == E2BIG && command == BPF_MAP_UPDATE_ELEM)
    return has_slots(definition.type) ? fmt::format("the index is not below {}", definition.max_entries)
                                      : fmt::format("the map is full: it takes {} entries", definition.max_entries);
  if (error == EINVAL && command == BPF_MAP_DELETE_ELEM && is_array(definition.type))
    return fmt::format("entries of maps of type {} cannot be deleted", type);
  if (error == kNotSupported || error == EOPNOTSUPP) return fmt::format("maps of type {} cannot do this", type);
  return {};
}

}  // namespace

Result<int> map_call(const Map& map, int command, bpf_attr& attributes, const char* name, bool writes) {
  Result<int> done = bpf_call(command, attributes, name);
  if (done) return done;
  Error error = std::move(done).error();
  if (std::string why = why_not(map, command, error.system_error, writes); !why.empty()) error.hint = std::move(why);
  return fail(std::move(error));
}

}  // namespace weir::kernel
