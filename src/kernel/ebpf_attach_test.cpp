// Every place where a program can be attached on this machine, with real traffic, in namespaces and control groups that
// the test makes.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/ebpf.h>
#include <weir/kernel/net_attach.h>
#include <weir/kernel/placement.h>

#include "kernel/disciplines.h"
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
    EXPECT_EQ(xdp_program(kLoopback, XdpMode::kGeneric).value(), pass.program().id());
    EXPECT_EQ(xdp_program(kLoopback, XdpMode::kDriver).value(), 0u);
    EXPECT_TRUE(is_exist(detach_xdp(kLoopback, XdpMode::kGeneric, &drop.program()).error()));
    ASSERT_TRUE(detach_xdp(kLoopback, XdpMode::kGeneric, &pass.program()));
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
    constexpr std::uint16_t kIp = 0x0800;
    const TcOptions third{.priority = 9, .protocol = kIp, .chain = 2};
    ASSERT_TRUE(attach_tc(pass.program(), kLoopback, Direction::kIngress, third));
    EXPECT_FALSE(detach_tc(kLoopback, Direction::kIngress, {.priority = 9, .protocol = kIp}));
    EXPECT_FALSE(detach_tc(kLoopback, Direction::kIngress, {.priority = 9, .chain = 2}));
    ASSERT_TRUE(detach_tc(kLoopback, Direction::kIngress, third));
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

bool has_clsact() {
  std::vector<Discipline> found;
  EXPECT_TRUE(queueing_disciplines(kLoopback, found));
  return std::any_of(found.begin(), found.end(), [](const Discipline& one) { return one.kind == "clsact"; });
}

TEST(Attach, ARefusedTcFilterLeavesNoDisciplineBehind) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const Counter pass("sched_cls", kTcOk);
    const Counter other("xdp", kXdpPass);
    Loopback network;
    EXPECT_FALSE(attach_tc(other.program(), kLoopback, Direction::kIngress));
    EXPECT_FALSE(has_clsact());
    const TcOptions refused{.name = std::string(1000, 'x')};
    EXPECT_FALSE(attach_tc(pass.program(), kLoopback, Direction::kIngress, refused));
    EXPECT_FALSE(has_clsact());
    ASSERT_TRUE(attach_tc(pass.program(), kLoopback, Direction::kIngress));
    EXPECT_FALSE(attach_tc(pass.program(), kLoopback, Direction::kEgress, refused));
    EXPECT_TRUE(has_clsact());
    EXPECT_EQ(network.arrived(2), 2);
    EXPECT_EQ(pass.count(), 2u);
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
  const std::string& path() const { return path_; }

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

TEST(Attach, RefusalsAreToldInWords) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    using A = ebpf::AttachType;
    const Counter xdp("xdp", kXdpPass);
    const Counter tc("sched_cls", kTcOk);
    constexpr std::uint32_t kNowhere = 99999;
    const std::string none = "this network namespace has no interface with the index 99999";
    EXPECT_EQ(Link::create(xdp.program(), kNowhere, A::kXdp).error().hint, none);
    EXPECT_EQ(Link::create(tc.program(), kNowhere, A::kTcxIngress).error().hint, none);
    EXPECT_EQ(tc.program().attach(kNowhere, A::kTcxEgress).error().hint, none);
    EXPECT_EQ(attach_xdp(xdp.program(), kNowhere).error().hint, none);
    const std::string type = "programs of type xdp are not attached at tcx_ingress, which takes sched_cls";
    EXPECT_EQ(Link::create(xdp.program(), kLoopback, A::kTcxIngress).error().hint, type);
    EXPECT_EQ(xdp.program().attach(kLoopback, A::kTcxIngress).error().hint, type);
    EXPECT_EQ(Link::create(tc.program(), kLoopback, A::kXdp).error().hint,
              "programs of type sched_cls are not attached at xdp, which takes xdp");
    EXPECT_EQ(attach_tc(xdp.program(), kLoopback, Direction::kIngress).error().hint,
              "programs of type xdp are not attached at a filter of tc, which takes sched_cls");
    const FileDescriptor folder(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Counter group("cgroup_skb", 1);
    EXPECT_EQ(group.program().attach_cgroup(folder.get(), A::kCgroupInetEgress).error().hint,
              "the descriptor is not that of a control group (version 2)");
    EXPECT_EQ(Link::create(group.program(), kLoopback, A::kPerfEvent).error().hint,
              "programs of type cgroup_skb are not attached at perf_event, which takes tracepoint, kprobe, perf_event");
    const Result<Link> first = Link::create(xdp.program(), kLoopback, A::kXdp, 2);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(Link::create(xdp.program(), kLoopback, A::kXdp, 2).error().hint, "another program is there");
  });
}

