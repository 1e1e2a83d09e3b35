// Machine code of verified programs, which checks nothing that the proof covers, against the interpreter, which checks
// all: equal results, packets and maps.
#include <linux/bpf.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/verify/verify.h>

#include "rounds.h"
#include "verified_programs.h"

namespace weir {
namespace {

struct Ran {
  std::uint64_t value = 0;
  engine::Fault fault = engine::Fault::kNone;
  std::vector<std::uint8_t> memory{}, maps{};
  friend bool operator==(const Ran&, const Ran&) = default;
};

// What is in a map that can be looked at, in order of keys where they are indices.
void add_values(runtime::Map& map, std::vector<std::uint8_t>& out) {
  if (map.definition().type != ebpf::MapType::kArray) return;
  for (std::uint32_t key = 0; key < map.definition().max_entries; ++key) {
    const auto* value = static_cast<const std::uint8_t*>(map.lookup(&key, 0));
    out.insert(out.end(), value, value + map.value_size());
  }
}

class Host {
 public:
  Host() : buffer_(runtime::PacketBuffer::create(2048).value()) {}

  Ran run(const engine::ExtendedEngine& engine, const ebpf::Premise& premise, const std::vector<std::uint8_t>& bytes) {
    runtime::Invocation run;
    if (!bytes.empty()) std::memcpy(memory_, bytes.data(), bytes.size());
    if (premise.type == ebpf::ProgramType::kUnspec) {
      const auto address = reinterpret_cast<std::uint64_t>(memory_);
      run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
      run.regions = {{run.arguments[0], bytes.size(), premise.memory_writable}};
      run.loads = {memory_, bytes.size()};
    } else {
      buffer_.set(bytes);
      run.packet = &buffer_;
      const bool xdp = premise.type == ebpf::ProgramType::kXdp;
      run.arguments[0] = xdp ? reinterpret_cast<std::uint64_t>(buffer_.xdp_context())
                             : reinterpret_cast<std::uint64_t>(buffer_.socket_context());
      run.regions = {{run.arguments[0], xdp ? sizeof(xdp_md) : sizeof(__sk_buff), !xdp}};
    }
    const engine::Outcome outcome = engine.run(run);
    Ran out{outcome.value, outcome.fault, {memory_, memory_ + bytes.size()}, {}};
    if (run.packet != nullptr) out.memory.assign(buffer_.bytes().begin(), buffer_.bytes().end());
    for (const auto& map : engine.maps()) add_values(*map, out.maps);
    return out;
  }
  // The same with the stack at another place.
  __attribute__((noinline)) Ran run_deeper(const engine::ExtendedEngine& engine, const ebpf::Premise& premise,
                                           const std::vector<std::uint8_t>& bytes) {
    volatile std::uint8_t room[5008];
    room[0] = 1;
    room[5007] = 1;
    Ran out = run(engine, premise, bytes);
    room[1] = room[0];
    return out;
  }

