// The front door: single packets, batches and columns agree; threads share a filter; errors keep their place.
#include <weir/weir.h>

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace weir {
namespace {

// Ethernet, IPv4, TCP from port `source` to 443.
std::vector<std::uint8_t> tcp_packet(std::uint16_t destination) {
  std::vector<std::uint8_t> bytes(60, 0);
  bytes[12] = 0x08;
  bytes[14] = 0x45;
  bytes[23] = 6;
  bytes[36] = static_cast<std::uint8_t>(destination >> 8);
  bytes[37] = static_cast<std::uint8_t>(destination);
  return bytes;
}

TEST(Front, MatchesOnePacket) {
  const auto filter = Filter::compile("tcp port 443");
  ASSERT_TRUE(filter) << filter.error().message;
  EXPECT_TRUE(filter->matches(tcp_packet(443)));
  EXPECT_FALSE(filter->matches(tcp_packet(444)));
  EXPECT_FALSE(filter->matches(ByteSpan{}));
}

TEST(Front, BatchesAndColumnsGiveTheSameBits) {
  const auto filter = Filter::compile("tcp dst port 443");
  ASSERT_TRUE(filter);
  std::vector<std::vector<std::uint8_t>> bytes;
  std::vector<std::uint8_t> all;
  std::vector<packet::Packet> packets;
  std::vector<std::uint32_t> offsets, lengths;
  for (int i = 0; i < 300; ++i) bytes.push_back(tcp_packet(i % 3 == 0 ? 443 : 80));
  for (const auto& one : bytes) {
    packets.push_back(packet::make_packet(one));
    offsets.push_back(static_cast<std::uint32_t>(all.size()));
    lengths.push_back(static_cast<std::uint32_t>(one.size()));
    all.insert(all.end(), one.begin(), one.end());
  }
  std::vector<std::uint64_t> from_batch(5, ~std::uint64_t{0});
  std::vector<std::uint64_t> from_columns(5, ~std::uint64_t{0});
  EXPECT_EQ(filter->matches(packets, from_batch), 100u);
  EXPECT_EQ(filter->matches({all.data(), offsets.data(), lengths.data(), nullptr, nullptr, 300}, from_columns), 100u);
  EXPECT_EQ(from_batch, from_columns);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(from_batch[i / 64] >> (i % 64) & 1, i % 3 == 0 ? 1u : 0u);
}

TEST(Front, ManyThreadsShareAFilter) {
  const auto filter = Filter::compile("tcp port 443");
  ASSERT_TRUE(filter);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const auto packet = tcp_packet(static_cast<std::uint16_t>(440 + t));
      for (int i = 0; i < 20000; ++i) wrong += filter->matches(packet) != (t == 3);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Front, ErrorsPointIntoTheExpression) {
  const auto filter = Filter::compile("tcp pot 443");
  ASSERT_FALSE(filter);
  ASSERT_TRUE(std::holds_alternative<Span>(filter.error().place));
}

TEST(Front, AnyEngineCanBeAskedFor) {
  for (const engine::KindInfo& info : engine::kinds()) {
    const auto filter = Filter::compile("tcp port 443", {.load = {.kind = info.kind}});
    if (!filter) {
      EXPECT_EQ(filter.error().code, ErrorCode::kUnsupported);
      continue;
    }
    EXPECT_TRUE(filter->matches(tcp_packet(443))) << info.name;
    EXPECT_FALSE(filter->matches(tcp_packet(80))) << info.name;
  }
}

// Processor features can be taken away: what is then missing is refused by name, and auto does without.
TEST(Front, FeaturesCanBeMasked) {
  engine::LoadOptions none{.features = {}};
  const auto filter = Filter::compile("tcp port 443", {.load = none});
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->engine().name(), "interpreter");
  none.kind = engine::Kind::kScalar;
  const auto refused = Filter::compile("tcp port 443", {.load = none});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST(Front, FewPacketsAreNotWorthCompilingFor) {
  const auto filter = Filter::compile("tcp port 443", {.load = {.expected_packets = 10}});
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->engine().name(), "interpreter");
  if (!engine::cpu_features().x86_64) return;
  const auto more = Filter::compile("tcp port 443", {.load = {.expected_packets = 5000}});
  ASSERT_TRUE(more);
  EXPECT_EQ(more->engine().name(), "scalar");
}

}  // namespace
}  // namespace weir
