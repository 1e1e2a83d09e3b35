// Maps against the kernel's: the same random operations on both give the same results. And what the kernel cannot be
// asked: pointers that stay valid, many threads, bad definitions.
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <weir/runtime/dump.h>
#include <weir/runtime/map.h>

#include "bpf_syscall.h"

namespace weir::runtime {
namespace {

using ebpf::MapDefinition;
using ebpf::MapType;

std::shared_ptr<Map> made(const MapDefinition& definition, const MapOptions& options = {}) {
  Result<std::shared_ptr<Map>> map = make_map(definition, options);
  EXPECT_TRUE(map) << map.error().message;
  return *map;
}

struct Shape {
  MapType type;
  unsigned key, value, entries, flags;
};

// The kernel rounds what it keeps of a full hash table's per-CPU spares; these shapes have none to show.
constexpr Shape kShapes[] = {{MapType::kHash, 4, 8, 16, 0},    {MapType::kHash, 4, 8, 16, 1},
                             {MapType::kHash, 13, 3, 40, 0},   {MapType::kArray, 4, 5, 16, 0},
                             {MapType::kLpmTrie, 8, 8, 16, 1}, {MapType::kLpmTrie, 5, 4, 30, 1}};

class AgainstKernel : public testing::TestWithParam<Shape> {};

TEST_P(AgainstKernel, RandomOperations) {
  WEIR_REQUIRE_KERNEL_BPF();
  const Shape shape = GetParam();
  const int kernel =
      tests::make_kernel_map(static_cast<unsigned>(shape.type), shape.key, shape.value, shape.entries, shape.flags);
  ASSERT_GE(kernel, 0);
  const auto map = made({"m", shape.type, shape.key, shape.value, shape.entries, shape.flags});
  std::mt19937_64 random(5);
  std::vector<std::uint8_t> key(shape.key), value(shape.value), theirs(shape.value);
  for (int round = 0; round < 20000; ++round) {
    for (std::uint8_t& byte : key) byte = 0;
    key[0] = static_cast<std::uint8_t>(random() % (shape.type == MapType::kArray ? 20 : 30));
    if (shape.type == MapType::kLpmTrie) {
      key[0] = static_cast<std::uint8_t>(random() % (shape.key * 8 - 32 + 2));
      for (unsigned i = 4; i < shape.key; ++i) key[i] = static_cast<std::uint8_t>(random() % 3 * 0x55);
    }
    for (std::uint8_t& byte : value) byte = static_cast<std::uint8_t>(random());
    bpf_attr attributes = tests::no_attributes();
    attributes.map_fd = static_cast<unsigned>(kernel);
    attributes.key = tests::pointer(key.data());
    attributes.value = tests::pointer(value.data());
    switch (random() % 4) {
      case 0:
      case 1: {
        const std::uint64_t flags = random() % 4;
        attributes.flags = flags;
        const int expected = tests::bpf(BPF_MAP_UPDATE_ELEM, attributes);
        ASSERT_EQ(map->update(key.data(), value.data(), flags, 0), expected) << "update, flags " << flags;
        break;
      }
      case 2: {
        attributes.value = tests::pointer(theirs.data());
        const int expected = tests::bpf(BPF_MAP_LOOKUP_ELEM, attributes);
        const void* found = map->lookup(key.data(), 0);
        ASSERT_EQ(found != nullptr, expected == 0);
        if (found != nullptr) {
          ASSERT_EQ(std::memcmp(found, theirs.data(), shape.value), 0);
        }
        break;
      }
      default: {
        attributes.value = 0;
        const int expected = tests::bpf(BPF_MAP_DELETE_ELEM, attributes);
        ASSERT_EQ(map->erase(key.data()), expected) << "delete";
        break;
      }
    }
  }
  // Both hold the same keys.
  std::map<std::string, int> ours, kernels;
  std::vector<std::uint8_t> next(shape.key);
  for (int more = map->next_key(nullptr, next.data()); more == 0; more = map->next_key(key.data(), next.data())) {
    key = next;
    ++ours[{key.begin(), key.end()}];
  }
  bpf_attr attributes = tests::no_attributes();
  attributes.map_fd = static_cast<unsigned>(kernel);
  attributes.next_key = tests::pointer(next.data());
  for (int more = tests::bpf(BPF_MAP_GET_NEXT_KEY, attributes); more == 0;
       more = tests::bpf(BPF_MAP_GET_NEXT_KEY, attributes)) {
    key = next;
    ++kernels[{key.begin(), key.end()}];
    attributes.key = tests::pointer(key.data());
  }
  EXPECT_EQ(ours, kernels);
  close(kernel);
}
INSTANTIATE_TEST_SUITE_P(Shapes, AgainstKernel, testing::ValuesIn(kShapes));

TEST(Maps, QueuesAndStacksAreTheKernels) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const MapType type : {MapType::kQueue, MapType::kStack}) {
    const int kernel = tests::make_kernel_map(static_cast<unsigned>(type), 0, 4, 5);
    ASSERT_GE(kernel, 0);
    const auto map = made({"q", type, 0, 4, 5});
    std::mt19937_64 random(6);
    for (int round = 0; round < 5000; ++round) {
      std::uint32_t value = static_cast<std::uint32_t>(random());
      std::uint32_t theirs = value;
      bpf_attr attributes = tests::no_attributes();
      attributes.map_fd = static_cast<unsigned>(kernel);
      attributes.value = tests::pointer(&theirs);
      const auto operation = random() % 4;
      if (operation < 2) {
        attributes.flags = random() % 3;
        ASSERT_EQ(map->push(&value, attributes.flags), tests::bpf(BPF_MAP_UPDATE_ELEM, attributes));
      } else if (operation == 2) {
        const int expected = tests::bpf(BPF_MAP_LOOKUP_ELEM, attributes);
        ASSERT_EQ(map->peek(&value), expected);
        if (expected == 0) {
          ASSERT_EQ(value, theirs);
        }
      } else {
        const int expected = tests::bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, attributes);
        ASSERT_EQ(map->pop(&value), expected);
        if (expected == 0) {
          ASSERT_EQ(value, theirs);
        }
      }
    }
    close(kernel);
  }
}