 private:
  runtime::PacketBuffer buffer_;
  alignas(16) std::uint8_t memory_[2048];
};

bool asks_for_the_time(const ebpf::Program& program) {
  for (const ebpf::Instruction& slot : program.instructions)
    if (slot.code == 0x85 && slot.src == 0)
      for (const ebpf::Helper helper :
           {ebpf::Helper::kKtimeGetNs, ebpf::Helper::kKtimeGetBootNs, ebpf::Helper::kKtimeGetCoarseNs,
            ebpf::Helper::kKtimeGetTaiNs, ebpf::Helper::kJiffies64})
        if (slot.immediate == static_cast<std::int32_t>(helper)) return true;
  return false;
}

TEST(VerifiedNative, IsTheInterpreter) {
#if !defined(__x86_64__) && !defined(__aarch64__)
  GTEST_SKIP() << "no machine code for this processor";
#endif
  const int rounds = tests::rounds(6000);
  const char* seed = std::getenv("WEIR_SEED");
  tests::VerifiedPrograms maker(seed != nullptr ? std::stoull(seed) : 17);
  std::mt19937_64 random(3);
  Host host;
  int accepted = 0;
  int compared = 0;
  for (int i = 0; i < rounds; ++i) {
    const ebpf::Program program = maker.next();
    const verify::Report report = verify::examine(program, {.premise = {.type = program.type}, .budget = 100'000});
    if (!report.verified) continue;
    ++accepted;
    if (asks_for_the_time(program)) continue;
    const auto one = engine::load_extended(*report.verified, {.kind = engine::ExtendedKind::kInterpreter}).value();
    const auto two = engine::load_extended(*report.verified, {.kind = engine::ExtendedKind::kInterpreter}).value();
    const auto native = engine::load_extended(*report.verified, {.kind = engine::ExtendedKind::kNative}).value();
    constexpr std::size_t kSizes[] = {0, 1, 14, 20, 34, 40, 64, 100, 1500};
    for (int turn = 0; turn < 4; ++turn) {
      std::vector<std::uint8_t> bytes(kSizes[random() % std::size(kSizes)]);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
      const Ran expected = host.run(*one, report.verified->premise(), bytes);
      const Ran elsewhere = host.run_deeper(*two, report.verified->premise(), bytes);
      const Ran got = host.run(*native, report.verified->premise(), bytes);
      if (expected != elsewhere) break;  // it tells addresses
      ASSERT_EQ(got.fault, engine::Fault::kNone) << write(program, ebpf::Format::kListing);
      ASSERT_EQ(got.value, expected.value) << write(program, ebpf::Format::kListing);
      ASSERT_EQ(got.memory, expected.memory) << write(program, ebpf::Format::kListing);
      ASSERT_EQ(got.maps, expected.maps) << write(program, ebpf::Format::kListing);
      ++compared;
    }
  }
  EXPECT_GT(accepted, rounds / 5);
  EXPECT_GT(compared, accepted / 2);
}

// The proof relies on constants of the program: with a map that holds others, accesses are checked.
TEST(VerifiedNative, OtherConstantsVoidTheProof) {
  ebpf::Program program = ebpf::assemble(
                              ".map constants, array, key 4, value 8, entries 1, flags 128\n"
                              ".map values, array, key 4, value 16, entries 1\n"
                              "r1 = map[constants][0]+0\nr2 = *(u64 *)(r1 + 0)\nr1 = map[values][0]+0\nr1 += r2\n"
                              "r0 = *(u8 *)(r1 + 0)\nexit")
                              .value();
  program.maps[0].contents = {15};
  const auto verified = verify::verify(ebpf::check(program).value());
  ASSERT_TRUE(verified) << verified.error().message;
  const auto own = engine::load_extended(*verified).value();
  runtime::Invocation run;
  EXPECT_TRUE(own->run(run));
  ebpf::Program other = program;
  other.maps[0].contents = {0, 0, 0, 64};
  const auto theirs = engine::load_extended(ebpf::check(other).value()).value();
  const auto engine = engine::load_extended(*verified, {.maps = theirs->maps()}).value();
  EXPECT_EQ(engine->run(run).fault, engine::Fault::kOutside);
}

// What the thread's stack held before is not the program's business.
TEST(VerifiedNative, BytesThatWereNeverWrittenAreZero) {
  const auto program =
      ebpf::check(ebpf::assemble("r0 = *(u64 *)(r10 - 8)\nr1 = *(u64 *)(r10 - 200)\nr0 |= r1\nexit\n").value()).value();
  const auto report = verify::examine(program, {.unwritten_stack = true});
  ASSERT_TRUE(report.verified);
  EXPECT_TRUE(report.verified->reads_unwritten_stack());
  EXPECT_EQ(report.statistics.stack, 200u);
  const auto engine = engine::load_extended(*report.verified).value();
  for (int i = 0; i < 3; ++i) {
    volatile std::uint8_t before[4096];
    for (volatile std::uint8_t& byte : before) byte = 0xa5;
    runtime::Invocation run;
    const engine::Outcome outcome = engine->run(run);
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome.value, 0u);
  }
}

// A helper that is called directly moves the packet; one that asks what may be read sees it where it is.
TEST(VerifiedNative, HelpersSeeThePacketAsItIs) {
  const auto program = ebpf::check(ebpf::assemble("r6 = r1\nr2 = 10\ncall bpf_xdp_adjust_tail\n*(u64 *)(r10 - 8) = 0\n"
                                                  "r2 = *(u32 *)(r6 + 0)\nr3 = r2\nr4 = *(u32 *)(r6 + 4)\nr2 += 36\n"
                                                  "r0 = 77\nif r2 > r4 goto out\nr3 += 30\nr1 = r10\nr1 += -8\n"
                                                  "r2 = 4\ncall bpf_probe_read_kernel\nout: exit")
                                       .value())
                           .value();
  const auto verified = verify::verify(program, {.premise = {.type = ebpf::ProgramType::kXdp}});
  ASSERT_TRUE(verified) << verified.error().message;
  Host host;
  const std::vector<std::uint8_t> bytes(27, 3);
  for (const auto kind : {engine::ExtendedKind::kInterpreter, engine::ExtendedKind::kAutomatic}) {
    const auto engine = engine::load_extended(*verified, {.kind = kind}).value();
    EXPECT_EQ(host.run(*engine, verified->premise(), bytes).value, 0u) << engine->name();
  }
}

// So with the maps in a map of maps: what a proof says of them is said of those like the one that it names.
TEST(VerifiedNative, InnerMapsAreLikeTheirs) {
  const std::string text =
      ".map outer, array_of_maps, key 4, value 4, entries 2, inner shown\n.map shown, array, key 4, value 64, entries "
      "1\n"
      "*(u32 *)(r10 - 4) = 0\nr1 = map[outer]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n"
      "r1 = r0\n*(u32 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nr1 = r0\nr0 = 0\n"
      "if r1 == 0 goto out\nr0 = *(u8 *)(r1 + 63)\nout: exit";
  const auto verified = verify::verify(ebpf::check(ebpf::assemble(text).value()).value());
  ASSERT_TRUE(verified) << verified.error().message;
  const std::uint32_t zero = 0;
  const auto small = runtime::make_map({"s", ebpf::MapType::kArray, 4, 8, 1}).value();
  const auto own = engine::load_extended(*verified).value();
  EXPECT_EQ(dynamic_cast<runtime::ReferenceMap&>(*own->maps()[0]).set_reference(&zero, small), -EINVAL);
  // A map that was made for anything voids the proof.
  const std::vector<std::shared_ptr<runtime::Map>> maps = {
      runtime::make_map({"o", ebpf::MapType::kArrayOfMaps, 4, 4, 2}).value(), own->maps()[1]};
  const auto engine = engine::load_extended(*verified, {.maps = maps}).value();
  ASSERT_EQ(dynamic_cast<runtime::ReferenceMap&>(*maps[0]).set_reference(&zero, small), 0);
  runtime::Invocation run;
  EXPECT_EQ(engine->run(run).fault, engine::Fault::kOutside);
}

// Nor may maps of maps be in maps of maps, whatever the order in which they stand.
TEST(VerifiedNative, InnerMapsHoldNoMaps) {
  const std::string leaf = ".map leaf, array, key 4, value 64, entries 1\n";
  const std::string mid = ".map mid, array_of_maps, key 4, value 4, entries 1, inner leaf\n";
  const std::string outer = ".map o, array_of_maps, key 4, value 4, entries 1, inner mid\n";
  for (const std::string& maps : {leaf + mid + outer, outer + mid + leaf}) {
    const auto program = ebpf::check(ebpf::assemble(maps + "r0 = 0\nexit").value()).value();
    const auto engine = engine::load_extended(program);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().message, "map 'o' would hold maps of maps");
  }
}

// Programs that are not verified may write the context of a socket.
TEST(VerifiedNative, ContextsThatOthersWrote) {
  const auto program = ebpf::check(ebpf::assemble("r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 4\n"
                                                  "r0 = 0\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 3)\nout: exit")
                                       .value())
                           .value();
  const auto verified = verify::verify(program, {.premise = {.type = ebpf::ProgramType::kSchedCls}});
  ASSERT_TRUE(verified) << verified.error().message;
  const auto engine = engine::load_extended(*verified).value();
  if (engine->name() != "native") GTEST_SKIP();
  runtime::PacketBuffer packet = runtime::PacketBuffer::create(64).value();
  const std::vector<std::uint8_t> bytes = {1, 2, 3, 4};
  packet.set(bytes);
  runtime::Invocation run;
  run.packet = &packet;
  run.arguments[0] = reinterpret_cast<std::uint64_t>(packet.socket_context());
  EXPECT_EQ(engine->run(run).value, 4u);
  packet.socket_context()->data_end += 1 << 20;
  EXPECT_EQ(engine->run(run).fault, engine::Fault::kArgument);
}

// So may one that a function of a verified program leads into; the program goes on behind it.
TEST(VerifiedNative, ContextsThatOthersWroteMeanwhile) {
  const std::string map = ".map next, prog_array, key 4, value 4, entries 1\n";
  const auto program =
      ebpf::check(ebpf::assemble(map +
                                 "r6 = r1\ncall f\nr7 = r0\nr2 = *(u32 *)(r6 + 76)\nr3 = *(u32 *)(r6 + 80)\nr4 = r2\n"
                                 "r4 += 30000\nr0 = r7\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 29999)\nout: exit\n"
                                 "func f:\nr2 = map[next]\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit")
                      .value())
          .value();
  const auto verified = verify::verify(program, {.premise = {.type = ebpf::ProgramType::kSchedCls}});
  ASSERT_TRUE(verified) << verified.error().message;
  Host host;
  const std::vector<std::uint8_t> bytes(27, 3);
  for (const auto kind : {engine::ExtendedKind::kInterpreter, engine::ExtendedKind::kAutomatic})
    for (const bool writes : {false, true}) {
      const std::string write = "r2 = *(u32 *)(r1 + 80)\nr2 += 0x100000\n*(u32 *)(r1 + 80) = r2\n";
      const auto other = ebpf::check(ebpf::assemble(map + (writes ? write : "") + "r0 = 5\nexit").value()).value();
      const auto engine = engine::load_extended(*verified).value();
      ASSERT_TRUE(engine::set_tail_call(*engine->maps()[0], 0, engine::load_extended(other, {.kind = kind}).value()));
      const Ran ran = host.run(*engine, verified->premise(), bytes);
      if (!writes) {
        EXPECT_EQ(ran.value, 5u);
      } else if (engine->name() == "native") {
        EXPECT_EQ(ran.fault, engine::Fault::kArgument);
      } else {
        EXPECT_EQ(ran.fault, engine::Fault::kOutside);
      }
    }
}

// A run that is not what the proof speaks of is not begun.
TEST(VerifiedNative, OtherPremisesAreRefused) {
  const auto program = ebpf::check(ebpf::assemble("r0 = *(u64 *)(r1 + 8)\nexit").value()).value();
  const auto verified = verify::verify(program, {.premise = {.memory_least = 16}});
  ASSERT_TRUE(verified) << verified.error().message;
  const auto engine = engine::load_extended(*verified).value();
  alignas(8) std::uint8_t memory[16] = {0, 0, 0, 0, 0, 0, 0, 0, 7};
  const auto address = reinterpret_cast<std::uint64_t>(memory);
  runtime::Invocation run;
  run.arguments = {address, 16, 0, 0, 0};
  run.regions = {{address, 16, true}};
  EXPECT_EQ(engine->run(run).value, 7u);
  run.arguments[1] = 15;
  if (engine->name() == "native") {
    EXPECT_EQ(engine->run(run).fault, engine::Fault::kArgument);
  }
  run.arguments = {address, 16, 0, 0, 0};
  run.regions = {{address, 8, true}};
  EXPECT_NE(engine->run(run).fault, engine::Fault::kNone);
}

}  // namespace
}  // namespace weir
