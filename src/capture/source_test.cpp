// Captures made to be read: every variant of the formats, and every kind of damage with what is left before it.
#include <weir/capture/source.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/pcap_source.h"
#include "capture_builder.h"

namespace weir::capture {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tests::CaptureBuilder;
using tests::ipv4_packet;

struct Seen {
  std::vector<std::uint32_t> lengths;
  std::vector<Time> times;
  std::vector<std::uint32_t> interfaces;
  std::vector<std::vector<std::uint8_t>> blocks;
  std::optional<Error> error;
  Warnings warnings;
};

Seen read_all(Source& source) {
  Seen seen;
  RecordBatch batch;
  for (;;) {
    const Result<Read> read = source.read(batch);
    if (!read) seen.error = read.error();
    if (!read || *read == Read::kEnd) break;
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      seen.lengths.push_back(batch.packets[i].length);
      seen.interfaces.push_back(batch.records[i].interface);
      seen.times.push_back(time_of(batch.records[i], source.interfaces()[batch.records[i].interface]));
    }
    for (const Block& block : batch.blocks) seen.blocks.emplace_back(block.raw.begin(), block.raw.end());
  }
  // Reading on tells the same again.
  EXPECT_EQ(source.read(batch).has_value(), !seen.error.has_value());
  seen.warnings = source.warnings();
  return seen;
}

Seen read_bytes(ByteSpan bytes) {
  Result<std::unique_ptr<Source>> source = open_memory(bytes, "test");
  if (!source) {
    Seen seen;
    seen.error = source.error();
    return seen;
  }
  return read_all(**source);
}

std::uint64_t offset_of(const Error& error) { return std::get<OffsetPlace>(error.place).offset; }

CaptureBuilder three_records(std::endian order, std::uint32_t magic) {
  CaptureBuilder file(order);
  file.pcap_header(magic).record(ipv4_packet(60), 5, 7).record({}, 6, 999999).record(ipv4_packet(100), 7, 0, 1500);
  return file;
}

TEST(PcapSource, BothOrdersAndResolutions) {
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    const Seen micro = read_bytes(three_records(order, 0xa1b2c3d4).span());
    EXPECT_FALSE(micro.error);
    EXPECT_THAT(micro.lengths, ElementsAre(60, 0, 100));
    EXPECT_EQ(micro.times[0], (Time{5, 7000}));
    EXPECT_EQ(micro.times[1], (Time{6, 999999000}));
    const Seen nano = read_bytes(three_records(order, 0xa1b23c4d).span());
    EXPECT_FALSE(nano.error);
    EXPECT_EQ(nano.times[0], (Time{5, 7}));
  }
}

TEST(PcapSource, TimesBehind2038And2106) {
  CaptureBuilder file;
  file.pcap_header().record(ipv4_packet(60), 0x80000000).record(ipv4_packet(60), 0xffffffff, 999999);
  const Seen seen = read_bytes(file.span());
  EXPECT_EQ(seen.times[0].seconds, 0x80000000);
  EXPECT_EQ(seen.times[1], (Time{0xffffffff, 999999000}));
}

TEST(PcapSource, PatchedFormatHasLongerRecordHeaders) {
  CaptureBuilder file;
  file.pcap_header(0xa1b2cd34);
  file.number(1u).number(2u).number(4u).number(60u).number(3u).number(std::uint32_t{0x0800}).raw({1, 2, 3, 4});
  const Seen seen = read_bytes(file.span());
  EXPECT_FALSE(seen.error);
  EXPECT_THAT(seen.lengths, ElementsAre(4));
}

TEST(PcapSource, OldVersionsSwapTheLengths) {
  CaptureBuilder file;
  file.number(0xa1b2c3d4u).number(std::uint16_t{2}).number(std::uint16_t{2});
  file.number(0u).number(0u).number(65535u).number(1u);
  file.number(1u).number(2u).number(60u).number(4u).raw({1, 2, 3, 4});
  EXPECT_THAT(read_bytes(file.span()).lengths, ElementsAre(4));
  file.bytes[4] = 9;  // version 9.2
  EXPECT_THAT(read_bytes(file.span()).error->message, HasSubstr("version 9.2"));
}