// What the kernel refuses to make we refuse, and the other way round.
TEST(Maps, DefinitionsAreAcceptedAsByTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  std::mt19937_64 random(8);
  constexpr MapType kTypes[] = {MapType::kHash,    MapType::kArray,    MapType::kPercpuHash, MapType::kPercpuArray,
                                MapType::kLruHash, MapType::kLpmTrie,  MapType::kQueue,      MapType::kStack,
                                MapType::kRingbuf, MapType::kProgArray};
  for (int round = 0; round < 1500; ++round) {
    constexpr unsigned kSizes[] = {0, 1, 4, 5, 8, 64, 260, 264, 512, 513};
    const MapType type = kTypes[random() % std::size(kTypes)];
    const unsigned key = random() % 2 == 0 ? 4 : kSizes[random() % std::size(kSizes)];
    const unsigned value = random() % 2 == 0 ? 4 : kSizes[random() % std::size(kSizes)];
    constexpr unsigned kEntries[] = {0, 1, 3, 100, 4096, 5000, 8192};
    const unsigned entries = kEntries[random() % std::size(kEntries)];
    const unsigned flags = type == MapType::kLpmTrie && random() % 4 != 0 ? 1 : 0;
    const int kernel = tests::make_kernel_map(static_cast<unsigned>(type), key, value, entries, flags);
    if (kernel >= 0) close(kernel);
    if (kernel == -ENOMEM || kernel == -EPERM) continue;
    const auto map = make_map({"m", type, key, value, entries, flags});
    ASSERT_EQ(map.has_value(), kernel >= 0)
        << name_of(type) << " key " << key << " value " << value << " entries " << entries << " flags " << flags
        << ": kernel " << kernel << (map ? "" : ", we: " + map.error().message);
  }
}

