// The verifier's tables beside the running kernel's: for each kind of program, each byte of its context, read and
// written in each size; its results; packet loads and packet memory; each helper, and which of them licenses forbid.
//
// What weir refuses on purpose, and the kernel takes: pointers to the kernel's own structures (sockets, flow keys).
// Nothing goes the other way. The tables are those of Linux 6.18: older kernels lack fields.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <weir/ebpf/text.h>
#include <weir/kernel/ebpf.h>
#include <weir/kernel/features.h>
#include <weir/runtime/helpers.h>
#include <weir/verify/verify.h>

#include "bpf_syscall.h"

namespace weir {
namespace {

using ebpf::AttachType;
using ebpf::ProgramType;

struct Kind {
  ProgramType type;
  int span;  // bytes of the context, and some more
  std::optional<AttachType> attach{};
};
const Kind kKinds[] = {
    {ProgramType::kSocketFilter, 196},
    {ProgramType::kSchedCls, 196},
    {ProgramType::kSchedAct, 196},
    {ProgramType::kCgroupSkb, 196},
    {ProgramType::kCgroupSkb, 16, AttachType::kCgroupInetEgress},
    {ProgramType::kSkSkb, 196},
    {ProgramType::kLwtIn, 196},
    {ProgramType::kLwtOut, 196},
    {ProgramType::kLwtXmit, 196},
    {ProgramType::kLwtSeg6local, 196},
    {ProgramType::kFlowDissector, 196},
    {ProgramType::kXdp, 32},
    {ProgramType::kCgroupDevice, 16},
    {ProgramType::kCgroupSock, 88},
    {ProgramType::kCgroupSock, 88, AttachType::kCgroupInetSockCreate},
    {ProgramType::kCgroupSock, 88, AttachType::kCgroupInetSockRelease},
    {ProgramType::kCgroupSock, 88, AttachType::kCgroupInet4PostBind},
    {ProgramType::kCgroupSock, 88, AttachType::kCgroupInet6PostBind},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet4Bind},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet6Bind},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet4Connect},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet6Connect},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUdp4Sendmsg},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUdp6Sendmsg},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUdp4Recvmsg},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUdp6Recvmsg},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet4Getpeername},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupInet6Getsockname},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUnixConnect},
    {ProgramType::kCgroupSockAddr, 80, AttachType::kCgroupUnixRecvmsg},
    {ProgramType::kSockOps, 232},
    {ProgramType::kSkMsg, 88},
    {ProgramType::kSkReuseport, 64},
    {ProgramType::kSkLookup, 80, AttachType::kSkLookup},
    {ProgramType::kCgroupSysctl, 16},
    {ProgramType::kCgroupSockopt, 48, AttachType::kCgroupGetsockopt},
    {ProgramType::kCgroupSockopt, 48, AttachType::kCgroupSetsockopt},
    {ProgramType::kNetfilter, 24, AttachType::kNetfilter},
    {ProgramType::kRawTracepoint, 112},
    {ProgramType::kRawTracepointWritable, 112},
    {ProgramType::kTracepoint, 24},
    {ProgramType::kPerfEvent, 192},
    {ProgramType::kKprobe, 176},
};

class Contexts : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    WEIR_REQUIRE_KERNEL_BPF();
    const Result<bool> known = kernel::has(GetParam().type);
    if (!known || !*known) GTEST_SKIP() << "the kernel has no programs of this type";
  }

  ebpf::Program program(const std::string& text, const std::string& license = "GPL") {
    Result<ebpf::Program> made = ebpf::assemble(text);
    EXPECT_TRUE(made) << text;
    made->type = GetParam().type;
    made->license = license;
    made->has_attach_type = GetParam().attach.has_value();
    if (made->has_attach_type) made->attach_type = *GetParam().attach;
    return *made;
  }

  // Asks both; a difference that is not meant is a failure. True when the kernel takes the program.
  bool ask(const std::string& text) {
    const ebpf::Program asked = program(text);
    const bool taken = kernel::Program::load(asked, {.log_level = 0}).has_value();
    const verify::Report report = verify::examine(asked, {.premise = {.type = asked.type}});
    if (taken == report.verified.has_value()) return taken;
    const bool object = taken && report.refusal->message.find("not followed here") != std::string::npos;
    // The pointer to the buffer that is written; the kernel takes pieces of it, but for the first.
    const bool buffer = taken && asked.type == ProgramType::kRawTracepointWritable && asked.instructions[0].offset < 8;
    const bool meant = object || buffer;
    if (meant) ++meant_;
    else
      ADD_FAILURE() << (taken ? "only the kernel takes:\n" : "only weir takes:\n") << text << "\n"
                    << (report.refusal ? verify::explain(*report.refusal) : "");
    return taken;
  }

  std::string good_end() { return "\nr0 = 1\nexit"; }
  int meant_ = 0;
};

