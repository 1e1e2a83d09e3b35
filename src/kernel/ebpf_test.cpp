// Maps and programs of the running kernel, as far as one machine can ask for them without touching its network.
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/ebpf.h>

#include "kernel/private_namespace.h"

namespace weir::kernel {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes(std::uint64_t value, std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
  return out;
}

#define WEIR_REQUIRE_BPF()                                                                                     \
  if (const auto probe = Map::create(                                                                          \
          {.name = "probe", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 1}); \
      !probe)                                                                                                  \
  GTEST_SKIP() << probe.error().message

TEST(KernelMap, HashKeepsItsPromises) {
  WEIR_REQUIRE_BPF();
  Map map = std::move(Map::create({.name = "a_name_longer_than_15",
                                   .type = ebpf::MapType::kHash,
                                   .key_size = 4,
                                   .value_size = 8,
                                   .max_entries = 2})
                          .value());
  EXPECT_TRUE(is_not_exist(map.lookup(bytes(1, 4)).error()));
  EXPECT_TRUE(is_not_exist(map.update(bytes(1, 4), bytes(5, 8)).error()));
  ASSERT_TRUE(map.create(bytes(1, 4), bytes(5, 8)));
  EXPECT_TRUE(is_exist(map.create(bytes(1, 4), bytes(6, 8)).error()));
  EXPECT_EQ(map.lookup(bytes(1, 4)).value(), bytes(5, 8));
  ASSERT_TRUE(map.update(bytes(1, 4), bytes(6, 8)));
  ASSERT_TRUE(map.set(bytes(2, 4), bytes(7, 8)));
  const auto full = map.set(bytes(3, 4), bytes(7, 8));
  ASSERT_FALSE(full);
  EXPECT_TRUE(is_too_big(full.error()));
  EXPECT_EQ(full.error().code, ErrorCode::kSystem);
  EXPECT_NE(full.error().message.find("BPF_MAP_UPDATE_ELEM"), std::string::npos);
  std::map<Bytes, Bytes> seen;
  ASSERT_TRUE(map.iterate([&](ByteSpan key, ByteSpan value) {
    seen[{key.begin(), key.end()}] = {value.begin(), value.end()};
    EXPECT_TRUE(map.erase(key)) << "an entry may be deleted when it is shown";
    return false;
  }));
  EXPECT_EQ(seen, (std::map<Bytes, Bytes>{{bytes(1, 4), bytes(6, 8)}, {bytes(2, 4), bytes(7, 8)}}));
  EXPECT_TRUE(is_not_exist(map.erase(bytes(1, 4)).error()));
  EXPECT_EQ(map.lookup(bytes(1, 3)).error().message, "key size is 3, want 4");
  EXPECT_EQ(map.set(bytes(1, 4), bytes(1, 4)).error().message, "value size is 4, want 8");
  EXPECT_EQ(Map::open_id(map.id()).value().definition().max_entries, 2u);
}

TEST(KernelMap, IterationBeginsAtAHintAndStopsWhenTold) {
  WEIR_REQUIRE_BPF();
  Map map = std::move(
      Map::create({.name = "m", .type = ebpf::MapType::kHash, .key_size = 4, .value_size = 4, .max_entries = 10})
          .value());
  for (std::uint64_t key = 0; key < 5; ++key) ASSERT_TRUE(map.set(bytes(key, 4), bytes(key, 4)));
  int all = 0;
  ASSERT_TRUE(map.iterate([&](ByteSpan, ByteSpan) { return ++all, false; }, bytes(1000, 4)));
  EXPECT_EQ(all, 5);
  int some = 0;
  ASSERT_TRUE(map.iterate([&](ByteSpan, ByteSpan) { return ++some == 2; }));
  EXPECT_EQ(some, 2);
}

TEST(KernelMap, ContentsAndQueues) {
  WEIR_REQUIRE_BPF();
  const Map data = std::move(Map::create({.name = ".data",
                                          .type = ebpf::MapType::kArray,
                                          .key_size = 4,
                                          .value_size = 8,
                                          .max_entries = 1,
                                          .contents = bytes(77, 4)})
                                 .value());
  EXPECT_EQ(data.lookup(bytes(0, 4)).value(), bytes(77, 8));
  Map queue =
      std::move(Map::create({.name = "q", .type = ebpf::MapType::kQueue, .value_size = 4, .max_entries = 2}).value());
  ASSERT_TRUE(queue.set({}, bytes(1, 4)));
  ASSERT_TRUE(queue.set({}, bytes(2, 4)));
  EXPECT_EQ(queue.take({}).value(), bytes(1, 4));
  EXPECT_EQ(queue.lookup({}).value(), bytes(2, 4));
  const Map per_cpu = std::move(
      Map::create({.name = "p", .type = ebpf::MapType::kPercpuArray, .key_size = 4, .value_size = 4, .max_entries = 1})
          .value());
  EXPECT_EQ(per_cpu.lookup(bytes(0, 4)).value().size(), per_cpu.value_bytes());
  EXPECT_EQ(per_cpu.value_bytes() % 8, 0u);
  EXPECT_EQ(
      Map::create({.name = "bad", .type = ebpf::MapType::kArray, .key_size = 8, .value_size = 4, .max_entries = 1})
          .error()
          .system_error,
      EINVAL);
}

ebpf::Program counter() {
  return ebpf::assemble(
             ".program socket_filter counter\n.license \"GPL\"\n.map counts, array, key 4, value 8, entries 1\n"
             "r6 = r1\n*(u32 *)(r10 - 4) = 0\nr1 = map[counts]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n"
             "if r0 == 0 goto out\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nout: r0 = *(u32 *)(r6 + 0)\nexit")
      .value();
}

TEST(KernelProgram, LoadsRunsAndCountsOnASocket) {
  WEIR_REQUIRE_BPF();
  const ebpf::Program program = counter();
  const Map counts = std::move(Map::create(program.maps[0]).value());
  const Map* const maps[] = {&counts};
  std::string log;
  Result<Program> loaded = Program::load(program, {.maps = maps, .log = &log});
  ASSERT_TRUE(loaded) << loaded.error().message << "\n" << log;
  EXPECT_NE(log.find("processed"), std::string::npos);
  EXPECT_NE(loaded->id(), 0u);
  const Bytes packet(64, 1);
  const Result<TestResult> result = loaded->test_run({.input = packet, .repeat = 3});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->value, 50u) << "socket filters see what follows the Ethernet header";
  EXPECT_EQ(counts.lookup(bytes(0, 4)).value(), bytes(3, 8));
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  ASSERT_TRUE(loaded->attach_socket(pair[1]));
  ASSERT_EQ(write(pair[0], "hello", 5), 5);
  EXPECT_EQ(counts.lookup(bytes(0, 4)).value(), bytes(4, 8));
  ASSERT_TRUE(Program::detach_socket(pair[1]));
  ASSERT_EQ(write(pair[0], "hello", 5), 5);
  EXPECT_EQ(counts.lookup(bytes(0, 4)).value(), bytes(4, 8)) << "detached: it counts no more";
  EXPECT_EQ(Program::detach_socket(pair[1]).error().system_error, ENOENT);
  close(pair[0]);
  close(pair[1]);
}

