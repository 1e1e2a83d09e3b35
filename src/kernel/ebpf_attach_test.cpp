// Every place where a program can be attached on this machine, with real traffic, in namespaces and control groups that
// the test makes.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fmt/format.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/ebpf.h>
#include <weir/kernel/net_attach.h>

#include "kernel/private_namespace.h"

namespace weir::kernel {
namespace {

using tests::in_private_namespaces;
using tests::Loopback;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t kLoopback = 1;

#define WEIR_REQUIRE_BPF()                                                                                     \
  if (const auto probe = Map::create(                                                                          \
          {.name = "probe", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 1}); \
      !probe)                                                                                                  \
  GTEST_SKIP() << probe.error().message

// A program of this type with a counter, which it raises where `guard` falls through, and this result.
class Counter {
 public:
  Counter(std::string_view type, int result, std::string_view guard = "")
      : source_(ebpf::assemble(fmt::format(".program {} counter\n.license \"GPL\"\n"
                                           ".map counts, array, key 4, value 8, entries 1\nr6 = r1\n{}\n"
                                           "*(u32 *)(r10 - 4) = 0\nr1 = map[counts]\nr2 = r10\nr2 += -4\n"
                                           "call bpf_map_lookup_elem\nif r0 == 0 goto out\nr1 = 1\n"
                                           "lock *(u64 *)(r0 + 0) += r1\nout: r0 = {}\nexit",
                                           type, guard, result))
                    .value()),
        map_(Map::create(source_.maps[0]).value()),
        program_(load()) {}

  const Program& program() const { return program_; }
  std::uint64_t count() const {
    return weir::load<std::uint64_t>(map_.lookup(Bytes(4)).value().data(), std::endian::native);
  }

 private:
  Program load() {
    const Map* const maps[] = {&map_};
    Result<Program> loaded = Program::load(source_, {.maps = maps});
    EXPECT_TRUE(loaded) << loaded.error().message << " " << loaded.error().hint;
    return std::move(loaded).value();
  }
  ebpf::Program source_;
  Map map_;
  Program program_;
};

constexpr int kXdpDrop = 1;
constexpr int kXdpPass = 2;
constexpr int kTcOk = 0;
constexpr int kTcShot = 2;

TEST(Attach, XdpLink) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const Counter drop("xdp", kXdpDrop);
    const Counter pass("xdp", kXdpPass);
    Loopback network;
    EXPECT_EQ(network.arrived(3), 3);
    constexpr std::uint32_t kGeneric = 2;  // XDP_FLAGS_SKB_MODE
    const Result<Link> link = Link::create(drop.program(), kLoopback, ebpf::AttachType::kXdp, kGeneric);
    ASSERT_TRUE(link) << link.error().message;
    EXPECT_EQ(network.arrived(5), 0);
    EXPECT_EQ(drop.count(), 5u);
    const LinkInfo info = link->info().value();
    EXPECT_EQ(info.type, "xdp");
    EXPECT_EQ(info.interface_index, kLoopback);
    EXPECT_EQ(info.program, drop.program().id());
    EXPECT_EQ(xdp_program(kLoopback).value(), drop.program().id());
    ASSERT_TRUE(link->update(pass.program()));
    EXPECT_EQ(network.arrived(4), 4);
    EXPECT_EQ(pass.count(), 4u);
    EXPECT_EQ(Link::open_id(info.id).value().info().value().program, pass.program().id());
    ASSERT_TRUE(link->detach());
    EXPECT_EQ(network.arrived(2), 2);
    EXPECT_EQ(pass.count(), 4u);
  });
}