TEST(Attach, ProgramsThatBelongElsewhere) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    const ControlGroup group;
    if (group.descriptor() < 0) GTEST_SKIP() << "no control group of our own: " << std::strerror(errno);
    using A = ebpf::AttachType;
    ebpf::Program source = ebpf::assemble(".program cgroup_sock_addr c\nr0 = 1\nexit").value();
    source.attach_type = A::kCgroupInet6Connect;
    source.has_attach_type = true;
    const Program connects = std::move(Program::load(source).value());
    EXPECT_EQ(connects.attach_cgroup(group.descriptor(), A::kCgroupInet4Connect).error().hint,
              "it must have been loaded for cgroup_inet4_connect (its expected attach type)");
    ASSERT_TRUE(connects.attach_cgroup(group.descriptor(), A::kCgroupInet6Connect));
    const Counter one("cgroup_skb", 1);
    ASSERT_TRUE(one.program().attach_cgroup(group.descriptor(), A::kCgroupInetEgress));
    const std::string below = group.path() + "/below";
    ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
    {
      const FileDescriptor inside(open(below.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      EXPECT_EQ(one.program().attach_cgroup(inside.get(), A::kCgroupInetEgress).error().hint,
                "a program of this group, or of one above it, allows no other beside it");
    }
    EXPECT_EQ(rmdir(below.c_str()), 0);
    EXPECT_TRUE(one.program().detach_cgroup(group.descriptor(), A::kCgroupInetEgress));
    EXPECT_TRUE(connects.detach_cgroup(group.descriptor(), A::kCgroupInet6Connect));
  });
}

std::vector<Placement> all_places() { return std::move(placements().value()); }

// "xdp_generic 1", "tcx_egress 1 link" of the places of this program; links by the word alone.
std::vector<std::string> places_of(const Program& program) {
  std::vector<std::string> out;
  for (const Placement& place : all_places())
    if (place.program == program.id())
      out.push_back(fmt::format("{} {}{}{}", place.kind, place.interface_index, place.direct_action ? " direct" : "",
                                place.link != 0 ? " link" : ""));
  return out;
}