TEST_P(Contexts, EachByte) {
  int taken = 0;
  for (int offset = 0; offset < GetParam().span; ++offset)
    for (const int size : {1, 2, 4, 8}) {
      if (offset % size != 0 && offset > 8) continue;
      const std::string place = fmt::format("{} *)(r1 + {})", 8 * size, offset);
      taken += ask("r0 = *(u" + place + good_end()) ? 1 : 0;
      taken += ask("r2 = 1\n*(u" + place + " = r2" + good_end()) ? 1 : 0;
      if (offset % 4 == 0 && size != 8) ask("r0 = *(s" + place + good_end());
      if (offset % 4 == 0) ask("*(u" + place + " = 1" + good_end());
    }
  EXPECT_GT(taken, 0);
  EXPECT_LT(meant_, 24);
}

TEST_P(Contexts, Results) {
  for (const int value : {-2, -1, 0, 1, 2, 3, 4, 5, 255}) ask(fmt::format("r0 = {}\nexit", value));
  ask("r0 = 0x100000000 ll\nexit");
  ask("call get_prandom_u32\nexit");
  EXPECT_TRUE(ask("call get_prandom_u32\nif r0 > 0 goto +1\nr0 = 1\nr0 = 1\nexit"));
  ask("call get_prandom_u32\nr0 &= 1\nexit");
}

TEST_P(Contexts, PacketLoads) { ask("r6 = r1\nr0 = *(u8 *)skb[0]" + good_end()); }

TEST_P(Contexts, PacketMemory) {
  // Where data and its end lie: 32 bits in some structures, 64 in others.
  const std::pair<std::string, std::string> places[] = {{"u32 *)(r1 + 76)", "u32 *)(r1 + 80)"},
                                                        {"u32 *)(r1 + 0)", "u32 *)(r1 + 4)"},
                                                        {"u64 *)(r1 + 0)", "u64 *)(r1 + 8)"},
                                                        {"u64 *)(r1 + 8)", "u64 *)(r1 + 16)"},
                                                        {"u64 *)(r1 + 192)", "u64 *)(r1 + 200)"}};
  for (const auto& [data, end] : places) {
    const std::string head = "r2 = *(" + data + "\nr3 = *(" + end + "\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\n";
    const std::string tail = "\nout: r0 = 1\nexit";
    ask(head + "r0 = *(u32 *)(r2 + 4)" + tail);
    ask(head + "*(u32 *)(r2 + 4) = 1" + tail);
    ask(head + "r0 = *(u32 *)(r2 + 5)" + tail);
  }
}

TEST_P(Contexts, Helpers) {
  const auto refused = [&](const std::string& text) {
    const ebpf::Program asked = program(text);
    const verify::Report report = verify::examine(asked, {.premise = {.type = asked.type}});
    return report.refusal && report.refusal->rule == verify::Rule::kHelper;
  };
  int known = 0;
  for (std::int32_t number = 1; number <= 211; ++number) {
    // Not known here for programs of any kind, or done by the engine itself.
    const std::string text = fmt::format("call {}{}", number, good_end());
    const verify::Report first = verify::examine(program(text), {.premise = {.type = GetParam().type}});
    if (first.refusal && first.refusal->message.find("does not exist here") != std::string::npos) continue;
    ++known;
    std::string log;
    (void)kernel::Program::load(program(text), {.log = &log});
    const bool has = log.find("unknown func") == std::string::npos &&
                     log.find("cannot use helper") == std::string::npos &&
                     log.find("not supported for program type") == std::string::npos;
    EXPECT_EQ(!has, refused(text)) << ebpf::name_of(static_cast<ebpf::Helper>(number)) << "\n" << log;
    if (!has) continue;
    log.clear();
    (void)kernel::Program::load(program(text, "Proprietary"), {.log = &log});
    const ebpf::Program asked = program(text, "Proprietary");
    const verify::Report report = verify::examine(asked, {.premise = {.type = asked.type}});
    EXPECT_EQ(log.find("GPL") != std::string::npos,
              report.refusal && report.refusal->message.find("GPL") != std::string::npos)
        << ebpf::name_of(static_cast<ebpf::Helper>(number)) << "\n"
        << log;
  }
  EXPECT_GT(known, 140);
}

TEST(Licenses, AreThoseOfTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const char* license : {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
                              "Dual MPL/GPL", "BSD", "MIT", "GPLv2", "gpl", "Proprietary", "GPL v3", " GPL"}) {
    ebpf::Program program = ebpf::assemble("call ktime_get_ns\nr0 = 0\nexit").value();
    program.instructions[0].immediate = static_cast<std::int32_t>(ebpf::Helper::kTracePrintk);
    program.type = ProgramType::kXdp;
    program.license = license;
    std::string log;
    (void)kernel::Program::load(program, {.log = &log});
    const verify::Report report = verify::examine(program, {.premise = {.type = program.type}});
    ASSERT_TRUE(report.refusal);
    EXPECT_EQ(log.find("GPL") != std::string::npos, report.refusal->message.find("GPL") != std::string::npos)
        << license;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Contexts, testing::ValuesIn(kKinds), [](const auto& row) {
  const Kind& kind = row.param;
  std::string name = ebpf::name_of(kind.type) + (kind.attach ? "_at_" + ebpf::name_of(*kind.attach) : "");
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

}  // namespace
}  // namespace weir
