// What sinks write, read again: same format copies, the other format converts, nothing that can be kept is lost.
#include <weir/capture/sink.h>

#include <fcntl.h>

#include <gtest/gtest.h>

#include <weir/base/file.h>

#include "capture_builder.h"
#include "command.h"

namespace weir::capture {
namespace {

using tests::CaptureBuilder;
using tests::ipv4_packet;

// Writes the packets of the captures for which `keep` has a 1, in turn; gives the bytes of the new capture.
std::string filtered(const std::vector<CaptureBuilder>& captures, const SinkOptions& options,
                     const std::vector<std::uint32_t>& keep) {
  const tests::TemporaryFolder folder;
  auto sink = create(folder / "out", options);
  EXPECT_TRUE(sink);
  std::size_t at = 0;
  for (const CaptureBuilder& capture : captures) {
    auto source = open_memory(capture.span(), "test");
    EXPECT_TRUE(source);
    EXPECT_TRUE((*sink)->begin(**source));
    RecordBatch batch;
    while ((*source)->read(batch) == Read::kMore) {
      std::vector<std::uint32_t> verdicts(batch.packets.size());
      for (std::uint32_t& verdict : verdicts) verdict = keep[at++ % keep.size()];
      EXPECT_TRUE((*sink)->write(batch, verdicts));
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));  // not before it is complete
  EXPECT_TRUE((*sink)->commit());
  return tests::slurp(folder / "out");
}

const std::vector<std::uint32_t> kAll{1};
const std::vector<std::uint32_t> kSecond{0, 1};

TEST(PcapSink, CopiesAndConverts) {
  const CaptureBuilder native = CaptureBuilder(std::endian::native).pcap_header().record(ipv4_packet(60), 1, 5);
  const CaptureBuilder other = CaptureBuilder(std::endian::big).pcap_header().record(ipv4_packet(60), 1, 5);
  EXPECT_EQ(filtered({native}, {}, kAll), native.text());
  EXPECT_EQ(filtered({other}, {}, kAll), native.text());
  const CaptureBuilder nano =
      CaptureBuilder(std::endian::native).pcap_header(0xa1b23c4d).record(ipv4_packet(60), 1, 5000);
  EXPECT_EQ(filtered({native}, {.nanoseconds = true}, kAll), nano.text());
  EXPECT_EQ(filtered({nano}, {}, kAll), native.text());
  EXPECT_EQ(filtered({native, nano}, {}, kAll).size(), native.bytes.size() + 76);
}

// Times are kept as they stand, also those of the other byte order that no clock gives.
TEST(PcapSink, FractionsOfASecondAndMore) {
  constexpr std::endian kForeign = std::endian::native == std::endian::little ? std::endian::big : std::endian::little;
  for (const std::uint32_t magic : {0xa1b2c3d4u, 0xa1b23c4du}) {
    const auto capture = [&](std::endian order) {
      CaptureBuilder file(order);
      return file.pcap_header(magic)
          .record(ipv4_packet(60), 0xffffffff, 5000000)
          .record(ipv4_packet(60), 5, 0xffffffff);
    };
    const SinkOptions options{.nanoseconds = magic == 0xa1b23c4d};
    EXPECT_EQ(filtered({capture(kForeign)}, options, kAll), capture(std::endian::native).text());
  }
}

TEST(PcapSink, HeaderHoldsForAllPackets) {
  CaptureBuilder small(std::endian::native);
  small.pcap_header(0xa1b2c3d4, 96).record(ipv4_packet(60));
  CaptureBuilder large(std::endian::native);
  large.pcap_header(0xa1b2c3d4, 9000).record(ipv4_packet(5000));
  const std::string out = filtered({small, large}, {}, kAll);
  EXPECT_EQ(load<std::uint32_t>(reinterpret_cast<const std::uint8_t*>(out.data()) + 16, std::endian::native), 9000u);
}

// What is written as it goes: a pipe, or a file that others have written to and will write to.
TEST(PcapSink, NeverChangesAStream) {
  CaptureBuilder small(std::endian::native);
  small.pcap_header(0xa1b2c3d4, 96).record(ipv4_packet(60));
  CaptureBuilder large(std::endian::native);
  large.pcap_header(0xa1b2c3d4, 9000).record(ipv4_packet(5000));
  for (const std::optional<std::uint32_t> longest : {std::optional<std::uint32_t>(9000), {}}) {
    const tests::TemporaryFolder folder;
    const FileDescriptor given(
        ::open((folder / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (longest ? O_APPEND : 0), 0600));
    const std::string before = "what stands there, longer than a header";
    ASSERT_EQ(::write(given.get(), before.data(), before.size()), static_cast<ssize_t>(before.size()));
    auto sink = create("/dev/fd/" + std::to_string(given.get()), {.longest_snap_length = longest});
    ASSERT_TRUE(sink);
    std::vector<std::unique_ptr<Source>> sources;
    for (const CaptureBuilder* capture : {&small, &large}) {
      sources.push_back(*open_memory(capture->span(), "test"));
      RecordBatch batch;
      ASSERT_TRUE((*sink)->begin(*sources.back()));
      while (*sources.back()->read(batch) == Read::kMore)
        ASSERT_TRUE((*sink)->write(batch, std::vector<std::uint32_t>(batch.packets.size(), 1)));
    }
    ASSERT_TRUE((*sink)->commit());
    CaptureBuilder expected_capture(std::endian::native);
    expected_capture.pcap_header(0xa1b2c3d4, longest.value_or(kLongestPacket));
    expected_capture.record(ipv4_packet(60)).record(ipv4_packet(5000));
    EXPECT_EQ(tests::slurp(folder / "out"), before + expected_capture.text());
  }
}

// The length of the frame check sequence stands in the header, for all packets.
TEST(PcapSink, OneLengthOfTheCheckSequence) {
  CaptureBuilder with(std::endian::native);
  with.pcap_header(0xa1b2c3d4, 65535, 1 | 1u << 26 | 2u << 28).record(ipv4_packet(60));
  CaptureBuilder without(std::endian::native);
  without.pcap_header().record(ipv4_packet(60));
  EXPECT_EQ(filtered({with}, {}, kAll), with.text());
  for (const bool swapped : {false, true}) {
    auto first = open_memory((swapped ? without : with).span(), "first");
    auto second = open_memory((swapped ? with : without).span(), "second");
    const tests::TemporaryFolder folder;
    auto sink = create(folder / "out", {});
    RecordBatch batch;
    ASSERT_TRUE((*sink)->begin(**first));
    ASSERT_TRUE((*first)->read(batch));
    ASSERT_TRUE((*sink)->write(batch, kAll));
    ASSERT_TRUE((*sink)->begin(**second));
    ASSERT_TRUE((*second)->read(batch));
    const Status status = (*sink)->write(batch, kAll);
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("a frame check sequence of 4 bytes"), std::string::npos);
  }
}

TEST(PcapSink, OneLinkTypeAmongThoseWritten) {
  CaptureBuilder mixed;
  mixed.section().interface(1, 0).interface(101, 0).enhanced(0, 1, ipv4_packet(60)).enhanced(1, 2, ipv4_packet(20));
  EXPECT_EQ(filtered({mixed}, {}, kSecond).size(), 24u + 16 + 20);
  const tests::TemporaryFolder folder;
  auto sink = create(folder / "out", {});
  auto source = open_memory(mixed.span(), "mixed.pcapng");
  RecordBatch batch;
  ASSERT_TRUE((*source)->read(batch));
  while (batch.packets.empty()) ASSERT_TRUE((*source)->read(batch));
  ASSERT_TRUE((*sink)->begin(**source));
  const std::vector<std::uint32_t> verdicts(batch.packets.size(), 1);
  const Status status = (*sink)->write(batch, verdicts);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().hint, "write pcapng with --format pcapng");
}

TEST(PcapSink, FineTimesAndOffsets) {
  CaptureBuilder options;
  options.option(9, {0x80 | 20}).option(14, {100, 0, 0, 0, 0, 0, 0, 0}).number(0u);
  CaptureBuilder file;
  file.section().interface(1, 65535, options).enhanced(0, (7ull << 20) + (1 << 19), ipv4_packet(60));
  CaptureBuilder expected(std::endian::native);
  expected.pcap_header().record(ipv4_packet(60), 107, 500000);
  EXPECT_EQ(filtered({file}, {}, kAll), expected.text());
}

// Every block that is not a packet stays, in its place and byte order; packets keep their options.
TEST(PcapngSink, KeepsWhatIsNoPacket) {
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    CaptureBuilder options(order);
    options.option(2, {'e', 't', 'h', '0'}).option(9, {9}).option(15, {'a', 'b'}).number(0u);
    CaptureBuilder names(order);
    names.number(std::uint16_t{1}).number(std::uint16_t{7}).padded({10, 0, 0, 1, 'a', 'b', 0}).number(0u);
    CaptureBuilder comment(order);
    comment.option(1, {'h', 'i'}).number(0u);
    CaptureBuilder statistics(order);
    statistics.number(0u).number(0u).number(0u).option(4, {1, 0, 0, 0, 0, 0, 0, 0}).number(0u);
    CaptureBuilder custom(order);
    custom.number(32473u).number(7u);
    const auto make = [&](bool all) {
      CaptureBuilder file(order);
      file.section(all ? 1234 : ~std::uint64_t{0}).interface(1, 65535, options).block(4, names);
      if (all) file.enhanced(0, 1, ipv4_packet(60));
      file.block(0xbad, custom);
      if (all) file.block(0x40000bad, custom);  // asks not to be copied
      file.interface(1, 100).enhanced(1, 2, ipv4_packet(61), comment);
      if (all) file.enhanced(1, 2, ipv4_packet(62));
      return file.block(5, statistics);
    };
    EXPECT_EQ(filtered({make(true)}, {.format = Format::kPcapng}, kSecond), make(false).text());
  }
}

