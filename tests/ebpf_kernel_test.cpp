// Extended programs in the running kernel and here: the same results. Random programs that its verifier takes, with its
// test run as the judge of both engines; objects that we write, loaded by libbpf.
#include <cstdio>

#include <gtest/gtest.h>
#ifdef WEIR_HAVE_LIBBPF
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#endif

#include <weir/cbpf/text.h>
#include <weir/convert/convert.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/object/object.h>
#include <weir/runtime/packet_buffer.h>

#include "bpf_syscall.h"
#include "random_extended.h"
#include "rounds.h"

namespace weir {
namespace {

TEST(KernelAgreement, RandomProgramsInBothEngines) {
  WEIR_REQUIRE_KERNEL_BPF();
  const char* seed = std::getenv("WEIR_SEED");
  tests::ExtendedProgramMaker maker(seed != nullptr ? std::stoull(seed) : 51);
  std::vector<std::uint8_t> packet(64);
  auto buffer = runtime::PacketBuffer::create(4096).value();
  int compared = 0;
  for (int round = 0; round < tests::rounds(1500); ++round) {
    const ebpf::Program program = maker.next_for_kernel();
    const auto checked = ebpf::check(program);
    ASSERT_TRUE(checked) << checked.error().message << write(program, ebpf::Format::kListing);
    const int descriptor = tests::load_kernel_program(BPF_PROG_TYPE_XDP, program.instructions.data(),
                                                      static_cast<unsigned>(program.size()));
    if (descriptor < 0) continue;
    for (std::size_t i = 0; i < packet.size(); ++i)
      packet[i] = static_cast<std::uint8_t>((round + 7) * (i + 1) >> (i % 9));
    std::uint32_t expected = 0;
    const int status = tests::test_run(descriptor, packet.data(), static_cast<unsigned>(packet.size()), expected);
    close(descriptor);
    ASSERT_EQ(status, 0);
    for (const engine::ExtendedKind kind : {engine::ExtendedKind::kInterpreter, engine::ExtendedKind::kAutomatic}) {
      const auto engine = engine::load_extended(*checked, {.kind = kind});
      ASSERT_TRUE(engine);
      buffer.set(packet);
      runtime::Invocation run;
      run.packet = &buffer;
      run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer.xdp_context());
      run.regions = {{run.arguments[0], sizeof(xdp_md), false}};
      const engine::Outcome outcome = (*engine)->run(run);
      ASSERT_TRUE(outcome) << engine::describe(outcome).message;
      ASSERT_EQ(static_cast<std::uint32_t>(outcome.value), expected) << (*engine)->name() << "\n"
                                                                     << write(program, ebpf::Format::kListing);
    }
    if (++compared % 100000 == 0) std::printf("%d programs agree so far\n", compared), std::fflush(stdout);
  }
  EXPECT_GT(compared, 300);
  std::printf("%d programs agree with the kernel\n", compared);
}

// What we assemble and do not run: the kernel takes it as we mean it.
TEST(KernelAgreement, InstructionsForKernelsAlone) {
  WEIR_REQUIRE_KERNEL_BPF();
  const auto load = [](const std::string& text, std::string& log) {
    const ebpf::Program program = ebpf::assemble(text).value();
    return tests::load_kernel_program(BPF_PROG_TYPE_XDP, program.instructions.data(),
                                      static_cast<unsigned>(program.size()), &log);
  };
  std::string log;
  const int loop = load("r0 = 0\nagain: may_goto out\nr0 += 1\nif r0 != 20 goto again\nout: exit", log);
  if (loop == -EINVAL) GTEST_SKIP() << "this kernel has no may_goto: " << log;
  ASSERT_GE(loop, 0) << log;
  const std::uint8_t packet[64]{};
  std::uint32_t result = 0;
  EXPECT_EQ(tests::test_run(loop, packet, sizeof packet, result), 0);
  EXPECT_EQ(result, 20u);
  close(loop);
  const int endless = load("r0 = 0\nagain: may_goto out\ngoto again\nout: r0 = 7\nexit", log);
  ASSERT_GE(endless, 0) << log;
  EXPECT_EQ(tests::test_run(endless, packet, sizeof packet, result), 0);
  EXPECT_EQ(result, 7u);
  close(endless);
  // An arena: of what the cast makes, 4 bytes are read.
  bpf_attr attributes = tests::no_attributes();
  attributes.map_type = 33;
  attributes.max_entries = 4;
  attributes.map_flags = BPF_F_MMAPABLE;
  attributes.map_extra = 1ull << 44;
  const int arena = tests::bpf(BPF_MAP_CREATE, attributes);
  if (arena < 0) GTEST_SKIP() << "this kernel has no arenas: " << std::strerror(-arena);
  const std::string uses = "r1 = map[fd:" + std::to_string(arena) + "]\nr2 = 4096\n";
  const int cast = load(uses + "r2 = addr_space_cast(r2, 0, 1)\nr0 = *(u32 *)(r2 + 0)\nexit", log);
  EXPECT_GE(cast, 0) << log;
  close(cast);
  EXPECT_LT(load(uses + "r0 = *(u32 *)(r2 + 0)\nexit", log), 0);
  EXPECT_LT(load(uses + "r2 = addr_space_cast(r2, 3, 2)\nr0 = 0\nexit", log), 0);
  close(arena);
}

// Where Linux 6.18 does something else than RFC 9669 says (docs/semantics.md): both engines do what it says, and a
// kernel does that or what is known of this one.
TEST(KernelAgreement, KnownDifferences) {
  WEIR_REQUIRE_KERNEL_BPF();
  struct Case {
    const char* text;
    std::uint32_t result, linux_6_18;
  };
  constexpr Case kCases[] = {
      {"r7 = *(u32 *)(r1 + 16)\n*(u64 *)(r10 - 8) = 5\nr0 = 0x100000005 ll\nr1 = 7\nif r7 == 0 goto a\n"
       "call bpf_get_prandom_u32\nr0 <<= 20\ngoto b\na: w0 = cmpxchg32_32(r10 - 8, w0, w1)\nb: r0 >>= 32\nexit",
       0, 1},
      {"r6 = *(u32 *)(r1 + 16)\nr7 = 0\nr2 = 0\nr2 = 0\n*(u64 *)(r10 - 8) = 2\nif r6 == 0 goto a\n"
       "*(u64 *)(r10 - 8) = 1\nr2 = 0\nr2 = 0\ngoto a\na: r7 = atomic_fetch_add((u64 *)(r10 - 8), r7)\nr0 = 1\n"
       "if r7 == 1 goto out\nr0 = 2\nout: exit",
       2, 1}};
  auto buffer = runtime::PacketBuffer::create(4096).value();
  const std::vector<std::uint8_t> packet(64);
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.text);
    const auto program = ebpf::assemble(each.text);
    ASSERT_TRUE(program) << program.error().message;
    const auto checked = ebpf::check(*program);
    ASSERT_TRUE(checked);
    for (const engine::ExtendedKind kind : {engine::ExtendedKind::kInterpreter, engine::ExtendedKind::kAutomatic}) {
      buffer.set(packet);
      runtime::Invocation run;
      run.packet = &buffer;
      run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer.xdp_context());
      run.regions = {{run.arguments[0], sizeof(xdp_md), false}};
      EXPECT_EQ(engine::load_extended(*checked, {.kind = kind}).value()->run(run).value, each.result);
    }
    const int descriptor = tests::load_kernel_program(BPF_PROG_TYPE_XDP, program->instructions.data(),
                                                      static_cast<unsigned>(program->size()));
    ASSERT_GE(descriptor, 0);
    std::uint32_t result = 0;
    EXPECT_EQ(tests::test_run(descriptor, packet.data(), static_cast<unsigned>(packet.size()), result), 0);
    close(descriptor);
    EXPECT_TRUE(result == each.result || result == each.linux_6_18) << result;
  }
}