// In a network namespace of the thread's own: its loopback interface, which is gone with the thread.
TEST(KernelLink, RunsUntilItGoes) {
  WEIR_REQUIRE_BPF();
  std::thread([] {
    if (unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no network namespace: " << std::strerror(errno);
    }
    const Program pass = std::move(Program::load(ebpf::assemble(".program xdp pass\nr0 = 2\nexit").value()).value());
    const Program drop = std::move(Program::load(ebpf::assemble(".program xdp drop\nr0 = 1\nexit").value()).value());
    constexpr std::uint32_t kLoopback = 1;
    constexpr std::uint32_t kGeneric = 2;  // XDP_FLAGS_SKB_MODE
    {
      const Result<Link> link = Link::create(pass, kLoopback, ebpf::AttachType::kXdp, kGeneric);
      ASSERT_TRUE(link) << link.error().message;
      EXPECT_EQ(Link::create(drop, kLoopback, ebpf::AttachType::kXdp, kGeneric).error().system_error, EBUSY);
      EXPECT_TRUE(link->update(drop));
      EXPECT_TRUE(link->detach());
    }
    const Result<Link> again = Link::create(drop, kLoopback, ebpf::AttachType::kXdp, kGeneric);
    EXPECT_TRUE(again) << again.error().message;
  }).join();
}