TEST(Maps, PointersStayValidWhileOthersComeAndGo) {
  const auto map = made({"m", MapType::kHash, 4, 8, 1000});
  const std::uint32_t first = 7;
  std::uint64_t value = 42;
  ASSERT_EQ(map->update(&first, &value, kAny, 0), 0);
  auto* place = static_cast<std::uint64_t*>(map->lookup(&first, 0));
  for (std::uint32_t key = 100; key < 1099; ++key) ASSERT_EQ(map->update(&key, &value, kAny, 0), 0);
  const std::uint32_t extra = 5000;
  EXPECT_EQ(map->update(&extra, &value, kAny, 0), -E2BIG);
  EXPECT_EQ(map->update(&first, &value, kAny, 0), 0) << "a full table still replaces";
  for (std::uint32_t key = 100; key < 1099; ++key) ASSERT_EQ(map->erase(&key), 0);
  EXPECT_EQ(map->lookup(&first, 0), place);
  *place = 43;
  EXPECT_EQ(*static_cast<std::uint64_t*>(map->lookup(&first, 0)), 43u);
  EXPECT_TRUE(map->contains(reinterpret_cast<std::uint64_t>(place), 8));
  EXPECT_FALSE(map->contains(reinterpret_cast<std::uint64_t>(place), 9));
  EXPECT_FALSE(map->contains(reinterpret_cast<std::uint64_t>(place) - 1, 8));
  EXPECT_FALSE(map->contains(0, 8));
}

TEST(Maps, PerCpuValuesAreApart) {
  for (const MapType type : {MapType::kPercpuArray, MapType::kPercpuHash}) {
    const auto map = made({"m", type, 4, 12, 4}, {.cpus = 3});
    const std::uint32_t key = 2;
    std::uint8_t value[12] = {1, 2, 3};
    ASSERT_EQ(map->update(&key, value, kAny, 1), 0);
    EXPECT_EQ(std::memcmp(map->lookup(&key, 1), value, 12), 0);
    const std::uint8_t zeros[12] = {};
    EXPECT_EQ(std::memcmp(map->lookup(&key, 0), zeros, 12), 0);
    EXPECT_EQ(std::memcmp(map->lookup(&key, 2), zeros, 12), 0);
    EXPECT_NE(map->lookup(&key, 0), map->lookup(&key, 2));
  }
}

TEST(Maps, LruDropsWhatIsNotUsed) {
  const auto map = made({"m", MapType::kLruHash, 4, 4, 100});
  const std::uint32_t hot = 1000000;
  ASSERT_EQ(map->update(&hot, &hot, kAny, 0), 0);
  for (std::uint32_t key = 0; key < 10000; ++key) {
    ASSERT_EQ(map->update(&key, &key, kAny, 0), 0);
    ASSERT_NE(map->lookup(&hot, 0), nullptr) << "looked up all the time, and dropped at " << key;
    ASSERT_LE(map->size(), 100u);
  }
  EXPECT_EQ(map->size(), 100u);
}

TEST(Maps, RingBufferKeepsOrderAndWraps) {
  const auto map = made({"r", MapType::kRingbuf, 0, 0, 4096});
  auto& ring = dynamic_cast<RingBuffer&>(*map);
  std::mt19937 random(4);
  std::uint32_t written = 0;
  std::uint32_t seen = 0;
  for (int round = 0; round < 3000; ++round) {
    while (void* record = ring.reserve(4 + random() % 600)) {
      EXPECT_TRUE(map->contains(reinterpret_cast<std::uint64_t>(record), 4));
      EXPECT_GE(ring.reserved_size(record).value_or(0), 4u);
      std::memset(record, 0xab, ring.reserved_size(record).value_or(0));
      std::memcpy(record, &written, 4);
      if (random() % 5 == 0) {
        ring.discard(record);
      } else {
        ring.commit(record);
        ++written;
      }
      EXPECT_FALSE(map->contains(reinterpret_cast<std::uint64_t>(record), 4)) << "handed in";
      if (random() % 8 == 0) break;
    }
    ring.consume([&](ByteSpan bytes) {
      std::uint32_t number;
      std::memcpy(&number, bytes.data(), 4);
      EXPECT_EQ(number, seen++);
    });
  }
  EXPECT_EQ(written, seen);
  void* busy = ring.reserve(8);
  void* done = ring.reserve(8);
  ring.commit(done);
  EXPECT_EQ(ring.consume([](ByteSpan) {}), 0u) << "nothing may pass a record that is being written";
  ring.commit(busy);
  EXPECT_EQ(ring.consume([](ByteSpan) {}), 2u);
  EXPECT_EQ(ring.reserve(4096), nullptr);
}