TEST(Attach, XdpWithoutALink) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const Counter drop("xdp", kXdpDrop);
    const Counter pass("xdp", kXdpPass);
    Loopback network;
    EXPECT_EQ(xdp_program(kLoopback).value(), 0u);
    ASSERT_TRUE(attach_xdp(drop.program(), kLoopback, XdpMode::kGeneric));
    EXPECT_EQ(network.arrived(5), 0);
    const Status second = attach_xdp(pass.program(), kLoopback, XdpMode::kGeneric);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().system_error, EBUSY);
    EXPECT_NE(second.error().hint.find("the kernel says: "), std::string::npos) << second.error().hint;
    ASSERT_TRUE(attach_xdp(pass.program(), kLoopback, XdpMode::kGeneric, true));
    EXPECT_EQ(network.arrived(4), 4);
    EXPECT_EQ(xdp_program(kLoopback).value(), pass.program().id());
    ASSERT_TRUE(detach_xdp(kLoopback, XdpMode::kGeneric));
    EXPECT_EQ(xdp_program(kLoopback).value(), 0u);
    EXPECT_EQ(network.arrived(2), 2);
    EXPECT_EQ(drop.count(), 5u);
    EXPECT_EQ(pass.count(), 4u);
    EXPECT_EQ(attach_xdp(pass.program(), 77).error().system_error, ENODEV);
  });
}

TEST(Attach, TcxLinksAndPrograms) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const Counter drop("sched_cls", kTcShot);
    const Counter next("sched_cls", -1);  // TCX_NEXT
    Loopback network;
    const Result<Link> first = Link::create(next.program(), kLoopback, ebpf::AttachType::kTcxIngress);
    if (!first && first.error().system_error == EINVAL) GTEST_SKIP() << "a kernel without tcx";
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(network.arrived(3), 3);
    {
      const Result<Link> second = Link::create(drop.program(), kLoopback, ebpf::AttachType::kTcxIngress);
      ASSERT_TRUE(second) << second.error().message;
      EXPECT_EQ(network.arrived(5), 0);
      EXPECT_EQ(attached_programs(kLoopback, ebpf::AttachType::kTcxIngress).value(),
                (std::vector<std::uint32_t>{next.program().id(), drop.program().id()}));
      EXPECT_EQ(second->info().value().attach_type, "tcx_ingress");
      EXPECT_EQ(second->info().value().interface_index, kLoopback);
    }
    EXPECT_EQ(next.count(), 8u);
    EXPECT_EQ(drop.count(), 5u);
    EXPECT_EQ(network.arrived(2), 2) << "the link is gone with its descriptor";
    ASSERT_TRUE(drop.program().attach(kLoopback, ebpf::AttachType::kTcxEgress));
    EXPECT_EQ(network.arrived(3), 0);
    EXPECT_EQ(drop.count(), 8u);
    ASSERT_TRUE(drop.program().detach(kLoopback, ebpf::AttachType::kTcxEgress));
    EXPECT_EQ(network.arrived(1), 1);
    EXPECT_TRUE(is_not_exist(drop.program().detach(kLoopback, ebpf::AttachType::kTcxEgress).error()));
  });
}

TEST(Attach, TcFilters) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const Counter drop("sched_cls", kTcShot);
    const Counter pass("sched_cls", kTcOk);
    Loopback network;
    const Status first = attach_tc(drop.program(), kLoopback, Direction::kIngress);
    ASSERT_TRUE(first) << first.error().message << " " << first.error().hint;
    EXPECT_EQ(network.arrived(5), 0);
    EXPECT_EQ(drop.count(), 5u);
    EXPECT_TRUE(is_exist(attach_tc(pass.program(), kLoopback, Direction::kIngress).error()));
    ASSERT_TRUE(attach_tc(pass.program(), kLoopback, Direction::kEgress, {.priority = 7, .handle = 3}));
    EXPECT_EQ(network.arrived(2), 0);
    EXPECT_EQ(pass.count(), 2u);
    ASSERT_TRUE(detach_tc(kLoopback, Direction::kIngress));
    EXPECT_EQ(network.arrived(4), 4);
    EXPECT_EQ(drop.count(), 7u);
    EXPECT_EQ(pass.count(), 6u);
    ASSERT_TRUE(detach_tc(kLoopback, Direction::kEgress, {.priority = 7, .handle = 3}));
    EXPECT_FALSE(detach_tc(kLoopback, Direction::kEgress, {.priority = 7, .handle = 3}));
    EXPECT_EQ(network.arrived(1), 1);
    EXPECT_EQ(pass.count(), 6u);
  });
}