// In a BPF file system that only this test sees.
TEST(KernelProgram, PinsOutliveTheirMakers) {
  WEIR_REQUIRE_BPF();
  tests::in_private_namespaces([] {
    ASSERT_EQ(mount("none", "/sys/fs/bpf", "bpf", 0, nullptr), 0) << std::strerror(errno);
    const std::string map_path = "/sys/fs/bpf/weir_map";
    const std::string program_path = "/sys/fs/bpf/weir_program";
    std::uint32_t map_id = 0;
    std::uint32_t program_id = 0;
    {
      Map map = std::move(
          Map::create(
              {.name = "pinned", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 3})
              .value());
      ASSERT_TRUE(map.set(bytes(1, 4), bytes(77, 4)));
      ASSERT_TRUE(map.pin(map_path));
      EXPECT_TRUE(is_exist(map.pin(map_path).error()));
      map_id = map.id();
      const Program program =
          std::move(Program::load(ebpf::assemble(".program xdp pass\nr0 = 2\nexit").value()).value());
      ASSERT_TRUE(program.pin(program_path));
      program_id = program.id();
    }
    const Result<Map> map = Map::open_pinned(map_path);
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ(map->id(), map_id);
    EXPECT_EQ(map->definition().max_entries, 3u);
    EXPECT_EQ(map->lookup(bytes(1, 4)).value(), bytes(77, 4));
    EXPECT_EQ(Program::open_pinned(program_path).value().id(), program_id);
    // A name with a blank, which the table of mounts writes in another way.
    const std::string folder = "/sys/fs/bpf/a b";
    ASSERT_EQ(mkdir(folder.c_str(), 0700), 0) << std::strerror(errno);
    ASSERT_EQ(mount("none", folder.c_str(), "bpf", 0, nullptr), 0) << std::strerror(errno);
    ASSERT_TRUE(map->pin(folder + "/map"));
    const std::vector<Pin> all = pins();
    const auto find = [&](const std::string& path) {
      return std::find_if(all.begin(), all.end(), [&](const Pin& pin) { return pin.path == path; });
    };
    ASSERT_NE(find(map_path), all.end());
    EXPECT_EQ(find(map_path)->kind, Pin::Kind::kMap);
    EXPECT_EQ(find(map_path)->id, map_id);
    ASSERT_NE(find(program_path), all.end());
    EXPECT_EQ(find(program_path)->kind, Pin::Kind::kProgram);
    EXPECT_NE(find(folder + "/map"), all.end());
    unlink(program_path.c_str());
    EXPECT_TRUE(is_not_exist(Program::open_pinned(program_path).error()));
    EXPECT_EQ(Map::open_pinned(program_path).error().source, program_path);
  });
}

TEST(KernelMap, ManyEntriesACall) {
  WEIR_REQUIRE_BPF();
  for (const ebpf::MapType type : {ebpf::MapType::kHash, ebpf::MapType::kArray, ebpf::MapType::kPercpuHash}) {
    constexpr std::uint32_t kCount = 1000;
    Map map = std::move(
        Map::create({.name = "many", .type = type, .key_size = 4, .value_size = 8, .max_entries = kCount}).value());
    Bytes keys;
    Bytes values;
    std::map<Bytes, Bytes> expected;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const Bytes key = bytes(i, 4);
      Bytes value;
      for (std::size_t cpu = 0; cpu < map.value_bytes() / 8; ++cpu) {
        const Bytes one = bytes(i * 7 + cpu, 8);
        value.insert(value.end(), one.begin(), one.end());
      }
      keys.insert(keys.end(), key.begin(), key.end());
      values.insert(values.end(), value.begin(), value.end());
      expected[key] = value;
    }
    EXPECT_EQ(map.set_many(keys, values).value(), kCount);
    for (const std::size_t at_once : {1u, 7u, 100u, 5000u}) {
      std::map<Bytes, Bytes> seen;
      ASSERT_TRUE(map.iterate_many(
          [&](ByteSpan key, ByteSpan value) {
            EXPECT_TRUE(seen.emplace(Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end())).second);
            return false;
          },
          at_once));
      EXPECT_EQ(seen, expected);
    }
    int some = 0;
    ASSERT_TRUE(map.iterate_many([&](ByteSpan, ByteSpan) { return ++some == 300; }));
    EXPECT_EQ(some, 300);
    if (type == ebpf::MapType::kArray) {
      EXPECT_FALSE(map.take_many([](ByteSpan, ByteSpan) {}));
      EXPECT_FALSE(map.erase_many(keys));
      continue;
    }
    EXPECT_EQ(map.erase_many(ByteSpan(keys).first(400)).value(), 100u);
    const Result<std::size_t> again = map.erase_many(ByteSpan(keys).subspan(396, 40));
    ASSERT_FALSE(again);
    EXPECT_TRUE(is_not_exist(again.error()));
    EXPECT_NE(again.error().message.find("(after 0 entries)"), std::string::npos) << again.error().message;
    std::size_t taken = 0;
    ASSERT_TRUE(map.take_many([&](ByteSpan key, ByteSpan value) {
      ++taken;
      EXPECT_EQ(expected.at(Bytes(key.begin(), key.end())), Bytes(value.begin(), value.end()));
    }));
    EXPECT_EQ(taken, kCount - 100);
    EXPECT_TRUE(is_not_exist(map.lookup(bytes(500, 4)).error()));
  }
}

