// Maps and programs of the running kernel, as far as one machine can ask for them without touching its network.
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/ebpf.h>

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

TEST(KernelProgram, PinsOutliveTheirMakers) {
  WEIR_REQUIRE_BPF();
  const std::string path = "/sys/fs/bpf/weir_test_" + std::to_string(getpid());
  const Map map = std::move(
      Map::create({.name = "pinned", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 3})
          .value());
  if (const Status pinned = map.pin(path); !pinned) GTEST_SKIP() << "no BPF file system: " << pinned.error().message;
  const Result<Map> again = Map::open_pinned(path);
  unlink(path.c_str());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->id(), map.id());
  EXPECT_EQ(again->definition().max_entries, 3u);
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