TEST(Attach, SocketFilterCutsWhatItDrops) {
  WEIR_REQUIRE_BPF();
  const Counter keep_two("socket_filter", 2);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_TRUE(keep_two.program().attach_socket(pair[1]));
  ASSERT_EQ(write(pair[0], "hello", 5), 5);
  char text[16];
  EXPECT_EQ(read(pair[1], text, sizeof text), 2);
  EXPECT_EQ(keep_two.count(), 1u);
  ASSERT_TRUE(Program::detach_socket(pair[1]));
  ASSERT_EQ(write(pair[0], "hello", 5), 5);
  EXPECT_EQ(read(pair[1], text, sizeof text), 5);
  close(pair[0]);
  close(pair[1]);
}

// A control group of the test's own, under a mount that only this thread sees. It goes when the process in it has.
class ControlGroup {
 public:
  ControlGroup() {
    char folder[] = "/tmp/weir_cgroup_XXXXXX";
    if (mkdtemp(folder) == nullptr) return;
    mount_ = folder;
    if (mount("none", folder, "cgroup2", 0, nullptr) != 0) return;
    path_ = mount_ + fmt::format("/weir_test_{}", getpid());
    if (mkdir(path_.c_str(), 0700) == 0) descriptor_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~ControlGroup() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!path_.empty()) rmdir(path_.c_str());
    if (!mount_.empty()) {
      umount2(mount_.c_str(), MNT_DETACH);
      rmdir(mount_.c_str());
    }
  }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;
  int descriptor() const { return descriptor_; }

  // A process in the group sends so many datagrams: how many came.
  int arrived(int count) const {
    const pid_t child = fork();
    if (child == 0) {
      const int file = open((path_ + "/cgroup.procs").c_str(), O_WRONLY);
      if (file < 0 || write(file, "0", 1) != 1) _exit(255);
      Loopback network;
      _exit(network.arrived(count));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  std::string mount_;
  std::string path_;
  int descriptor_ = -1;
};

TEST(Attach, ControlGroups) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const ControlGroup group;
    if (group.descriptor() < 0) GTEST_SKIP() << "no control group of our own: " << std::strerror(errno);
    const Counter drop("cgroup_skb", 0);
    const Counter pass("cgroup_skb", 1);
    EXPECT_EQ(group.arrived(3), 3);
    constexpr auto kEgress = ebpf::AttachType::kCgroupInetEgress;
    ASSERT_TRUE(pass.program().attach_cgroup(group.descriptor(), kEgress, ebpf::CgroupAttach::kMulti));
    EXPECT_EQ(group.arrived(3), 3);
    EXPECT_EQ(pass.count(), 3u);
    {
      const auto where = static_cast<std::uint32_t>(group.descriptor());
      const Result<Link> link = Link::create(drop.program(), where, kEgress);
      ASSERT_TRUE(link) << link.error().message;
      EXPECT_EQ(group.arrived(2), 0);
      EXPECT_EQ(drop.count(), 2u);
      const LinkInfo info = link->info().value();
      EXPECT_EQ(info.type, "cgroup");
      EXPECT_EQ(info.attach_type, "cgroup_inet_egress");
      struct stat status {};
      ASSERT_EQ(fstat(group.descriptor(), &status), 0);
      EXPECT_EQ(info.cgroup, status.st_ino);
      EXPECT_EQ(attached_programs(where, kEgress).value().size(), 2u);
    }
    EXPECT_EQ(group.arrived(4), 4);
    ASSERT_TRUE(pass.program().detach_cgroup(group.descriptor(), kEgress));
    EXPECT_EQ(group.arrived(1), 1);
    EXPECT_EQ(pass.count(), 9u);
    Loopback outside;
    EXPECT_EQ(outside.arrived(1), 1);
  });
}