TEST(Maps, BloomFiltersForgetNothing) {
  const auto map = made({"b", MapType::kBloomFilter, 0, 8, 1000});
  for (std::uint64_t value = 0; value < 1000; ++value) ASSERT_EQ(map->push(&value, kAny), 0);
  for (std::uint64_t value = 0; value < 1000; ++value) EXPECT_EQ(map->peek(&value), 0);
  int wrong = 0;
  for (std::uint64_t value = 1000; value < 11000; ++value) wrong += map->peek(&value) == 0 ? 1 : 0;
  EXPECT_LT(wrong, 1500);
}

TEST(Maps, ManyThreadsLoseNothing) {
  const auto map = made({"m", MapType::kHash, 8, 8, 4096});
  const std::uint64_t shared = 99;
  const std::uint64_t zero = 0;
  ASSERT_EQ(map->update(&shared, &zero, kAny, 0), 0);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 20000; ++i) {
        __atomic_fetch_add(static_cast<std::uint64_t*>(map->lookup(&shared, 0)), 1, __ATOMIC_RELAXED);
        const std::uint64_t key = 1000 * (t + 1) + random() % 500;
        if (random() % 2 == 0) map->update(&key, &key, kAny, 0);
        else map->erase(&key);
        const void* found = map->lookup(&key, 0);
        if (found != nullptr) {
          ASSERT_EQ(*static_cast<const std::uint64_t*>(found), key);
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*static_cast<std::uint64_t*>(map->lookup(&shared, 0)), 80000u);
}

TEST(Maps, LimitsHoldWhateverTheNumbers) {
  // Products that do not fit into 64 bits are no small maps.
  const auto refused = [](const MapDefinition& definition, const MapOptions& options) {
    const Result<std::shared_ptr<Map>> map = make_map(definition, options);
    return map ? ErrorCode::kBadInput : map.error().code;
  };
  EXPECT_EQ(refused({"m", MapType::kPercpuArray, 4, 32768, 1u << 30}, {.cpus = 1u << 30}), ErrorCode::kLimit);
  EXPECT_EQ(refused({"m", MapType::kPercpuArray, 4, 32768, 1u << 30}, {.cpus = 1u << 30, .memory_limit = UINT64_MAX}),
            ErrorCode::kLimit);
  EXPECT_EQ(refused({"m", MapType::kArray, 4, 1u << 21, UINT32_MAX}, {.memory_limit = UINT64_MAX}), ErrorCode::kLimit);
  EXPECT_EQ(refused({"m", MapType::kLruHash, 4, 1u << 20, 1u << 30}, {.memory_limit = UINT64_MAX}), ErrorCode::kLimit);
  EXPECT_EQ(refused({"m", MapType::kPercpuHash, 4, 4, 4}, {.cpus = 0}), ErrorCode::kUsage);
  EXPECT_FALSE(make_map({"m", MapType::kPercpuArray, 4, 32776, 1}));
  // Rings and filters take what they say, not an entry's overhead for each byte.
  EXPECT_TRUE(make_map({"m", MapType::kRingbuf, 0, 0, 1u << 28}));
  EXPECT_FALSE(make_map({"m", MapType::kRingbuf, 0, 0, 1u << 28}, {.memory_limit = 1u << 28}));
  EXPECT_TRUE(make_map({"m", MapType::kBloomFilter, 0, 16, 20'000'000}));
}

TEST(Maps, PerCpuMapsTellHowManyValues) {
  EXPECT_EQ(made({"m", MapType::kPercpuHash, 4, 4, 4}, {.cpus = 3})->cpus(), 3u);
  EXPECT_EQ(made({"m", MapType::kPercpuArray, 4, 4, 4}, {.cpus = 3})->cpus(), 3u);
  EXPECT_EQ(made({"m", MapType::kHash, 4, 4, 4}, {.cpus = 3})->cpus(), 1u);
}