TEST(KernelMap, KindsWithoutBatchesGoOneByOne) {
  WEIR_REQUIRE_BPF();
  Map map = std::move(
      Map::create({.name = "s", .type = ebpf::MapType::kSockhash, .key_size = 4, .value_size = 4, .max_entries = 4})
          .value());
  int shown = 0;
  EXPECT_TRUE(map.iterate_many([&](ByteSpan, ByteSpan) { return ++shown, false; }));
  EXPECT_EQ(shown, 0);
  EXPECT_FALSE(map.set_many(bytes(1, 4), bytes(99, 4))) << "99 is no socket";
  EXPECT_EQ(map.set_many(bytes(1, 4), bytes(9, 3)).error().message, "3 bytes of values, want 4");
  EXPECT_EQ(map.set_many(bytes(1, 3), {}).error().message, "3 bytes of keys, want a multiple of 4");
}

TEST(KernelMap, BloomFreezeInfoClose) {
  WEIR_REQUIRE_BPF();
  Map bloom = std::move(
      Map::create({.name = "b", .type = ebpf::MapType::kBloomFilter, .value_size = 8, .max_entries = 100}, {.extra = 4})
          .value());
  ASSERT_TRUE(bloom.set({}, bytes(1, 8)));
  EXPECT_TRUE(bloom.contains(bytes(1, 8)));
  EXPECT_TRUE(is_not_exist(bloom.contains(bytes(2, 8)).error()));
  EXPECT_EQ(bloom.info().value().extra, 4u);
  Map map = std::move(
      Map::create({.name = "frozen", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 9})
          .value());
  EXPECT_FALSE(map.info().value().frozen);
  ASSERT_TRUE(map.freeze());
  EXPECT_EQ(map.set(bytes(0, 4), bytes(1, 4)).error().system_error, EPERM);
  const MapInfo info = map.info().value();
  EXPECT_TRUE(info.frozen);
  EXPECT_EQ(info.name, "frozen");
  EXPECT_EQ(info.max_entries, 9u);
  EXPECT_GT(info.memory, 0u);
  const std::vector<std::uint32_t> ids = map_ids().value();
  EXPECT_NE(std::find(ids.begin(), ids.end(), map.id()), ids.end());
  const std::uint32_t id = map.id();
  map.close();
  EXPECT_EQ(map.lookup(bytes(0, 4)).error().system_error, EBADF);
  // The kernel frees maps some time after the last descriptor is closed.
  for (int i = 0; i < 200 && Map::open_id(id); ++i) usleep(10000);
  EXPECT_TRUE(is_not_exist(Map::open_id(id).error()));
}

TEST(KernelProgram, RefusedRunsAndLoadsSayWhy) {
  WEIR_REQUIRE_BPF();
  const Program pass = std::move(Program::load(ebpf::assemble(".program xdp pass\nr0 = 2\nexit").value()).value());
  const Bytes packet(60);
  EXPECT_EQ(pass.test_run({}).error().hint, "programs on packets want a packet");
  EXPECT_EQ(pass.test_run({.input = ByteSpan(packet).first(10)}).error().hint, "packets have 14 bytes at least");
  EXPECT_EQ(pass.test_run({.input = packet, .output_bytes = 10}).error().hint,
            "the packet afterwards has 60 bytes, output_bytes is 10");
  EXPECT_EQ(Program::load(ebpf::assemble("r0 = 0\nexit").value()).error().hint, "the program has no type");
  EXPECT_EQ(Program::load({.type = ebpf::ProgramType::kXdp}).error().hint, "the program has no instructions");
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(pass.attach_socket(socket.get()).error().hint,
            "programs of type xdp are not attached at a socket, which takes socket_filter");
  EXPECT_NE(Link::raw_tracepoint(pass, "sys_enter").error().hint.find("not attached at a raw tracepoint"),
            std::string::npos);
}

