// What weir says of refused maps, beside what the running kernel takes and refuses.
#include "kernel/map_refusal.h"

#include <unistd.h>

#include <map>
#include <random>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/features.h>
#include <weir/kernel/type_table.h>

namespace weir::kernel {
namespace {

using T = ebpf::MapType;

bool may_ask() {
  return Map::create({.name = "probe", .type = T::kArray, .key_size = 4, .value_size = 4, .max_entries = 1})
      .has_value();
}

std::string hint_of(const ebpf::MapDefinition& definition, const MapOptions& options = {}) {
  const Result<Map> map = Map::create(definition, options);
  return map ? "made" : map.error().hint;
}

TEST(MapRefusal, NamesTheCause) {
  if (!may_ask()) GTEST_SKIP() << "maps cannot be made here";
  EXPECT_EQ(hint_of({.type = T::kUnspec, .key_size = 4, .value_size = 4, .max_entries = 1}), "unspecified map type");
  EXPECT_EQ(hint_of({.type = static_cast<T>(999), .key_size = 4, .value_size = 4, .max_entries = 1}),
            "invalid map type 999");
  EXPECT_EQ(hint_of({.type = T::kHash, .value_size = 4, .max_entries = 1}), "key size is 0, want at least 1 (hash)");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .max_entries = 1}), "value size is 0, want at least 1 (hash)");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .value_size = 4}), "max_entries is 0, want at least 1 (hash)");
  EXPECT_EQ(hint_of({.type = T::kArray, .key_size = 8, .value_size = 4, .max_entries = 1}),
            "key size is 8, want 4 (array)");
  EXPECT_EQ(hint_of({.type = T::kLpmTrie, .key_size = 4, .value_size = 4, .max_entries = 1, .flags = 1}),
            "key size is 4, want 5 to 260 (lpm_trie)");
  EXPECT_EQ(hint_of({.type = T::kLpmTrie, .key_size = 8, .value_size = 4, .max_entries = 1}),
            "maps of type lpm_trie want the flag BPF_F_NO_PREALLOC (0x1)");
  EXPECT_EQ(hint_of({.type = T::kQueue, .key_size = 4, .value_size = 4, .max_entries = 1}),
            "key size is 4, want 0 (queue)");
  EXPECT_EQ(hint_of({.type = T::kArray, .key_size = 4, .value_size = 4, .max_entries = 1, .flags = 2}),
            "maps of type array do not take the flag BPF_F_NO_COMMON_LRU (0x2)");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .value_size = 4, .max_entries = 1, .flags = 0x18}),
            "the flags BPF_F_RDONLY and BPF_F_WRONLY exclude each other");
  EXPECT_EQ(hint_of({.type = T::kDevmap, .key_size = 4, .value_size = 3, .max_entries = 1}),
            "value size is 3, want 4 or 8 (devmap)");
  EXPECT_EQ(hint_of({.type = T::kStackTrace, .key_size = 4, .value_size = 12, .max_entries = 1}),
            "value size is 12, want a multiple of 8 up to 1016 (stack_trace)");
  EXPECT_EQ(hint_of({.type = T::kPercpuArray, .key_size = 4, .value_size = 40000, .max_entries = 1}),
            "value size is 40000, want 1 to 32768 (percpu_array)");
  EXPECT_EQ(hint_of({.type = T::kArrayOfMaps, .key_size = 4, .value_size = 4, .max_entries = 1}),
            "maps of type array_of_maps want an inner map, which shows what they hold");
  EXPECT_EQ(hint_of({.type = T::kSkStorage, .key_size = 4, .value_size = 4, .flags = 1}),
            "maps of type sk_storage want the types (BTF) of their keys and values");
  EXPECT_EQ(hint_of({.type = T::kBloomFilter, .value_size = 4, .max_entries = 1}, {.extra = 16}),
            "a bloom filter has at most 15 hash functions, not 16");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .value_size = 4, .max_entries = 1}, {.extra = 3}),
            "extra is 3, want 0 (hash)");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .value_size = 4, .max_entries = 1}, {.numa_node = 4000}),
            "there is no NUMA node 4000");
  EXPECT_EQ(hint_of({.type = T::kHash, .key_size = 4, .value_size = 1u << 31, .max_entries = 1}),
            "1 entries of 4 + 2147483648 bytes are more than the kernel has room for");
  if (has(T::kRingbuf).value_or(false) && sysconf(_SC_PAGESIZE) == 4096) {
    EXPECT_EQ(hint_of({.type = T::kRingbuf, .max_entries = 5000}),
              "max_entries is 5000, want bytes: a power of two of whole pages, 4096 at least (ringbuf)");
  }
}

// A valid map of each kind; one property at a time, and several by chance, is changed.
class EachKind : public testing::TestWithParam<T> {};