TEST(Attach, PlacesAreFound) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    using A = ebpf::AttachType;
    using Words = std::vector<std::string>;
    const Counter xdp("xdp", kXdpPass);
    const Counter tc("sched_cls", kTcOk);
    EXPECT_EQ(places_of(xdp.program()), Words());
    ASSERT_TRUE(attach_xdp(xdp.program(), kLoopback, XdpMode::kGeneric));
    EXPECT_EQ(places_of(xdp.program()), Words{"xdp_generic 1"});
    ASSERT_TRUE(detach_xdp(kLoopback, XdpMode::kGeneric));
    {
      const Result<Link> link = Link::create(xdp.program(), kLoopback, A::kXdp, 2);
      ASSERT_TRUE(link) << link.error().message;
      EXPECT_EQ(places_of(xdp.program()), Words{"xdp_generic 1 link"});
    }
    ASSERT_TRUE(attach_tc(tc.program(), kLoopback, Direction::kIngress));
    ASSERT_TRUE(attach_tc(tc.program(), kLoopback, Direction::kEgress, {.priority = 7, .handle = 3}));
    ASSERT_TRUE(tc.program().attach(kLoopback, A::kTcxEgress));
    const Result<Link> link = Link::create(tc.program(), kLoopback, A::kTcxIngress);
    ASSERT_TRUE(link) << link.error().message;
    EXPECT_EQ(places_of(tc.program()),
              (Words{"tc_ingress 1 direct", "tc_egress 1 direct", "tcx_ingress 1 link", "tcx_egress 1"}));
    for (const Placement& place : all_places())
      if (place.kind == "tc_egress") {
        EXPECT_EQ(place.priority, 7u);
        EXPECT_EQ(place.handle, 3u);
      } else if (place.kind == "tcx_ingress" && place.program == tc.program().id()) {
        EXPECT_EQ(place.link, link->info().value().id);
      }
    EXPECT_EQ(places_of(xdp.program()), Words());
  });
}

TEST(Attach, PlacesBeyondInterfacesAreFound) {
  WEIR_REQUIRE_BPF();
  in_private_namespaces([] {
    using A = ebpf::AttachType;
    const ControlGroup group;
    if (group.descriptor() < 0) GTEST_SKIP() << "no control group of our own: " << std::strerror(errno);
    const Counter pass("cgroup_skb", 1);
    // More than one call of the kernel's list holds at first.
    std::vector<std::unique_ptr<Counter>> many;
    for (int i = 0; i < 60; ++i) many.push_back(std::make_unique<Counter>("cgroup_skb", 1));
    ASSERT_TRUE(pass.program().attach_cgroup(group.descriptor(), A::kCgroupInetEgress, ebpf::CgroupAttach::kMulti));
    for (const auto& each : many)
      ASSERT_TRUE(each->program().attach_cgroup(group.descriptor(), A::kCgroupInetEgress, ebpf::CgroupAttach::kMulti));
    struct stat status {};
    ASSERT_EQ(fstat(group.descriptor(), &status), 0);
    std::size_t here = 0;
    for (const Placement& place : all_places())
      if (place.group_id == status.st_ino) {
        ++here;
        EXPECT_EQ(place.kind, "cgroup_inet_egress");
        EXPECT_TRUE(place.group.ends_with(group.path().substr(group.path().rfind('/')))) << place.group;
        EXPECT_EQ(place.link, 0u);
      }
    EXPECT_EQ(here, 61u);
    for (const auto& each : many) EXPECT_TRUE(each->program().detach_cgroup(group.descriptor(), A::kCgroupInetEgress));
    EXPECT_TRUE(pass.program().detach_cgroup(group.descriptor(), A::kCgroupInetEgress));
    EXPECT_EQ(places_of(pass.program()), std::vector<std::string>());
    // A sockmap's verdict, and the dissector of flows of this network namespace.
    const Map sockets = std::move(
        Map::create({.name = "s", .type = ebpf::MapType::kSockmap, .key_size = 4, .value_size = 4, .max_entries = 2})
            .value());
    const Program verdict = std::move(Program::load(ebpf::assemble(".program sk_msg v\nr0 = 1\nexit").value()).value());
    ASSERT_TRUE(verdict.attach(static_cast<std::uint32_t>(sockets.descriptor()), A::kSkMsgVerdict));
    EXPECT_EQ(places_of(verdict), std::vector<std::string>{"sk_msg_verdict 0"});
    const Program flows =
        std::move(Program::load(ebpf::assemble(".program flow_dissector f\nr0 = 0\nexit").value()).value());
    ASSERT_TRUE(flows.attach(0, A::kFlowDissector));
    EXPECT_EQ(places_of(flows), std::vector<std::string>{"flow_dissector 0"});
    EXPECT_TRUE(flows.detach(0, A::kFlowDissector));
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
