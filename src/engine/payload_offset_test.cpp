// Netlink attributes and payload offsets of packets made by hand, by the rules of net/core/flow_dissector.c.
#include "engine/payload_offset.h"

#include <initializer_list>
#include <vector>

#include <gtest/gtest.h>

namespace weir::engine {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes ethernet(std::uint16_t type) {
  Bytes out(14, 1);
  out[12] = static_cast<std::uint8_t>(type >> 8);
  out[13] = static_cast<std::uint8_t>(type);
  return out;
}

Bytes ipv4(std::uint8_t protocol, std::uint8_t words = 5, std::uint16_t fragment = 0) {
  Bytes out(words * 4u, 0);
  out[0] = static_cast<std::uint8_t>(0x40 | words);
  out[6] = static_cast<std::uint8_t>(fragment >> 8);
  out[7] = static_cast<std::uint8_t>(fragment);
  out[9] = protocol;
  return out;
}

Bytes ipv6(std::uint8_t next) {
  Bytes out(40, 0);
  out[0] = 0x60;
  out[6] = next;
  return out;
}

Bytes tcp(std::uint8_t words) {
  Bytes out(60, 0);
  out[12] = static_cast<std::uint8_t>(words << 4);
  return out;
}

std::uint32_t offset(const Bytes& bytes) { return payload_offset(packet::make_packet(bytes)); }

TEST(PayloadOffset, IsBehindTheTransportHeader) {
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(6) + tcp(5)), 14u + 20 + 20);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(6, 8) + tcp(10)), 14u + 32 + 40);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(6) + tcp(2)), 14u + 20 + 20);  // at least the fixed header
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(17) + Bytes(8, 0)), 14u + 20 + 8);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(132) + Bytes(12, 0)), 14u + 20 + 12);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(89) + Bytes(12, 0)), 14u + 20);
  EXPECT_EQ(offset(ethernet(0x86dd) + ipv6(58) + Bytes(8, 0)), 14u + 40 + 8);
}

TEST(PayloadOffset, GoesThroughTagsTunnelsAndExtensionHeaders) {
  EXPECT_EQ(offset(ethernet(0x8100) + Bytes{0, 7, 0x08, 0x00} + ipv4(17) + Bytes(8, 0)), 14u + 4 + 20 + 8);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(4) + ipv4(17) + Bytes(8, 0)), 14u + 20 + 20 + 8);
  EXPECT_EQ(offset(ethernet(0x86dd) + ipv6(0) + Bytes{17, 0, 0, 0, 0, 0, 0, 0} + Bytes(8, 0)), 14u + 40 + 8 + 8);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(47) + Bytes{0x20, 0, 0x08, 0, 0, 0, 0, 1} + ipv4(17) + Bytes(8, 0)),
            14u + 20 + 8 + 20 + 8);
  EXPECT_EQ(offset(ethernet(0x8864) + Bytes{0x11, 0, 0, 1, 0, 30, 0, 0x21} + ipv4(17) + Bytes(8, 0)), 14u + 8 + 20 + 8);
}

TEST(PayloadOffset, StopsAtFragments) {
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(17, 5, 0x0010) + Bytes(8, 0)), 14u + 20);      // a later one: no header
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(17, 5, 0x2000) + Bytes(8, 0)), 14u + 20 + 8);  // the first one
  EXPECT_EQ(offset(ethernet(0x86dd) + ipv6(44) + Bytes{17, 0, 0, 8, 0, 0, 0, 0} + Bytes(8, 0)), 14u + 40 + 8);
}

TEST(PayloadOffset, IsZeroWhereNothingIsKnown) {
  EXPECT_EQ(offset({}), 0u);
  EXPECT_EQ(offset(ethernet(0x1234) + Bytes(40, 0)), 0u);
  EXPECT_EQ(offset(ethernet(0x0800) + Bytes(19, 0x45)), 0u);
  EXPECT_EQ(offset(ethernet(0x0800) + ipv4(6, 4)), 0u);  // a header of 16 bytes is none
}

TEST(PayloadOffset, TakesTheNetworkLayerFromMetadata) {
  const packet::Metadata metadata{.protocol = 0x0800, .hardware_type = 0xfffe};
  const Bytes bytes = ipv4(17) + Bytes(8, 0);
  const packet::Packet packet{bytes.data(), static_cast<std::uint32_t>(bytes.size()), 28, &metadata};
  EXPECT_EQ(payload_offset(packet), 28u);
}

// Every truncation of a packet with all kinds of headers: no read outside (sanitizers watch), nothing beyond the end
// but a header's own size.
TEST(PayloadOffset, SurvivesTruncation) {
  const Bytes whole = ethernet(0x8100) + Bytes{0, 7, 0x86, 0xdd} + ipv6(43) + Bytes{47, 0, 0, 0, 0, 0, 0, 0} +
                      Bytes{0, 0, 0x65, 0x58} + ethernet(0x0800) + ipv4(6) + tcp(5);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_LE(offset(cut), size + 20);
  }
  EXPECT_EQ(offset(whole), 14u + 4 + 40 + 8 + 4 + 14 + 20 + 20);
}

TEST(NetlinkAttributes, AreFoundByType) {
  // At 4: type 1, 5 bytes; at 12: type 2, nested: inside, type 7 at 16.
  const Bytes bytes{9, 9, 9, 9, 5, 0, 1, 0, 42, 0, 0, 0, 12, 0, 2, 0x80, 8, 0, 7, 0, 1, 2, 3, 4};
  const packet::Packet packet = packet::make_packet(bytes);
  EXPECT_EQ(find_attribute(packet, 4, 1), 4u);
  EXPECT_EQ(find_attribute(packet, 4, 2), 12u);  // flags in the type do not count
  EXPECT_EQ(find_attribute(packet, 4, 7), 0u);
  EXPECT_EQ(find_attribute(packet, 21, 1), 0u);  // no room for a header
  EXPECT_EQ(find_attribute(packet, 0xffffffff, 1), 0u);
  EXPECT_EQ(find_nested_attribute(packet, 12, 7), 16u);
  EXPECT_EQ(find_nested_attribute(packet, 12, 8), 0u);
  EXPECT_EQ(find_nested_attribute(packet, 4, 7), 0u);
  EXPECT_EQ(find_nested_attribute(packet, 0, 7), 0u);  // longer than the packet
}

}  // namespace
}  // namespace weir::engine
