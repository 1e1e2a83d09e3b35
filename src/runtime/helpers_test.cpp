// Helper functions: formats of printing, sums of packets, packets that grow and shrink.
#include <cstring>

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <weir/runtime/helpers.h>

#include "runtime/print.h"

namespace weir::runtime {
namespace {

std::uint64_t call(ebpf::Helper helper, Invocation& run, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                   std::uint64_t d = 0, std::uint64_t e = 0) {
  return Helpers::standard().find(static_cast<std::int32_t>(helper))->function(run, a, b, c, d, e);
}
std::uint64_t address(const void* at) { return reinterpret_cast<std::uint64_t>(at); }

TEST(Print, Formats) {
  Invocation run;
  struct Everything final : AccessRule {
    bool allows(std::uint64_t, std::uint64_t, bool) const override { return true; }
  } everything;
  run.access = &everything;
  const auto text = [&](std::string_view format, std::array<std::uint64_t, 3> values) {
    return print_format(std::string(format) + '\0', values, run).value_or("(bad)");
  };
  EXPECT_EQ(text("a %d %u %x", {static_cast<std::uint64_t>(-5), 0x1ffffffff, 255}), "a -5 4294967295 ff");
  EXPECT_EQ(text("%lld %llx %lu", {static_cast<std::uint64_t>(-5), 0x1ffffffff, 7}), "-5 1ffffffff 7");
  EXPECT_EQ(text("[%5d|%-5d|%05d]", {42, 42, static_cast<std::uint64_t>(-42)}), "[   42|42   |-0042]");
  EXPECT_EQ(text("%s%%", {address("word"), 0, 0}), "word%");
  EXPECT_EQ(text("%q", {}), "(bad)");
  EXPECT_EQ(text("%d%d%d%d", {}), "(bad)");
  EXPECT_FALSE(print_format("no end", {}, run));
  run.access = nullptr;
  EXPECT_EQ(text("%s", {1, 0, 0}), "(fault)");
}

TEST(PacketBuffer, GrowsAndShrinks) {
  PacketBuffer packet = std::move(PacketBuffer::create(2000).value());
  const std::vector<std::uint8_t> bytes(100, 7);
  packet.set(bytes);
  EXPECT_LT(address(packet.data()) + 100, 1ull << 32);
  EXPECT_EQ(packet.xdp_context()->data, address(packet.data()));
  EXPECT_EQ(packet.xdp_context()->data_end, address(packet.data()) + 100);
  EXPECT_FALSE(packet.adjust_head(-217)) << "the kernel keeps 40 of 256 bytes";
  EXPECT_TRUE(packet.adjust_head(-216));
  EXPECT_EQ(packet.size(), 316u);
  EXPECT_FALSE(packet.adjust_head(-1));
  EXPECT_TRUE(packet.adjust_head(216));
  EXPECT_FALSE(packet.adjust_head(87)) << "an Ethernet header must be left";
  EXPECT_TRUE(packet.adjust_tail(10));
  EXPECT_EQ(packet.bytes()[109], 0);
  EXPECT_FALSE(packet.adjust_tail(-100));
  EXPECT_EQ(packet.socket_context()->data_end, address(packet.data()) + 110);
  EXPECT_FALSE(packet.adjust_tail(3411)) << "a frame has a page";
  EXPECT_TRUE(packet.adjust_tail(3410));
  EXPECT_EQ(packet.size(), 3520u);
  packet.set(std::vector<std::uint8_t>(5000));
  EXPECT_EQ(packet.size(), 2000u) << "cut";
}

std::uint16_t sum(ByteSpan bytes) {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) total += load_be16(&bytes[i]);
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(~total);
}

TEST(Helpers, SumsStayRight) {
  PacketBuffer packet = std::move(PacketBuffer::create(100).value());
  std::vector<std::uint8_t> header = {0x45, 0, 0, 60, 1, 2, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  const std::uint16_t right = sum(header);
  store(&header[10], right, std::endian::big);
  packet.set(header);
  Invocation run;
  run.packet = &packet;
  run.arguments[0] = 1;
  // Another destination: bytes 16 to 19, by difference and by old and new value.
  std::uint32_t from, to;
  std::memcpy(&from, &header[16], 4);
  const std::uint8_t other[4] = {192, 168, 7, 9};
  std::memcpy(&to, other, 4);
  EXPECT_EQ(call(ebpf::Helper::kL3CsumReplace, run, 1, 10, from, to, 4), 0u);
  EXPECT_EQ(call(ebpf::Helper::kSkbStoreBytes, run, 1, 16, address(other), 4, 0), 0u);
  EXPECT_EQ(sum(packet.bytes()), 0);
  const std::uint8_t back[4] = {10, 0, 0, 2};
  const std::uint64_t difference = call(ebpf::Helper::kCsumDiff, run, address(other), 4, address(back), 4, 0);
  EXPECT_EQ(call(ebpf::Helper::kL3CsumReplace, run, 1, 10, 0, difference, 0), 0u);
  EXPECT_EQ(call(ebpf::Helper::kSkbStoreBytes, run, 1, 16, address(back), 4, 0), 0u);
  EXPECT_EQ(sum(packet.bytes()), 0);
  EXPECT_EQ(packet.bytes()[10], header[10]);
  // Of the offset, 32 bits count.
  const std::vector<std::uint8_t> before(packet.bytes().begin(), packet.bytes().end());
  for (const ebpf::Helper helper : {ebpf::Helper::kL3CsumReplace, ebpf::Helper::kL4CsumReplace}) {
    EXPECT_EQ(call(helper, run, 1, 0x10000000a, from, to, 4), 0u);
    EXPECT_EQ(call(helper, run, 1, 0xffffffff0000000a, to, from, 4), 0u);
  }
  EXPECT_TRUE(std::equal(before.begin(), before.end(), packet.bytes().begin()));
  EXPECT_EQ(static_cast<std::int64_t>(call(ebpf::Helper::kL3CsumReplace, run, 1, 10, 0, 0, 16)), -EINVAL);
  for (const std::uint64_t offset : {11, 200, 0x10000})
    for (const ebpf::Helper helper : {ebpf::Helper::kL3CsumReplace, ebpf::Helper::kL4CsumReplace})
      EXPECT_EQ(static_cast<std::int64_t>(call(helper, run, 1, offset, 0, 0, 0)), -EFAULT);
  EXPECT_EQ(call(ebpf::Helper::kL4CsumReplace, run, 1, 10, 0, 0, 0x80), 0u) << "BPF_F_IPV6";
  EXPECT_EQ(static_cast<std::int64_t>(call(ebpf::Helper::kL4CsumReplace, run, 1, 10, 0, 0, 0x100)), -EINVAL);
}

// Such a sum has two zeros; which of them the kernel writes was tried with Linux 6.18.
TEST(Helpers, SumsOfZeroAreTheKernels) {
  PacketBuffer packet = std::move(PacketBuffer::create(100).value());
  Invocation run;
  run.packet = &packet;
  const auto replaced = [&](ebpf::Helper helper, std::uint64_t from, std::uint64_t to, std::uint64_t flags) {
    packet.set(std::vector<std::uint8_t>(20, 0xff));
    EXPECT_EQ(call(helper, run, 1, 16, from, to, flags), 0u);
    return load_be16(packet.data() + 16);
  };
  for (const ebpf::Helper helper : {ebpf::Helper::kL3CsumReplace, ebpf::Helper::kL4CsumReplace}) {
    EXPECT_EQ(replaced(helper, 0, 0, 0), 0u);
    EXPECT_EQ(replaced(helper, 0xffffffff, 0, 4), 0u);
  }
  EXPECT_EQ(replaced(ebpf::Helper::kL4CsumReplace, 0, 0, 0x10), 0u);
  EXPECT_EQ(replaced(ebpf::Helper::kL4CsumReplace, 0xffff, 0, 2), 0u);
  EXPECT_EQ(replaced(ebpf::Helper::kL3CsumReplace, 0xffff, 0, 2), 0xffffu);
  const auto difference = [&](std::vector<std::uint8_t> from, std::uint64_t seed) {
    return call(ebpf::Helper::kCsumDiff, run, address(from.data()), from.size(), 0, 0, seed);
  };
  if (std::endian::native != std::endian::little) return;
  EXPECT_EQ(difference(std::vector<std::uint8_t>(8), 0), 0u);
  EXPECT_EQ(difference({5, 0, 0, 0}, 5), 0u);
  EXPECT_EQ(difference({0xff, 0xff, 0xff, 0xff}, 0xffffffff), 0u);
  EXPECT_EQ(difference({0x34, 0x12, 0, 0, 0}, 0x1234), 0u);
  EXPECT_EQ(difference({0x34, 0x12, 0, 0}, 0x12340000), 0xffffu);
  const std::uint8_t crossed[8] = {0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff}, zeros[4] = {};
  EXPECT_EQ(call(ebpf::Helper::kCsumDiff, run, address(crossed), 8, address(zeros), 4, 0), 0u);
  EXPECT_EQ(call(ebpf::Helper::kCsumDiff, run, address(crossed), 4, address(zeros), 4, 0), 0xffffu);
}

TEST(Helpers, RedirectionsHaveTheNumbersOfTheirKind) {
  PacketBuffer packet = std::move(PacketBuffer::create(100).value());
  Invocation run;
  run.packet = &packet;
  run.arguments[0] = address(packet.xdp_context());
  EXPECT_EQ(call(ebpf::Helper::kRedirect, run, 5, BPF_F_INGRESS), std::uint64_t{XDP_ABORTED});
  EXPECT_EQ(run.redirect, 0u);
  EXPECT_EQ(call(ebpf::Helper::kRedirect, run, 5, 0), std::uint64_t{XDP_REDIRECT});
  EXPECT_EQ(run.redirect, 5u);
  run.arguments[0] = address(packet.socket_context());
  EXPECT_EQ(call(ebpf::Helper::kRedirect, run, 6, BPF_F_INGRESS), 7u);  // TC_ACT_REDIRECT
  EXPECT_EQ(run.redirect, 6u);
  EXPECT_EQ(call(ebpf::Helper::kRedirect, run, 7, 2), 2u);  // TC_ACT_SHOT
}

TEST(Helpers, LoadsOutsideGiveZerosAndFail) {
  PacketBuffer packet = std::move(PacketBuffer::create(100).value());
  packet.set(std::vector<std::uint8_t>{1, 2, 3, 4});
  Invocation run;
  run.packet = &packet;
  std::uint8_t out[4] = {9, 9, 9, 9};
  EXPECT_EQ(call(ebpf::Helper::kSkbLoadBytes, run, 0, 1, address(out), 3), 0u);
  EXPECT_EQ(out[2], 4);
  EXPECT_EQ(static_cast<std::int64_t>(call(ebpf::Helper::kSkbLoadBytes, run, 0, 2, address(out), 3)), -EFAULT);
  EXPECT_EQ(out[0], 0);
}

TEST(Helpers, NoBytesAreReadToNowhere) {
  Invocation run;
  for (const ebpf::Helper helper : {ebpf::Helper::kProbeRead, ebpf::Helper::kProbeReadKernel})
    EXPECT_LE(static_cast<std::int64_t>(call(helper, run, 0, 0, 0)), 0);
}

// As Linux 6.18 gives them.
TEST(Helpers, DifferencesOfSumsOfAnyLength) {
  Invocation run;
  std::vector<std::uint8_t> bytes(2048);
  for (std::size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(i + 1);
  for (std::size_t i = 0; i < 15; ++i) bytes[16 + i] = static_cast<std::uint8_t>(0xf1 + i);
  const auto difference = [&](std::uint64_t from, std::uint64_t to, std::uint64_t seed) {
    const std::uint64_t sizes[] = {from, to};
    return call(ebpf::Helper::kCsumDiff, run, sizes[0] != 0 ? address(&bytes[8]) : 0, from,
                sizes[1] != 0 ? address(&bytes[1]) : 0, to, seed);
  };
  EXPECT_EQ(difference(0, 3, 0), 0x306u);
  EXPECT_EQ(difference(3, 0, 0), 0xf5ebu);
  EXPECT_EQ(difference(5, 7, 9), 0xf8fbu);
  EXPECT_EQ(difference(512, 1024, 77), 0x26eu);
  EXPECT_EQ(difference(2000, 0, 0xdeadbeef), 0x99a6u);
  EXPECT_EQ(difference(0, 0, 1ull << 32), 0u);
  EXPECT_EQ(difference(0, 0, 0xffffffff), 0xffffu);
}

TEST(Helpers, TextsCompareToASign) {
  struct Everything final : AccessRule {
    bool allows(std::uint64_t, std::uint64_t, bool) const override { return true; }
  } everything;
  Invocation run;
  run.access = &everything;
  const auto compare = [&](const char* left, const char* right) {
    return static_cast<std::int64_t>(call(ebpf::Helper::kStrncmp, run, address(left), 4, address(right)));
  };
  EXPECT_EQ(compare("aaa", "cde"), -1);
  EXPECT_EQ(compare("\xff", "a"), 1);
  EXPECT_EQ(compare("aaaa", "aaaab"), 0);
}

TEST(Helpers, ProcessorsThatAMapDoesNotHave) {
  const auto map = make_map({"m", ebpf::MapType::kPercpuArray, 4, 8, 1}, {.cpus = 2}).value();
  Invocation run;
  const std::uint32_t key = 0;
  const auto value = [&](std::uint64_t cpu) {
    return call(ebpf::Helper::kMapLookupPercpuElem, run, address(map.get()), address(&key), cpu);
  };
  EXPECT_EQ(value(1), address(map->lookup(&key, 1)));
  EXPECT_EQ(value(1ull << 32), address(map->lookup(&key, 0))) << "32 bits count";
  EXPECT_EQ(value(2), 0u);
  EXPECT_EQ(value(100000), 0u);
}

TEST(Helpers, RingsTellTheirPositions) {
  const auto map = make_map({"r", ebpf::MapType::kRingbuf, 0, 0, 4096}).value();
  Invocation run;
  const std::uint64_t data = 7;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(call(ebpf::Helper::kRingbufOutput, run, address(map.get()), address(&data), 8, 0), 0u);
  dynamic_cast<RingBuffer&>(*map).consume([](ByteSpan) {});
  EXPECT_EQ(call(ebpf::Helper::kRingbufOutput, run, address(map.get()), address(&data), 8, 0), 0u);
  constexpr std::uint64_t kAnswers[] = {16, 4096, 48, 64, 0};
  for (std::uint64_t what = 0; what < std::size(kAnswers); ++what)
    EXPECT_EQ(call(ebpf::Helper::kRingbufQuery, run, address(map.get()), what), kAnswers[what]) << what;
}

TEST(Helpers, PerfEventsAreHandedOn) {
  const auto map = make_map({"p", ebpf::MapType::kPerfEventArray, 4, 4, 3}).value();
  PacketBuffer packet = std::move(PacketBuffer::create(100).value());
  packet.set(std::vector<std::uint8_t>{1, 2, 3});
  Invocation run;
  run.packet = &packet;
  run.cpu = 2;
  const std::uint8_t data[2] = {8, 9};
  const auto put = [&](const Map& into, std::uint64_t flags) {
    return static_cast<std::int64_t>(
        call(ebpf::Helper::kPerfEventOutput, run, 0, address(&into), flags, address(data), sizeof data));
  };
  EXPECT_EQ(put(*map, 0), -ENOENT) << "nobody opened an event";
  std::uint64_t where = 99;
  std::vector<std::uint8_t> got;
  run.perf_output = [&](Map&, std::uint64_t index, ByteSpan bytes) {
    where = index;
    got.assign(bytes.begin(), bytes.end());
  };
  EXPECT_EQ(put(*map, 1), 0);
  EXPECT_EQ(where, 1u);
  EXPECT_EQ(got, (std::vector<std::uint8_t>{8, 9}));
  EXPECT_EQ(put(*map, 0xffffffff | std::uint64_t{3} << 32), 0);
  EXPECT_EQ(where, 2u) << "this CPU's";
  EXPECT_EQ(got, (std::vector<std::uint8_t>{8, 9, 1, 2, 3}));
  EXPECT_EQ(put(*map, std::uint64_t{4} << 32), -EFAULT);
  EXPECT_EQ(put(*map, std::uint64_t{1} << 52), -EINVAL);
  EXPECT_EQ(put(*map, 3), -E2BIG);
  EXPECT_EQ(put(*make_map({"a", ebpf::MapType::kArray, 4, 4, 3}).value(), 0), -EINVAL);
}

TEST(Helpers, StandardOnesHaveTheKernelsNames) {
  for (const std::int32_t number : Helpers::standard().numbers())
    EXPECT_EQ(Helpers::standard().find(number)->prototype.name, "bpf_" + name_of(static_cast<ebpf::Helper>(number)));
  EXPECT_EQ(Helpers::standard().find(9999), nullptr);
}

}  // namespace
}  // namespace weir::runtime