TEST(Maps, RecordsWithoutBytes) {
  auto map = made({"r", MapType::kRingbuf, 0, 0, 4096});
  auto& ring = dynamic_cast<RingBuffer&>(*map);
  void* const record = ring.reserve(0);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(ring.reserved_size(record), std::optional<std::uint64_t>(0));
  EXPECT_EQ(ring.reserve(4088), nullptr) << "8 bytes are taken";
  ring.commit(record);
  EXPECT_EQ(ring.reserved_size(record), std::nullopt);
  std::vector<std::size_t> sizes;
  EXPECT_EQ(ring.consume([&](ByteSpan bytes) { sizes.push_back(bytes.size()); }), 1u);
  EXPECT_EQ(sizes, std::vector<std::size_t>{0});
  EXPECT_EQ(ring.reserve(4088), nullptr) << "a byte stays free";
  EXPECT_NE(ring.reserve(4080), nullptr) << "all but a byte is one record";
  EXPECT_EQ(ring.reserve(0), nullptr);
}

// Records that are finished in any order, all over the ring: what is being written is known by each of its bytes.
TEST(Maps, RecordsBeingWrittenAreKnown) {
  const auto map = made({"r", MapType::kRingbuf, 0, 0, 4096});
  auto& ring = dynamic_cast<RingBuffer&>(*map);
  std::mt19937 random(11);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> open;  // where, and how many bytes
  std::vector<std::uint64_t> closed;
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t bytes = random() % 3 == 0 ? 0 : random() % 900;
    if (void* const record = ring.reserve(bytes)) open.emplace_back(reinterpret_cast<std::uint64_t>(record), bytes);
    if (!open.empty() && random() % 8 < 7) {
      const std::size_t which = random() % open.size();
      auto* const record = reinterpret_cast<void*>(open[which].first);
      random() % 2 == 0 ? ring.commit(record) : ring.discard(record);
      closed.push_back(open[which].first);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
    }
    if (random() % 4 == 0) ring.consume([](ByteSpan) {});
    for (const auto& [at, size] : open) {
      ASSERT_EQ(ring.reserved_size(reinterpret_cast<const void*>(at)), std::optional(size));
      ASSERT_TRUE(map->contains(at, size));
      ASSERT_TRUE(map->contains(at + size, 0));
      ASSERT_TRUE(size == 0 || map->contains(at + size - 1, 1));
      ASSERT_FALSE(map->contains(at, size + 1));
      ASSERT_FALSE(map->contains(at - 1, 1));
      ASSERT_EQ(ring.reserved_size(reinterpret_cast<const void*>(at + 4)), std::nullopt);
    }
    for (const std::uint64_t at : closed) {
      const bool again = std::any_of(open.begin(), open.end(), [at](const auto& one) { return one.first == at; });
      ASSERT_EQ(ring.reserved_size(reinterpret_cast<const void*>(at)).has_value(), again);
    }
    if (closed.size() > 20) closed.clear();
  }
}

// Programs ask for each access whether a record holds it: what was written before must not be walked each time.
TEST(Maps, ManyRecordsCostNothing) {
  const auto map = made({"r", MapType::kRingbuf, 0, 0, 1u << 24});
  auto& ring = dynamic_cast<RingBuffer&>(*map);
  while (void* const record = ring.reserve(0)) {
    ring.commit(record);
    ASSERT_EQ(ring.reserved_size(record), std::nullopt);
    ASSERT_FALSE(map->contains(reinterpret_cast<std::uint64_t>(record), 1));
  }
  EXPECT_EQ(ring.available(), (1u << 24) - 8);
}

