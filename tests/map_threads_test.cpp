// Maps of all kinds under several threads at once: lookups, updates, deletions, iteration, records, and programs in
// the interpreter and as machine code on the same maps. What must hold when all have ended is checked, and that no word
// is torn. Built with -fsanitize=thread (-DWEIR_SANITIZE=thread) it shows races as well.
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/runtime/map.h>

#include "rounds.h"

namespace weir {
namespace {

using ebpf::MapType;
using runtime::Map;

constexpr unsigned kThreads = 4;
constexpr std::uint32_t kKeys = 96;

template <typename Work>
void in_threads(Work work) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
}

std::uint64_t word_at(const void* place) {
  return __atomic_load_n(static_cast<const std::uint64_t*>(place), __ATOMIC_RELAXED);
}

struct Key {
  std::uint8_t bytes[24] = {};
  Key(const Map& map, std::uint32_t number) {
    if (map.definition().type == MapType::kLpmTrie) {
      const std::uint32_t bits = 32;
      std::memcpy(bytes, &bits, 4);
      std::memcpy(bytes + 4, &number, 4);
    } else {
      std::memcpy(bytes, &number, 4);
    }
  }
};

std::uint32_t number_of(const Map& map, const std::uint8_t* key) {
  std::uint32_t number = 0;
  std::memcpy(&number, key + (map.definition().type == MapType::kLpmTrie ? 4 : 0), 4);
  return number;
}

class Tables : public testing::TestWithParam<ebpf::MapDefinition> {};

// Values are words that tell their key in both halves. A value that is looked at may be deleted meanwhile and be
// another key's, so while threads run only the halves must agree.
TEST_P(Tables, AreWholeAfterAllThreads) {
  const std::shared_ptr<Map> map = runtime::make_map(GetParam(), {.cpus = kThreads}).value();
  const bool is_array = GetParam().type == MapType::kArray || GetParam().type == MapType::kPercpuArray;
  const bool is_lru = GetParam().type == MapType::kLruHash || GetParam().type == MapType::kLruPercpuHash;
  const int rounds = tests::rounds(40000);
  std::atomic<int> torn{0};
  in_threads([&](unsigned thread) {
    std::mt19937 random(thread + 1);
    std::vector<std::uint8_t> value(map->value_size());
    std::uint8_t next[24];
    for (int i = 0; i < rounds; ++i) {
      const std::uint32_t number = random() % kKeys;
      const Key key(*map, number);
      const std::uint64_t word = std::uint64_t{number + 1} << 32 | (number + 1);
      for (std::size_t k = 0; k + 8 <= value.size(); k += 8) std::memcpy(&value[k], &word, 8);
      switch (random() % 5) {
        case 0:
        case 1: map->update(key.bytes, value.data(), random() % 3, thread); break;
        case 2: map->erase(key.bytes); break;
        case 3: {
          std::uint8_t from[24];
          std::memcpy(from, key.bytes, sizeof from);
          for (int k = 0; k < 8 && map->next_key(k == 0 ? nullptr : from, next) == 0; ++k)
            std::memcpy(from, next, sizeof from);
          break;
        }
        default:
          if (const void* found = map->lookup(key.bytes, thread)) {
            const std::uint64_t seen = word_at(found);
            torn += seen >> 32 != (seen & UINT32_MAX);
          }
      }
    }
  });
  EXPECT_EQ(torn, 0);
  // Alone again: all is as if it had been done in some order.
  std::set<std::uint32_t> numbers;
  std::uint8_t key[24];
  std::uint8_t next[24];
  for (int more = map->next_key(nullptr, next); more == 0; more = map->next_key(key, next)) {
    std::memcpy(key, next, sizeof key);
    const std::uint32_t number = number_of(*map, key);
    ASSERT_TRUE(numbers.insert(number).second) << "the key " << number << " comes twice";
    for (unsigned cpu = 0; cpu < kThreads; ++cpu) {
      const void* value = map->lookup(key, cpu);
      ASSERT_NE(value, nullptr);
      const std::uint64_t seen = word_at(value);
      EXPECT_TRUE(seen == 0 || seen == (std::uint64_t{number + 1} << 32 | (number + 1))) << number;
    }
  }
  EXPECT_EQ(map->size(), numbers.size());
  if (is_array) return;
  EXPECT_LE(numbers.size(), is_lru ? GetParam().max_entries : kKeys);
  for (const std::uint32_t number : numbers) EXPECT_EQ(map->erase(Key(*map, number).bytes), 0);
  EXPECT_EQ(map->size(), 0u);
  EXPECT_NE(map->next_key(nullptr, next), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Threads, Tables,
    testing::Values(
        ebpf::MapDefinition{.name = "hash", .type = MapType::kHash, .key_size = 4, .value_size = 8, .max_entries = 64},
        ebpf::MapDefinition{
            .name = "wide_hash", .type = MapType::kHash, .key_size = 20, .value_size = 32, .max_entries = 128},
        ebpf::MapDefinition{
            .name = "percpu_hash", .type = MapType::kPercpuHash, .key_size = 8, .value_size = 8, .max_entries = 64},
        ebpf::MapDefinition{
            .name = "lru", .type = MapType::kLruHash, .key_size = 4, .value_size = 16, .max_entries = 40},
        ebpf::MapDefinition{
            .name = "percpu_lru", .type = MapType::kLruPercpuHash, .key_size = 4, .value_size = 8, .max_entries = 40},
        ebpf::MapDefinition{
            .name = "array", .type = MapType::kArray, .key_size = 4, .value_size = 24, .max_entries = 64},
        ebpf::MapDefinition{
            .name = "percpu_array", .type = MapType::kPercpuArray, .key_size = 4, .value_size = 8, .max_entries = 64},
        ebpf::MapDefinition{
            .name = "trie", .type = MapType::kLpmTrie, .key_size = 8, .value_size = 8, .max_entries = 64, .flags = 1}),
    [](const auto& test) { return test.param.name; });

class Queues : public testing::TestWithParam<MapType> {};

// What goes in comes out once, or is left.
TEST_P(Queues, KeepAndGiveEachElementOnce) {
  const auto map = runtime::make_map({.name = "q", .type = GetParam(), .value_size = 8, .max_entries = 50}).value();
  const int rounds = tests::rounds(40000);
  std::vector<std::uint64_t> in[kThreads], out[kThreads];
  in_threads([&](unsigned thread) {
    std::mt19937 random(thread + 1);
    for (int i = 0; i < rounds; ++i) {
      std::uint64_t value = std::uint64_t{thread} << 32 | static_cast<unsigned>(i);
      switch (random() % 4) {
        case 0:
        case 1:
          if (map->push(&value, 0) == 0) in[thread].push_back(value);
          break;
        case 2:
          if (map->peek(&value) != 0) break;
          EXPECT_LT(value >> 32, kThreads);
          break;
        default:
          if (map->pop(&value) == 0) out[thread].push_back(value);
      }
    }
  });
  std::multiset<std::uint64_t> given, taken;
  for (unsigned i = 0; i < kThreads; ++i) {
    given.insert(in[i].begin(), in[i].end());
    taken.insert(out[i].begin(), out[i].end());
  }
  EXPECT_LE(map->size(), 50u);
  for (std::uint64_t value = 0; map->pop(&value) == 0;) taken.insert(value);
  EXPECT_EQ(given, taken);
}
INSTANTIATE_TEST_SUITE_P(Threads, Queues, testing::Values(MapType::kQueue, MapType::kStack),
                         [](const auto& test) { return test.param == MapType::kQueue ? "queue" : "stack"; });

TEST(Threads, RecordsComeInTheOrderOfTheirThread) {
  const auto made = runtime::make_map({.name = "r", .type = MapType::kRingbuf, .max_entries = 4096}).value();
  auto& ring = static_cast<runtime::RingBuffer&>(*made);
  const int rounds = tests::rounds(40000);
  std::atomic<unsigned> writing{kThreads - 1};
  std::vector<std::uint64_t> kept[kThreads];
  std::map<std::uint64_t, std::vector<std::uint64_t>> read;
  in_threads([&](unsigned thread) {
    std::mt19937 random(thread + 1);
    if (thread == kThreads - 1) {  // the reader
      const auto use = [&](ByteSpan bytes) {
        std::uint64_t words[2];
        ASSERT_GE(bytes.size(), sizeof words);
        std::memcpy(words, bytes.data(), sizeof words);
        EXPECT_EQ(bytes.size(), 16 + words[1] % 40);
        read[words[0]].push_back(words[1]);
      };
      while (writing != 0) {
        ring.consume(use);
        std::this_thread::yield();
      }
      ring.consume(use);
      return;
    }
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(rounds); ++i) {
      void* record = ring.reserve(16 + i % 40);
      if (record == nullptr) {
        std::this_thread::yield();
        continue;
      }
      EXPECT_EQ(ring.reserved_size(record).value_or(0), 16 + i % 40);
      EXPECT_TRUE(ring.contains(reinterpret_cast<std::uint64_t>(record), 16));
      const std::uint64_t words[2] = {thread, i};
      std::memcpy(record, words, sizeof words);
      if (random() % 8 == 0) {
        ring.discard(record);
      } else {
        ring.commit(record);
        kept[thread].push_back(i);
      }
    }
    --writing;
  });
  for (unsigned thread = 0; thread + 1 < kThreads; ++thread) EXPECT_EQ(read[thread], kept[thread]);
  EXPECT_EQ(ring.available(), 0u);
}

TEST(Threads, BloomFiltersAndMapsOfMaps) {
  const ebpf::MapDefinition plain{
      .name = "in", .type = MapType::kArray, .key_size = 4, .value_size = 8, .max_entries = 4};
  std::shared_ptr<Map> inner[kThreads];
  for (auto& each : inner) each = runtime::make_map(plain).value();
  const auto bloom =
      runtime::make_map({.name = "b", .type = MapType::kBloomFilter, .value_size = 8, .max_entries = 256}).value();
  const auto array =
      runtime::make_map({.name = "a", .type = MapType::kArrayOfMaps, .key_size = 4, .value_size = 4, .max_entries = 8},
                        {.inner = inner[0]})
          .value();
  const auto hash =
      runtime::make_map({.name = "h", .type = MapType::kHashOfMaps, .key_size = 4, .value_size = 4, .max_entries = 8},
                        {.inner = inner[0]})
          .value();
  const int rounds = tests::rounds(20000);
  in_threads([&](unsigned thread) {
    std::mt19937 random(thread + 1);
    std::uint8_t next[4];
    for (int i = 0; i < rounds; ++i) {
      std::uint64_t value = thread * 1000 + random() % 50;
      EXPECT_EQ(bloom->push(&value, 0), 0);
      EXPECT_EQ(bloom->peek(&value), 0);
      for (Map* outer : {array.get(), hash.get()}) {
        const std::uint32_t key = random() % 8;
        auto& references = static_cast<runtime::ReferenceMap&>(*outer);
        if (random() % 3 == 0) references.set_reference(&key, inner[thread]);
        else if (random() % 3 == 0) outer->erase(&key);
        else if (outer->next_key(&key, next) == 0) references.reference(next);
        if (void* found = outer->lookup(&key, 0)) {
          const std::uint32_t index = random() % 4;
          void* place = static_cast<Map*>(found)->lookup(&index, 0);
          ASSERT_NE(place, nullptr);
          __atomic_fetch_add(static_cast<std::uint64_t*>(place), 1, __ATOMIC_RELAXED);
        }
      }
    }
  });
  EXPECT_LE(hash->size(), 8u);
}

// Half of the threads interpret, half run machine code; the maps are the same.
TEST(Threads, ProgramsShareMaps) {
  const auto program = ebpf::assemble(
      ".map total, array, key 4, value 8, entries 4\n.map table, hash, key 4, value 8, entries 32\n"
      ".map recent, lru_hash, key 4, value 8, entries 16\n.map own, percpu_array, key 4, value 8, entries 2\n"
      "*(u32 *)(r10 - 4) = 1\n*(u64 *)(r10 - 16) = 0\nr6 = r1\n"
      "r1 = map[total]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n"
      "r1 = 1\nlock *(u64 *)(r0 + 0) += r1\n"
      "r1 = map[own]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n"
      "r1 = 1\nlock *(u64 *)(r0 + 0) += r1\n"
      "r6 &= 63\n*(u32 *)(r10 - 4) = r6\n"
      "r1 = map[table]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto put\n"
      "r1 = 1\nlock *(u64 *)(r0 + 0) += r1\nif r6 > 40 goto drop\ngoto next\n"
      "put: r1 = map[table]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 1\ncall bpf_map_update_elem\ngoto next\n"
      "drop: r1 = map[table]\nr2 = r10\nr2 += -4\ncall bpf_map_delete_elem\n"
      "next: r1 = map[recent]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_map_update_elem\n"
      "out: r0 = 0\nexit\n");
  ASSERT_TRUE(program) << program.error().message;
  const auto checked = ebpf::check(*program);
  ASSERT_TRUE(checked);
  engine::ExtendedOptions options{.kind = engine::ExtendedKind::kInterpreter, .map_options = {.cpus = kThreads}};
  const auto interpreter = engine::load_extended(*checked, options).value();
  options.kind = engine::ExtendedKind::kAutomatic;
  options.maps = interpreter->maps();
  const auto native = engine::load_extended(*checked, options).value();
  const int rounds = tests::rounds(30000);
  in_threads([&](unsigned thread) {
    std::mt19937 random(thread + 1);
    for (int i = 0; i < rounds; ++i) {
      runtime::Invocation run;
      run.arguments[0] = random();
      run.cpu = thread;
      const engine::Outcome outcome = (thread % 2 == 0 ? interpreter : native)->run(run);
      EXPECT_TRUE(outcome) << engine::describe(outcome).message;
    }
  });
  const std::uint32_t one = 1;
  EXPECT_EQ(word_at(interpreter->maps()[0]->lookup(&one, 0)), kThreads * static_cast<std::uint64_t>(rounds));
  for (unsigned thread = 0; thread < kThreads; ++thread)
    EXPECT_EQ(word_at(interpreter->maps()[3]->lookup(&one, thread)), static_cast<std::uint64_t>(rounds));
  EXPECT_LE(interpreter->maps()[1]->size(), 32u);
  EXPECT_LE(interpreter->maps()[2]->size(), 16u);
}

}  // namespace
}  // namespace weir