TEST(PcapngSink, SectionOfAPcapFile) {
  CaptureBuilder pcap(std::endian::native);
  pcap.pcap_header(0xa1b23c4d, 128, 1 | 1u << 26 | 2u << 28).record(ipv4_packet(61), 3, 4, 1500);
  const std::string out = filtered({pcap, pcap}, {.format = Format::kPcapng}, kAll);
  auto source = open_memory({reinterpret_cast<const std::uint8_t*>(out.data()), out.size()}, "out");
  RecordBatch batch;
  std::vector<Time> times;
  while ((*source)->read(batch) == Read::kMore)
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      EXPECT_EQ(batch.packets[i].length, 61u);
      EXPECT_EQ(batch.packets[i].wire_length, 1500u);
      times.push_back(time_of(batch.records[i], (*source)->interfaces()[batch.records[i].interface]));
    }
  EXPECT_EQ(times, (std::vector<Time>{{3, 4}, {3, 4}}));
  EXPECT_EQ((*source)->sections(), 2u);
  EXPECT_EQ((*source)->interfaces()[1].snap_length, 128u);
}

TEST(Sink, NothingToWrite) {
  EXPECT_EQ(filtered({}, {}, kAll).size(), 24u);
  EXPECT_EQ(filtered({}, {.format = Format::kPcapng}, kAll).size(), 28u);
  EXPECT_EQ(filtered({CaptureBuilder(std::endian::native).pcap_header()}, {}, kAll),
            CaptureBuilder(std::endian::native).pcap_header().text());
}

TEST(Sink, FullDiskAndBadPath) {
  auto full = create("/dev/full", {});
  ASSERT_TRUE(full);
  EXPECT_EQ((*full)->commit().error().system_error, ENOSPC);
  EXPECT_EQ(create("/nowhere/at/all", {}).error().system_error, ENOENT);
  EXPECT_EQ(create("/", {}).error().system_error, EISDIR);
}

}  // namespace
}  // namespace weir::capture