// Results as the kernel's: fd_array_map_delete_elem, array_map_get_next_key.
TEST(Maps, ArraysOfReferencesCountLikeArrays) {
  auto map = made({"p", MapType::kProgArray, 4, 4, 3});
  auto& array = dynamic_cast<ReferenceMap&>(*map);
  const std::uint32_t one = 1, three = 3;
  EXPECT_EQ(array.set_reference(&one, nullptr), -EINVAL);
  EXPECT_EQ(array.set_reference(&three, map), -E2BIG);
  EXPECT_EQ(array.erase(&three), -E2BIG);
  EXPECT_EQ(array.erase(&one), -ENOENT);
  EXPECT_EQ(array.set_reference(&one, std::make_shared<int>(7)), 0);
  EXPECT_EQ(array.size(), 1u);
  std::uint32_t key = 77;
  std::vector<std::uint32_t> keys;
  for (int more = array.next_key(&key, &key); more == 0; more = array.next_key(&key, &key)) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(array.erase(&one), 0);
  EXPECT_EQ(array.reference(&one), nullptr);
}

TEST(Maps, MapsOfMapsHoldWhatIsLikeTheInnerOne) {
  const std::uint32_t zero = 0;
  const auto wide = made({"w", MapType::kArray, 4, 16, 2});
  for (const MapType type : {MapType::kArrayOfMaps, MapType::kHashOfMaps}) {
    const auto any = made({"o", type, 4, 4, 2});
    EXPECT_EQ(dynamic_cast<ReferenceMap&>(*any).inner(), nullptr);
    EXPECT_EQ(dynamic_cast<ReferenceMap&>(*any).set_reference(&zero, wide), 0);
    const auto map = made({"o", type, 4, 4, 2}, {.inner = made({"i", MapType::kArray, 4, 8, 2})});
    auto& outer = dynamic_cast<ReferenceMap&>(*map);
    ASSERT_NE(outer.inner(), nullptr);
    EXPECT_EQ(outer.inner()->value_size, 8u);
    EXPECT_EQ(outer.set_reference(&zero, wide), -EINVAL);
    EXPECT_EQ(outer.set_reference(&zero, made({"n", MapType::kArray, 4, 8, 3})), -EINVAL);
    EXPECT_EQ(outer.set_reference(&zero, made({"n", MapType::kArray, 4, 8, 2})), 0);
  }
}

TEST(Maps, MapsOfMapsHoldNoMapsOfMaps) {
  MapOptions options;
  options.inner = make_map({"mid", ebpf::MapType::kArrayOfMaps, 4, 4, 1}).value();
  for (const ebpf::MapType type : {ebpf::MapType::kArrayOfMaps, ebpf::MapType::kHashOfMaps}) {
    const auto map = make_map({"o", type, 4, 4, 1}, options);
    ASSERT_FALSE(map);
    EXPECT_NE(map.error().message.find("maps of maps hold no maps that hold maps themselves"), std::string::npos);
  }
}

TEST(Maps, BadDefinitionsAreNamed) {
  EXPECT_EQ(make_map({"m", MapType::kHash, 4, 4, 0}).error().message, "map 'm' (hash): it needs at least one entry");
  EXPECT_EQ(make_map({"m", MapType::kArray, 8, 4, 1}).error().message, "map 'm' (array): keys of arrays have 4 bytes");
  EXPECT_EQ(make_map({"m", MapType::kSockmap, 4, 4, 1}).error().message, "maps of type sockmap need a kernel");
  EXPECT_EQ(make_map({"m", MapType::kHash, 4, 1 << 20, 1 << 20}).error().code, ErrorCode::kLimit);
}