ebpf::MapDefinition valid(T type) {
  ebpf::MapDefinition map{.name = "kind", .type = type, .key_size = 4, .value_size = 4, .max_entries = 1};
  switch (type) {
    case T::kStackTrace: map.value_size = 16; break;
    case T::kLpmTrie: map = {.type = type, .key_size = 8, .value_size = 8, .max_entries = 1, .flags = 1}; break;
    case T::kCgroupStorage:
    case T::kPercpuCgroupStorage: map = {.type = type, .key_size = 16, .value_size = 8}; break;
    case T::kQueue:
    case T::kStack:
    case T::kBloomFilter: map.key_size = 0; break;
    case T::kRingbuf:
    case T::kUserRingbuf: map = {.type = type, .max_entries = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE))}; break;
    case T::kArena: map = {.type = type, .max_entries = 1, .flags = 1u << 10}; break;
    case T::kSkStorage:
    case T::kInodeStorage:
    case T::kTaskStorage:
    case T::kCgrpStorage:
      map.max_entries = 0;
      map.flags = 1;
      break;
    default: break;
  }
  return map;
}

struct Surroundings {
  Map inner = std::move(
      Map::create({.name = "inner", .type = T::kArray, .key_size = 4, .value_size = 4, .max_entries = 1}).value());
  TypeTable types = std::move(TypeTable::load(types_of(ebpf::assemble("main: r0 = 0\nexit").value()).bytes).value());
  MapOptions options(T type) const {
    MapOptions out;
    if (type == T::kArrayOfMaps || type == T::kHashOfMaps) out.inner = &inner;
    if (valid(type).max_entries == 0 && valid(type).flags == 1) {
      out.types = &types;
      out.key_type = out.value_type = 1;
    }
    return out;
  }
};

TEST_P(EachKind, RefusalsHaveACauseAndCausesARefusal) {
  if (!may_ask()) GTEST_SKIP() << "maps cannot be made here";
  const T type = GetParam();
  if (type == T::kStructOps || !has(type).value_or(false)) GTEST_SKIP() << "not made here: " << ebpf::name_of(type);
  const Surroundings with;
  const MapOptions options = with.options(type);
  ASSERT_TRUE(Map::create(valid(type), options)) << Map::create(valid(type), options).error().message;
  std::mt19937 random(7);
  const auto any = [&](std::initializer_list<std::uint32_t> of) { return of.begin()[random() % of.size()]; };
  std::map<bool, int> seen;
  const int rounds = options.types != nullptr ? 30 : 200;  // the kernel takes long to make storages
  for (int round = 0; round < rounds; ++round) {
    ebpf::MapDefinition map = valid(type);
    const unsigned changes = round < rounds / 2 ? 1u << random() % 4 : random() % 16;
    if ((changes & 1) != 0) map.key_size = any({0, 3, 4, 5, 8, 12, 16, 20, 260, 261, 512, 513});
    if ((changes & 2) != 0) map.value_size = any({0, 1, 3, 4, 6, 8, 12, 16, 1016, 1024, 32768, 32776});
    if ((changes & 4) != 0) map.max_entries = any({0, 1, 2, 3, 4096, 5000, 8192, 12288});
    if ((changes & 8) != 0) map.flags ^= 1u << random() % 13;
    const Result<Map> made = Map::create(map, options);
    const std::string cause = why_no_map(map, options, made ? EINVAL : made.error().system_error);
    ++seen[made.has_value()];
    const std::string shown = "key " + std::to_string(map.key_size) + ", value " + std::to_string(map.value_size) +
                              ", entries " + std::to_string(map.max_entries) + ", flags " + std::to_string(map.flags) +
                              ": ";
    // What is said where all else is right is true after a refusal alone.
    if (made && options.types != nullptr && cause.find("those of their types") != std::string::npos) continue;
    if (made) EXPECT_EQ(cause, "") << shown << "the kernel takes it";
    else EXPECT_NE(cause, "") << shown << made.error().message;
  }
  EXPECT_GT(seen[true], 2);
  EXPECT_GT(seen[false], 5);
}

std::vector<T> all_kinds() {
  std::vector<T> out;
  for (std::size_t i = 1; i < ebpf::map_type_names().size(); ++i) out.push_back(static_cast<T>(i));
  return out;
}
INSTANTIATE_TEST_SUITE_P(MapRefusal, EachKind, testing::ValuesIn(all_kinds()),
                         [](const auto& each) { return ebpf::name_of(each.param); });