TEST(PcapSource, EmptyUnknownAndShortFiles) {
  EXPECT_EQ(read_bytes({}).error->message, "the file is empty");
  const std::uint8_t text[] = {'G', 'I', 'F', '8', '9', 'a'};
  EXPECT_THAT(read_bytes(text).error->message, HasSubstr("neither a pcap nor a pcapng"));
  EXPECT_THAT(read_bytes(text).error->hint, HasSubstr("47 49 46 38"));
  const CaptureBuilder file = three_records(std::endian::little, 0xa1b2c3d4);
  for (std::size_t size = 4; size < 24; ++size)
    EXPECT_THAT(read_bytes(file.span().first(size)).error->message, HasSubstr("header is cut short"));
}

// Wherever the file ends, the whole packets before are there, and the error says at which offset the cut one starts.
TEST(PcapSource, CutAnywhere) {
  const CaptureBuilder file = three_records(std::endian::big, 0xa1b2c3d4);
  const std::vector<std::size_t> ends{24, 24 + 76, 24 + 76 + 16, file.bytes.size()};
  for (std::size_t size = 24; size <= file.bytes.size(); ++size) {
    const Seen seen = read_bytes(file.span().first(size));
    std::size_t whole = 0;
    while (whole + 1 < ends.size() && ends[whole + 1] <= size) ++whole;
    EXPECT_EQ(seen.lengths.size(), whole) << size;
    EXPECT_EQ(seen.error.has_value(), size != ends[whole]) << size;
    if (seen.error) {
      EXPECT_EQ(offset_of(*seen.error), ends[whole]);
    }
  }
}

TEST(PcapSource, LongRecords) {
  CaptureBuilder file;
  file.pcap_header(0xa1b2c3d4, 64).record(ipv4_packet(60)).record(ipv4_packet(100)).record(ipv4_packet(200));
  const Seen cut = read_bytes(file.span());
  EXPECT_THAT(cut.lengths, ElementsAre(60, 64, 64));  // as libpcap: cut to the snap length
  ASSERT_EQ(cut.warnings.size(), 1u);
  EXPECT_EQ(offset_of(cut.warnings[0]), 24u + 76);

  CaptureBuilder huge;
  huge.pcap_header(0xa1b2c3d4, 0).record(ipv4_packet(60)).record(ipv4_packet(262144)).record(ipv4_packet(262145));
  const Seen seen = read_bytes(huge.span());
  EXPECT_THAT(seen.lengths, ElementsAre(60, 262144));
  EXPECT_THAT(seen.error->message, HasSubstr("262145"));
  EXPECT_EQ(offset_of(*seen.error), 24u + 76 + 16 + 262144);
}

TEST(PcapSource, HostOrderFieldsAreSwapped) {
  // A CAN frame in a cooked capture from a host of the other byte order.
  constexpr std::endian kOther = std::endian::native == std::endian::little ? std::endian::big : std::endian::little;
  std::vector<std::uint8_t> packet(24);
  packet[15] = 0x0c;
  store(packet.data() + 16, 0x12345678u, kOther);
  CaptureBuilder file(kOther);
  file.pcap_header(0xa1b2c3d4, 65535, 113).record(packet);
  auto source = open_memory(file.span(), "test");
  RecordBatch batch;
  ASSERT_EQ((*source)->read(batch), Read::kMore);
  ASSERT_EQ(batch.packets.size(), 1u);
  EXPECT_EQ(load<std::uint32_t>(batch.packets[0].data + 16, std::endian::native), 0x12345678u);
}

constexpr std::endian kForeign = std::endian::native == std::endian::little ? std::endian::big : std::endian::little;