#ifdef WEIR_HAVE_LIBBPF
TEST(KernelAgreement, LibbpfLoadsWhatWeWrite) {
  WEIR_REQUIRE_KERNEL_BPF();
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
  const auto classic = cbpf::check(cbpf::read("4,40 0 0 12,21 0 1 2048,6 0 0 65535,6 0 0 0").value());
  ASSERT_TRUE(classic);
  std::vector<std::pair<ebpf::Program, std::string>> programs;
  programs.emplace_back(
      convert::convert(*classic, {.context = convert::Context::kXdp, .returns = convert::Returns{2, 1}}).value(),
      "xdp");
  programs.emplace_back(
      convert::convert(*classic, {.context = convert::Context::kSocket, .returns = convert::Returns{-1, 0}}).value(),
      "tc");
  programs.emplace_back(convert::convert(*classic, {.context = convert::Context::kSocket}).value(), "socket");
  programs.emplace_back(
      ebpf::assemble(
          ".map counts, hash, key 4, value 8, entries 4\n*(u32 *)(r10 - 4) = 1\nr1 = map[counts]\nr2 = r10\nr2 += -4\n"
          "call bpf_map_lookup_elem\nr0 = 2\nexit")
          .value(),
      "xdp");
  for (auto& [program, section] : programs) {
    const auto bytes = object::write(program, {.section = section});
    ASSERT_TRUE(bytes);
    bpf_object* object = bpf_object__open_mem(bytes->data(), bytes->size(), nullptr);
    ASSERT_NE(object, nullptr) << section << " " << std::strerror(errno);
    ASSERT_EQ(bpf_object__load(object), 0) << section << " " << std::strerror(errno);
    const bpf_program* loaded = bpf_object__next_program(object, nullptr);
    ASSERT_NE(loaded, nullptr);
    std::uint8_t packet[64] = {};
    packet[12] = 8;
    std::uint32_t result = 0;
    ASSERT_EQ(tests::test_run(bpf_program__fd(loaded), packet, sizeof packet, result), 0);
    if (section == "xdp") {
      EXPECT_EQ(result, 2u);
    }
    if (section == "tc") {
      EXPECT_EQ(result, UINT32_MAX);
    }
    bpf_object__close(object);
  }
}
#endif

}  // namespace
}  // namespace weir