TEST(MapRefusal, WhoMayNotWriteIsToldWhy) {
  if (!may_ask()) GTEST_SKIP() << "maps cannot be made here";
  const std::uint8_t zero[4] = {};
  const auto make = [](std::uint32_t flags) {
    return std::move(
        Map::create({.name = "m", .type = T::kHash, .key_size = 4, .value_size = 4, .max_entries = 2, .flags = flags})
            .value());
  };
  Map frozen = make(0);
  ASSERT_TRUE(frozen.freeze());
  EXPECT_EQ(frozen.set(zero, zero).error().hint, "the map is frozen: only programs write it");
  EXPECT_EQ(frozen.set(zero, zero).error().system_error, EPERM);
  EXPECT_EQ(frozen.erase(zero).error().hint, "the map is frozen: only programs write it");
  EXPECT_EQ(frozen.set_many(zero, zero).error().hint, "the map is frozen: only programs write it");
  EXPECT_TRUE(is_not_exist(frozen.lookup(zero).error()));
  EXPECT_EQ(make(1u << 3).set(zero, zero).error().hint, "the map's descriptor is for reading alone (BPF_F_RDONLY)");
  EXPECT_EQ(make(1u << 4).lookup(zero).error().hint, "the map's descriptor is for writing alone (BPF_F_WRONLY)");
}

TEST(MapRefusal, RefusedCallsSayWhy) {
  if (!may_ask()) GTEST_SKIP() << "maps cannot be made here";
  const std::uint8_t zero[8] = {};
  const std::uint8_t nine[8] = {9, 9, 9};
  const ByteSpan key(zero, 4);
  const ByteSpan far(nine, 4);
  const auto make = [](const ebpf::MapDefinition& definition) { return std::move(Map::create(definition).value()); };
  Map array = make({.name = "a", .type = T::kArray, .key_size = 4, .value_size = 8, .max_entries = 4});
  EXPECT_EQ(array.set(far, zero).error().hint, "the index is not below 4");
  EXPECT_TRUE(is_too_big(array.set(far, zero).error()));
  EXPECT_EQ(array.erase(key).error().hint, "entries of maps of type array cannot be deleted");
  for (const T type : {T::kProgArray, T::kPerfEventArray, T::kCgroupArray, T::kDevmap, T::kCpumap, T::kXskmap}) {
    Result<Map> slots = Map::create({.name = "s", .type = type, .key_size = 4, .value_size = 4, .max_entries = 4});
    if (!slots) continue;  // not in this kernel
    EXPECT_EQ(slots->set(far, key).error().hint, "the index is not below 4") << ebpf::name_of(type);
  }
  EXPECT_EQ(array.take(key).error().hint, "maps of type array cannot do this");
  EXPECT_EQ(array.contains(zero).error().message, "maps of type array are asked by their keys");
  EXPECT_EQ(array.set_many(ByteSpan(zero, 3), zero).error().message, "3 bytes of keys, want a multiple of 4");
  ASSERT_TRUE(array.freeze());
  EXPECT_EQ(array.freeze().error().hint, "the map is frozen: only programs write it");
  Map hash = make({.name = "h", .type = T::kHash, .key_size = 4, .value_size = 8, .max_entries = 1});
  ASSERT_TRUE(hash.set(key, zero));
  EXPECT_EQ(hash.set(far, zero).error().hint, "the map is full: it takes 1 entries");
  Map trie = make({.name = "t", .type = T::kLpmTrie, .key_size = 8, .value_size = 8, .max_entries = 1, .flags = 1});
  const std::uint8_t longer[8] = {33};
  if (std::endian::native == std::endian::little) {
    EXPECT_EQ(trie.set(longer, zero).error().hint, "the prefix has 33 bits, 32 at most");
  }
  Map queue = make({.name = "q", .type = T::kQueue, .value_size = 4, .max_entries = 1});
  EXPECT_EQ(queue.set_many({}, key).error().message, "maps of type queue have no keys");
}

TEST(MapRefusal, AClosedMapFailsAllCallsAlike) {
  if (!may_ask()) GTEST_SKIP() << "maps cannot be made here";
  Map map =
      std::move(Map::create({.name = "m", .type = T::kHash, .key_size = 4, .value_size = 4, .max_entries = 2}).value());
  map.close();
  const std::uint8_t zero[4] = {};
  const auto never = [](ByteSpan, ByteSpan) { return false; };
  EXPECT_EQ(map.info().error().system_error, EBADF);
  EXPECT_EQ(map.set(zero, zero).error().system_error, EBADF);
  EXPECT_EQ(map.lookup(zero).error().system_error, EBADF);
  EXPECT_EQ(map.take(zero).error().system_error, EBADF);
  EXPECT_EQ(map.erase(zero).error().system_error, EBADF);
  EXPECT_EQ(map.iterate(never).error().system_error, EBADF);
  EXPECT_EQ(map.iterate_many(never).error().system_error, EBADF);
  EXPECT_EQ(map.set_many(zero, zero).error().system_error, EBADF);
  EXPECT_EQ(map.erase_many(zero).error().system_error, EBADF);
  EXPECT_EQ(map.freeze().error().system_error, EBADF);
  EXPECT_EQ(map.pin("/sys/fs/bpf/weir_none").error().system_error, EBADF);
  map.close();
}

}  // namespace
}  // namespace weir::kernel