// The first packet of a capture of the other byte order.
std::vector<std::uint8_t> foreign_packet(std::uint32_t link, const std::vector<std::uint8_t>& packet,
                                         std::uint32_t wire) {
  CaptureBuilder file(kForeign);
  file.pcap_header(0xa1b2c3d4, 65535, link).record(packet, 1, 2, wire);
  auto source = open_memory(file.span(), "test");
  RecordBatch batch;
  EXPECT_EQ((*source)->read(batch), Read::kMore);
  return {batch.packets[0].data, batch.packets[0].data + batch.packets[0].length};
}

// As libpcap: the ids in the log of pf, as far as the header's own length reaches.
TEST(PcapSource, IdsOfPfAreSwapped) {
  std::vector<std::uint8_t> packet(100);
  for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<std::uint8_t>(i);
  for (const std::uint8_t header : {43, 47, 48, 52, 59, 60, 69, 255}) {
    packet[0] = header;
    std::vector<std::uint8_t> expected = packet;
    for (std::ptrdiff_t at = 44; at < 60 && at + 4 <= header; at += 4)
      std::reverse(expected.begin() + at, expected.begin() + at + 4);
    EXPECT_EQ(foreign_packet(117, packet, 100), expected) << int{header};
  }
}

// As libpcap: what lies behind the packet's end on the wire is not a field.
TEST(PcapSource, NothingIsSwappedBehindTheWireLength) {
  std::vector<std::uint8_t> packet{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(foreign_packet(113, packet, 17), packet);
  EXPECT_EQ(foreign_packet(113, packet, 19), packet);
  std::vector<std::uint8_t> swapped = packet;
  std::reverse(swapped.begin() + 16, swapped.begin() + 20);
  EXPECT_EQ(foreign_packet(113, packet, 20), swapped);
}

// A window that one long packet made large gives no large batches.
TEST(PcapSource, BatchesAreBounded) {
  CaptureBuilder file;
  file.pcap_header(0xa1b2c3d4, 0, 231).record(std::vector<std::uint8_t>(3000000));
  for (int i = 0; i < 100000; ++i) file.record({});
  auto source = open_memory(file.span(), "test");
  RecordBatch batch;
  std::size_t packets = 0;
  while ((*source)->read(batch) == Read::kMore) {
    EXPECT_LE(batch.packets.size(), 32768u);
    packets += batch.packets.size();
  }
  EXPECT_EQ(packets, 100001u);
}

TEST(PcapSource, LinkTypesWithBitsThatMeanNothing) {
  CaptureBuilder file;
  file.pcap_header(0xa1b2c3d4, 0, 0x20001);
  const Seen seen = read_bytes(file.span());
  ASSERT_TRUE(seen.error);
  EXPECT_THAT(seen.error->message, HasSubstr("0x20001"));
  EXPECT_EQ(offset_of(*seen.error), 20u);
  CaptureBuilder sequence;
  sequence.pcap_header(0xa1b2c3d4, 0, 0x24000001).record(ipv4_packet(60));
  EXPECT_THAT(read_bytes(sequence.span()).lengths, ElementsAre(60));
}

// The window moves at every possible place: records are whole whatever its capacity.
TEST(PcapSource, SmallWindows) {
  CaptureBuilder file;
  file.pcap_header();
  std::vector<std::uint32_t> lengths;
  for (std::uint32_t i = 0; i < 200; ++i) {
    lengths.push_back(i * 37 % 300);
    file.record(ipv4_packet(lengths.back()));
  }
  for (const std::size_t capacity : {24u, 25u, 64u, 100u, 1000u}) {
    auto source = open_over(memory_stream(file.span()), "test", capacity);
    EXPECT_EQ(read_all(**source).lengths, lengths) << capacity;
  }
}

CaptureBuilder resolution(std::uint8_t value, std::endian order = std::endian::little) {
  CaptureBuilder options(order);
  options.option(9, {value}).number(0u);
  return options;
}

TEST(PcapngSource, SectionsOrdersInterfaces) {
  CaptureBuilder file;
  file.section().interface(1, 65535).interface(101, 96, resolution(9)).enhanced(1, 5000000007, ipv4_packet(60));
  CaptureBuilder other(std::endian::big);
  other.section()
      .interface(113, 0, resolution(0x80 | 10, std::endian::big))
      .enhanced(0, 3 * 1024 + 512, ipv4_packet(70));
  file.raw(other.bytes);
  auto source = open_memory(file.span(), "test");
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->interfaces().size(), 2u);  // known before the first packet is read
  const Seen seen = read_all(**source);
  EXPECT_FALSE(seen.error);
  EXPECT_EQ((*source)->sections(), 2u);
  ASSERT_EQ((*source)->interfaces().size(), 3u);
  EXPECT_THAT(seen.interfaces, ElementsAre(1, 2));
  EXPECT_EQ(seen.times[0], (Time{5, 7}));
  EXPECT_EQ(seen.times[1], (Time{3, 500000000}));
  EXPECT_EQ((*source)->interfaces()[2].snap_length, 262144u);
  EXPECT_EQ(seen.blocks.size(), 5u);
}