// The records come whole and in order, also over the ring's end, and room is given back.
TEST(KernelMap, RingBuffersAreRead) {
  WEIR_REQUIRE_BPF();
  const auto page = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
  ebpf::Program program = ebpf::assemble(
                              ".program socket_filter writer\n.license \"GPL\"\n.map ring, ringbuf, entries 4096\n"
                              ".map n, array, key 4, value 8, entries 1\nr7 = map[n][0]+0\nr6 = *(u64 *)(r7 + 0)\n"
                              "r6 += 1\n*(u64 *)(r7 + 0) = r6\nr1 = map[ring]\nr2 = 100\nr3 = 0\n"
                              "call bpf_ringbuf_reserve\nif r0 == 0 goto out\n*(u64 *)(r0 + 0) = r6\n"
                              "*(u64 *)(r0 + 92) = r6\nr1 = r0\nr2 = 1\nr6 &= 7\nif r6 == 5 goto drop\n"
                              "call bpf_ringbuf_submit\ngoto out\ndrop: call bpf_ringbuf_discard\nout: r0 = 0\nexit")
                              .value();
  program.maps[0].max_entries = page;
  Map ring = std::move(Map::create(program.maps[0]).value());
  const Map numbers = std::move(Map::create(program.maps[1]).value());
  const Map* const maps[] = {&ring, &numbers};
  const Result<Program> loaded = Program::load(program, {.maps = maps});
  ASSERT_TRUE(loaded) << loaded.error().message << " " << loaded.error().hint;
  EXPECT_EQ(ring.consume([](ByteSpan) {}).value(), 0u);
  std::uint64_t next = 1;
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(loaded->test_run({.input = Bytes(64), .repeat = 30}));
    const Result<std::uint64_t> before = ring.consume([&](ByteSpan record) {
      if (next % 8 == 5) ++next;  // dropped
      ASSERT_EQ(record.size(), 100u);
      EXPECT_EQ(load<std::uint64_t>(record.data(), std::endian::native), next);
      EXPECT_EQ(load<std::uint64_t>(record.data() + 92, std::endian::native), next);
      ++next;
    });
    EXPECT_EQ(before.value(), 30u * 112);
  }
  EXPECT_EQ(next, 601u);
  Map other = std::move(
      Map::create({.name = "m", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 1})
          .value());
  EXPECT_EQ(other.consume([](ByteSpan) {}).error().message, "maps of type array have no records");
  ring.close();
  EXPECT_EQ(ring.consume([](ByteSpan) {}).error().system_error, EBADF);
}

TEST(KernelTypes, MapsTellTheTypesOfTheirEntries) {
  WEIR_REQUIRE_BPF();
  // Type 1 of a program's smallest table is int.
  const Result<TypeTable> types = TypeTable::load(types_of(counter()).bytes);
  ASSERT_TRUE(types) << types.error().message << " " << types.error().hint;
  EXPECT_EQ(types->bytes().value(), types_of(counter()).bytes);
  const Map map = std::move(
      Map::create({.name = "m", .type = ebpf::MapType::kHash, .key_size = 4, .value_size = 4, .max_entries = 1},
                  {.types = &*types, .key_type = 1, .value_type = 1})
          .value());
  const MapInfo info = map.info().value();
  EXPECT_EQ(info.types_id, types->id().value());
  EXPECT_EQ(info.key_type, 1u);
  EXPECT_EQ(TypeTable::open_id(info.types_id).value().bytes().value(), types_of(counter()).bytes);
  const Bytes bad(30, 1);
  EXPECT_EQ(TypeTable::load(bad).error().system_error, EINVAL);
  EXPECT_FALSE(TypeTable::load(bad).error().hint.empty());
}