// Whatever many threads do at once, sizes stay right and nothing is read that was not written.
TEST(Maps, NumbersBecomeKeysOfTheirSize) {
  const auto number = [](std::string_view text, std::size_t size) {
    const auto bytes = bytes_of_number(text, size);
    if (!bytes) return std::string(bytes.error().code == ErrorCode::kLimit ? "too large" : "no number");
    std::uint64_t low = 0;
    std::memcpy(&low, bytes->data(), std::min<std::size_t>(size, 8));
    return hex_text(&low, 8) + (size > 8 ? fmt::format(" {:02x}", bytes->back()) : "");
  };
  if (std::endian::native != std::endian::little) GTEST_SKIP() << "the bytes below are those of small ends";
  EXPECT_EQ(number("5", 4), "05 00 00 00 00 00 00 00");
  EXPECT_EQ(number("0x1F", 1), "1f 00 00 00 00 00 00 00");
  EXPECT_EQ(number("-1", 2), "ff ff 00 00 00 00 00 00");
  EXPECT_EQ(number("-128", 1), "80 00 00 00 00 00 00 00");
  EXPECT_EQ(number("-2", 12), "fe ff ff ff ff ff ff ff ff");
  EXPECT_EQ(number("-0", 12), "00 00 00 00 00 00 00 00 00");
  EXPECT_EQ(number("18446744073709551615", 8), "ff ff ff ff ff ff ff ff");
  for (const char* large : {"256", "-129", "18446744073709551616", "0x100"})
    EXPECT_EQ(number(large, 1), "too large") << large;
  EXPECT_EQ(number("1", 0), "too large");
  for (const char* none : {"", "-", "0x", "--1", "+1", "1 ", "0x-1", "ten", "1.0"})
    EXPECT_EQ(number(none, 4), "no number") << none;
}

TEST(Maps, EveryTypeFromManyThreads) {
  const MapDefinition kTypes[] = {{"array", MapType::kArray, 4, 8, 64},
                                  {"percpu", MapType::kPercpuArray, 4, 8, 64},
                                  {"hash", MapType::kHash, 4, 8, 64},
                                  {"lru", MapType::kLruHash, 4, 8, 64},
                                  {"percpu_hash", MapType::kPercpuHash, 4, 8, 64},
                                  {"long", MapType::kHash, 21, 8, 64},
                                  {"trie", MapType::kLpmTrie, 8, 8, 64, 1},
                                  {"queue", MapType::kQueue, 0, 8, 64},
                                  {"stack", MapType::kStack, 0, 8, 64},
                                  {"bloom", MapType::kBloomFilter, 0, 8, 64},
                                  {"ring", MapType::kRingbuf, 0, 0, 4096}};
  for (const MapDefinition& shape : kTypes) {
    SCOPED_TRACE(shape.name);
    const auto map = made(shape, {.cpus = 4});
    auto* ring = dynamic_cast<RingBuffer*>(map.get());
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        std::uint8_t key[32] = {};
        std::uint8_t next[32] = {};
        for (int i = 0; i < 3000; ++i) {
          const std::uint64_t value = random();
          std::uint64_t out = 0;
          const auto number = static_cast<std::uint32_t>(random() % 80);
          std::memcpy(key, &number, 4);
          if (shape.type == MapType::kLpmTrie) key[0] = static_cast<std::uint8_t>(number % 33);
          if (shape.type == MapType::kLpmTrie) key[4] = static_cast<std::uint8_t>(number);
          switch (random() % 6) {
            case 0:
            case 1:
              if (ring != nullptr) {
                if (void* record = ring->reserve(1 + value % 100)) ring->commit(record);
              } else if (shape.key_size == 0) {
                map->push(&value, kAny);
              } else {
                map->update(key, &value, kAny, t);
              }
              break;
            case 2:
              if (shape.key_size != 0) map->erase(key);
              else map->pop(&out);
              break;
            case 3:
              if (shape.key_size != 0) (void)map->next_key(key, next);
              else if (ring != nullptr) ring->consume([](ByteSpan) {});
              else map->peek(&out);
              break;
            default:
              if (shape.key_size != 0) (void)map->lookup(key, t);
              else (void)map->size();
          }
        }
      });
    for (std::thread& thread : threads) thread.join();
    std::uint32_t count = 0;
    std::vector<std::uint8_t> key(32);
    std::vector<std::uint8_t> next(32);
    if (shape.key_size == 0) continue;
    for (int more = map->next_key(nullptr, next.data()); more == 0; more = map->next_key(key.data(), next.data())) {
      key = next;
      ++count;
      ASSERT_LE(count, 64u);
    }
    EXPECT_EQ(count, map->size());
  }
}

}  // namespace
}  // namespace weir::runtime