TEST(PcapngSource, OffsetsNamesAndFineResolutions) {
  CaptureBuilder options;
  options.option(2, {'e', 't', 'h', '0'}).option(9, {12}).option(14, {10, 0, 0, 0, 0, 0, 0, 0}).number(0u);
  CaptureBuilder file;
  file.section().interface(1, 65535, options).enhanced(0, 2500000000000, ipv4_packet(60));
  auto source = open_memory(file.span(), "test");
  const Seen seen = read_all(**source);
  EXPECT_EQ((*source)->interfaces()[0].name, "eth0");
  EXPECT_EQ(seen.times[0], (Time{12, 500000000}));
}

TEST(PcapngSource, SimpleAndObsoletePackets) {
  CaptureBuilder body;
  body.number(100u).padded(ipv4_packet(64));
  CaptureBuilder obsolete;
  obsolete.number(std::uint16_t{0}).number(std::uint16_t{9}).number(0u).number(1500000u).number(61u).number(70u);
  obsolete.padded(ipv4_packet(61));
  CaptureBuilder file;
  file.section().interface(1, 64).block(3, body).block(2, obsolete);
  const Seen seen = read_bytes(file.span());
  EXPECT_FALSE(seen.error);
  EXPECT_THAT(seen.lengths, ElementsAre(64, 61));
  EXPECT_EQ(seen.times[1], (Time{1, 500000000}));
}

TEST(PcapngSource, Refused) {
  const auto error_of = [](const CaptureBuilder& file) {
    const Seen seen = read_bytes(file.span());
    return seen.error ? seen.error->message : "none";
  };
  EXPECT_THAT(error_of(CaptureBuilder().section().enhanced(0, 0, {})), HasSubstr("interface 0"));
  EXPECT_THAT(error_of(CaptureBuilder().section().interface(1, 0).section().enhanced(0, 0, {})),
              HasSubstr("describes 0"));
  EXPECT_THAT(error_of(CaptureBuilder().section().interface(1, 0, resolution(20))), HasSubstr("too fine"));
  EXPECT_THAT(error_of(CaptureBuilder().section().number(5u).number(13u).number(0u)), HasSubstr("length of 13"));
  EXPECT_THAT(error_of(CaptureBuilder().section().number(5u).number(12u).number(16u)), HasSubstr("repeat its length"));
  EXPECT_THAT(error_of(CaptureBuilder().section().number(5u).number(0x20000000u)), HasSubstr("longer than"));
  CaptureBuilder beyond;
  beyond.number(0u).number(0u).number(0u).number(9u).number(9u).number(0u);
  EXPECT_THAT(error_of(CaptureBuilder().section().interface(1, 0).block(6, beyond)), HasSubstr("beyond its block"));
  CaptureBuilder magic;
  magic.section();
  magic.bytes[8] ^= 1;
  EXPECT_THAT(error_of(magic), HasSubstr("magic"));
}