// Falls through for this process alone.
std::string only_us() {
  return fmt::format("call bpf_get_current_pid_tgid\nr0 >>= 32\nif r0 != {} goto out", getpid());
}

TEST(Attach, Tracepoints) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    if (mount("none", "/sys/kernel/tracing", "tracefs", 0, nullptr) != 0)
      GTEST_SKIP() << "no tracefs: " << std::strerror(errno);
    const Counter calls("tracepoint", 0, only_us());
    {
      const Result<Link> link = Link::tracepoint(calls.program(), "syscalls", "sys_enter_getppid");
      if (!link && link.error().code == ErrorCode::kBadInput) GTEST_SKIP() << link.error().message;
      ASSERT_TRUE(link) << link.error().message;
      for (int i = 0; i < 7; ++i) (void)syscall(SYS_getppid);
      EXPECT_EQ(calls.count(), 7u);
      const LinkInfo info = link->info().value();
      EXPECT_EQ(info.type, "perf_event");
      EXPECT_EQ(info.target, "sys_enter_getppid");
    }
    (void)syscall(SYS_getppid);
    EXPECT_EQ(calls.count(), 7u);
    const Result<Link> none = Link::tracepoint(calls.program(), "syscalls", "sys_enter_nothing");
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().message, "there is no tracepoint syscalls:sys_enter_nothing");
    EXPECT_FALSE(Link::tracepoint(calls.program(), "..", "enable"));
  });
}

TEST(Attach, RawTracepoints) {
  WEIR_REQUIRE_BPF();
  // The second word of what sys_enter shows is the system call's number.
  const Counter calls("raw_tracepoint", 0,
                      fmt::format("{}\nr1 = *(u64 *)(r6 + 8)\nif r1 != {} goto out", only_us(), int{SYS_getppid}));
  {
    const Result<Link> link = Link::raw_tracepoint(calls.program(), "sys_enter");
    ASSERT_TRUE(link) << link.error().message;
    for (int i = 0; i < 5; ++i) (void)syscall(SYS_getppid);
    EXPECT_EQ(calls.count(), 5u);
    EXPECT_EQ(link->info().value().target, "sys_enter");
  }
  (void)syscall(SYS_getppid);
  EXPECT_EQ(calls.count(), 5u);
  EXPECT_EQ(Link::raw_tracepoint(calls.program(), "no_such_thing").error().message,
            "there is no tracepoint 'no_such_thing'");
}

TEST(Attach, PinnedLinksOutliveTheirMakers) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    if (mount("none", "/sys/fs/bpf", "bpf", 0, nullptr) != 0)
      GTEST_SKIP() << "no BPF file system: " << std::strerror(errno);
    Loopback network;
    const std::string path = "/sys/fs/bpf/drop";
    std::uint32_t program = 0;
    {
      const Counter drop("xdp", kXdpDrop);
      program = drop.program().id();
      constexpr std::uint32_t kGeneric = 2;
      ASSERT_TRUE(Link::create(drop.program(), kLoopback, ebpf::AttachType::kXdp, kGeneric).value().pin(path));
    }
    EXPECT_EQ(network.arrived(3), 0);
    EXPECT_EQ(read_pin(path).value().kind, Pin::Kind::kLink);
    {
      const Result<Link> link = Link::open_pinned(path);
      ASSERT_TRUE(link) << link.error().message;
      EXPECT_EQ(link->info().value().program, program);
      EXPECT_TRUE(Program::open_id(program));
    }
    EXPECT_EQ(network.arrived(3), 0);
    unlink(path.c_str());
    // The kernel drops the last reference some time later.
    bool gone = false;
    for (int i = 0; i < 300 && !gone; ++i) {
      usleep(10000);
      gone = network.arrived(1) == 1;
    }
    EXPECT_TRUE(gone);
  });
}

}  // namespace
}  // namespace weir::kernel