TEST(KernelProgram, SourceLinesReachTheVerifier) {
  WEIR_REQUIRE_BPF();
  ebpf::Program program = ebpf::assemble(
                              ".program socket_filter lines\nr1 = 5\ncall double\nexit\n"
                              "double: r0 = r1\nr0 += r0\nexit")
                              .value();
  program.lines = {{.instruction = 0, .line = 10, .column = 3, .file = "a.c", .text = "return twice(5);"},
                   {.instruction = 3, .line = 20, .column = 5, .file = "a.c", .text = "n += n;"}};
  std::string log;
  const Result<Program> loaded = Program::load(program, {.log_level = 2, .log = &log});
  ASSERT_TRUE(loaded) << loaded.error().message << log;
  EXPECT_NE(log.find("; return twice(5); @ a.c:10"), std::string::npos) << log;
  EXPECT_NE(log.find("; n += n; @ a.c:20"), std::string::npos) << log;
  EXPECT_EQ(loaded->test_run({.input = Bytes(64)}).value().value, 10u);
  const ProgramInfo info = loaded->info().value();
  EXPECT_NE(info.types_id, 0u);
  EXPECT_EQ(info.name, "lines");
  EXPECT_EQ(info.type, ebpf::ProgramType::kSocketFilter);
  EXPECT_EQ(info.tag.size(), 16u);
  EXPECT_NEAR(static_cast<double>(info.loaded_at), static_cast<double>(time(nullptr)), 2);
  const ebpf::Program translated = loaded->translated().value();
  EXPECT_EQ(translated.size(), program.size());
  EXPECT_EQ(translated.lines, program.lines);
  const std::vector<std::uint32_t> ids = program_ids().value();
  EXPECT_NE(std::find(ids.begin(), ids.end(), info.id), ids.end());
}

TEST(KernelProgram, RunsWithContextAndRepeats) {
  WEIR_REQUIRE_BPF();
  const Result<Program> raw =
      Program::load(ebpf::assemble(".program raw_tracepoint sum\nr0 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 8)\n"
                                   "r0 += r2\nexit")
                        .value());
  ASSERT_TRUE(raw) << raw.error().message << raw.error().hint;
  Bytes words = bytes(30, 8);
  const Bytes second = bytes(12, 8);
  words.insert(words.end(), second.begin(), second.end());
  EXPECT_EQ(raw->test_run({.context = words}).value().value, 42u);
  EXPECT_EQ(raw->test_run({.context = words, .processor = 0}).value().value, 42u);
  const Result<Program> mark =
      Program::load(ebpf::assemble(".program sched_cls mark\nr2 = *(u32 *)(r1 + 8)\n*(u32 *)(r1 + 8) = 9\n"
                                   "r0 = r2\nexit")
                        .value());
  ASSERT_TRUE(mark) << mark.error().message << mark.error().hint;
  Bytes context(192);
  context[8] = 5;  // __sk_buff::mark
  const TestResult result = mark->test_run({.input = Bytes(64), .context = context}).value();
  EXPECT_EQ(result.value, 5u);
  EXPECT_EQ(result.context.at(8), 9u);
  EXPECT_EQ(result.output.size(), 64u);
  // One that ends behind the mark has zeros there, and comes back whole.
  const TestResult brief = mark->test_run({.input = Bytes(64), .context = ByteSpan(context).first(12)}).value();
  EXPECT_EQ(brief.value, 5u);
  EXPECT_EQ(brief.context.at(8), 9u);
  EXPECT_GE(brief.context.size(), 176u);
  const TestResult often = mark->test_run({.input = Bytes(64), .repeat = 100000}).value();
  EXPECT_GT(often.nanoseconds, 0u);
  EXPECT_EQ(mark->test_run({.input = Bytes(3)}).error().system_error, EINVAL);
}

TEST(KernelProgram, TestRunsGiveThePacketBack) {
  WEIR_REQUIRE_BPF();
  const Result<Program> writer = Program::load(
      ebpf::assemble(".program xdp writer\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 1\n"
                     "if r4 > r3 goto out\n*(u8 *)(r2 + 0) = 0x77\nout: r0 = 2\nexit")
          .value());
  ASSERT_TRUE(writer) << writer.error().hint;
  const Bytes packet(64, 1);
  const TestResult result = writer->test_run({.input = packet}).value();
  EXPECT_EQ(result.value, 2u);
  Bytes expected = packet;
  expected[0] = 0x77;
  EXPECT_EQ(result.output, expected);
}

TEST(KernelProgram, RefusalsCarryTheVerifiersWords) {
  WEIR_REQUIRE_BPF();
  std::string log;
  const Result<Program> refused =
      Program::load(ebpf::assemble(".program xdp bad\nr0 = *(u64 *)(r1 + 4096)\nexit").value(), {.log = &log});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().system_error, EACCES);
  EXPECT_NE(refused.error().message.find("BPF_PROG_LOAD"), std::string::npos);
  EXPECT_NE(refused.error().hint.find("invalid bpf_context access"), std::string::npos) << refused.error().hint;
  EXPECT_FALSE(log.empty());
  EXPECT_EQ(Program::load(counter()).error().message, "the program needs 1 maps, 0 were given");
  EXPECT_TRUE(is_not_exist(Program::open_id(0xfffffff).error()));
}

}  // namespace
}  // namespace weir::kernel