TEST(PcapngSource, WhatMayStandOnce) {
  const auto error_of = [](const CaptureBuilder& file) {
    const Seen seen = read_bytes(file.span());
    return seen.error ? seen.error->message : "none";
  };
  CaptureBuilder twice;
  twice.option(9, {6}).option(9, {6}).number(0u);
  EXPECT_THAT(error_of(CaptureBuilder().section().interface(1, 0, twice)), HasSubstr("second timestamp resolution"));
  CaptureBuilder offsets;
  offsets.option(14, std::vector<std::uint8_t>(8)).option(14, std::vector<std::uint8_t>(8)).number(0u);
  EXPECT_THAT(error_of(CaptureBuilder().section().interface(1, 0, offsets)), HasSubstr("second timestamp offset"));
  for (const std::uint8_t minor : {0, 1, 2, 3}) {
    CaptureBuilder file;
    file.section();
    file.bytes[14] = minor;
    const std::string expected = minor == 0 || minor == 2 ? "none" : "version 1." + std::to_string(minor);
    EXPECT_THAT(error_of(file), HasSubstr(expected));
  }
}

// 16 MiB, as in libpcap, or what a link type needs.
TEST(PcapngSource, LongBlocks) {
  constexpr std::uint32_t kMost = 16u << 20;
  const auto with_block = [](CaptureBuilder file, std::uint32_t size) {
    file.number(5u).number(size);
    file.bytes.resize(file.bytes.size() + size - 12);
    return read_bytes(file.number(size).span());
  };
  const CaptureBuilder ordinary = CaptureBuilder().section().interface(1, 0);
  EXPECT_EQ(with_block(ordinary, kMost).blocks.size(), 3u);
  EXPECT_THAT(with_block(ordinary, kMost + 4).error->message, HasSubstr("longer than the 16777216"));
  const CaptureBuilder messages = CaptureBuilder().section().interface(1, 0).interface(231, 0);
  EXPECT_EQ(with_block(messages, kMost + 4).blocks.size(), 4u);
  EXPECT_TRUE(with_block(CaptureBuilder(messages).section(), kMost + 4).error);
}

// A layout tells of each interface, so there is none for a little of a capture with a million of them.
TEST(PcapngSource, NoRegionWhereInterfacesAreMore) {
  for (const int interfaces : {1, 64, 10000}) {
    CaptureBuilder file;
    file.section();
    for (int i = 0; i < interfaces; ++i) file.interface(1, 0);
    for (int i = 0; i < 1000; ++i) file.enhanced(0, 1, ipv4_packet(1000));
    auto source = open_memory(file.span(), "test");
    RecordBatch batch;
    bool region = false;
    std::size_t packets = 0;
    while ((*source)->read(batch) == Read::kMore) {
      packets += batch.packets.size();
      region = region || (*source)->region().has_value();
    }
    EXPECT_EQ(region, interfaces <= 64);
    EXPECT_EQ(packets, 1000u);
  }
}

TEST(PcapngSource, CutAnywhere) {
  CaptureBuilder file;
  file.section().interface(1, 65535).enhanced(0, 1, ipv4_packet(61)).enhanced(0, 2, ipv4_packet(62));
  const std::size_t second = file.bytes.size() - 96;
  const std::size_t first = second - 96;
  for (std::size_t size = 28; size < file.bytes.size(); ++size) {
    const Seen seen = read_bytes(file.span().first(size));
    EXPECT_EQ(seen.lengths.size(), size >= second ? 1u : 0u) << size;
    EXPECT_EQ(seen.error.has_value(), size != 28 && size != first && size != second) << size;
  }
}

}  // namespace
}  // namespace weir::capture
