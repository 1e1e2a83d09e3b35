// Reading captures as libpcap does: every real capture gives the same packets, lengths, times and, where it is damaged,
// an error at the same packet. Where weir differs on purpose, same_time() says how and why.
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#if WEIR_HAVE_LIBPCAP
#include <pcap/pcap.h>
#endif

#include <weir/capture/source.h>

#include "rounds.h"
#include "shared_data.h"

namespace weir::tests {
namespace {

struct SeenPacket {
  std::vector<std::uint8_t> bytes;
  std::uint32_t wire_length = 0;
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

struct Seen {
  bool opened = false;
  unsigned link_type = 0;
  std::uint32_t snap_length = 0;
  std::vector<SeenPacket> packets;
  std::string error;  // empty when the capture was read to its end
};

Seen read_with_weir(const Result<std::unique_ptr<capture::Source>>& source) {
  Seen seen;
  if (!source) {
    seen.error = source.error().message;
    return seen;
  }
  seen.opened = true;
  capture::RecordBatch batch;
  for (;;) {
    const Result<capture::Read> read = (*source)->read(batch);
    if (!read) seen.error = read.error().message;
    if (!read || *read == capture::Read::kEnd) break;
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      const packet::Packet& packet = batch.packets[i];
      const capture::Record& record = batch.records[i];
      const capture::Time time = capture::time_of(record, (*source)->interfaces()[record.interface]);
      seen.packets.push_back(
          {{packet.data, packet.data + packet.length}, packet.wire_length, time.seconds, time.nanoseconds});
    }
  }
  if (!(*source)->interfaces().empty()) {
    seen.link_type = static_cast<unsigned>((*source)->interfaces().front().link_type);
    seen.snap_length = (*source)->interfaces().front().snap_length;
  }
  return seen;
}

#if WEIR_HAVE_LIBPCAP

// Closes the file, which may be null.
Seen read_with_libpcap(std::FILE* file) {
  Seen seen;
  char message[PCAP_ERRBUF_SIZE] = "no file";
  pcap_t* handle = nullptr;
  if (file != nullptr) handle = ::pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, message);
  if (handle == nullptr) {
    if (file != nullptr) std::fclose(file);
    seen.error = message;
    return seen;
  }
  seen.opened = true;
  seen.snap_length = static_cast<std::uint32_t>(::pcap_snapshot(handle));
  seen.link_type = static_cast<unsigned>(::pcap_datalink(handle));
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  int result = 0;
  while ((result = ::pcap_next_ex(handle, &header, &data)) == 1)
    seen.packets.push_back({{data, data + header->caplen},
                            header->len,
                            header->ts.tv_sec,
                            static_cast<std::uint32_t>(header->ts.tv_usec)});
  if (result != PCAP_ERROR_BREAK) seen.error = ::pcap_geterr(handle);
  ::pcap_close(handle);
  return seen;
}

// The number that libpcap on this system has for a link type of a file.
unsigned dlt_of(unsigned link_type) {
  const packet::LinkTypeInfo* info = packet::find(static_cast<packet::LinkType>(link_type));
  return info != nullptr ? info->dlt : link_type;
}

// Times are compared as libpcap can say them. weir differs on purpose in two ways: libpcap takes the 32 bits of seconds
// for a signed number, so that times after 2038 lie before 1970; and a fraction of a second that is a second or more
// (damaged captures) is carried into the seconds, where libpcap hands it on, cut to 32 bits.
bool same_time(const SeenPacket& weir, const SeenPacket& libpcap) {
  constexpr std::int64_t kSecond = 1000000000;
  const auto seconds = static_cast<std::int32_t>(weir.seconds);
  if (seconds == static_cast<std::int32_t>(libpcap.seconds) && weir.nanoseconds == libpcap.nanoseconds) return true;
  const std::int64_t carried = weir.seconds - static_cast<std::uint32_t>(libpcap.seconds);
  const std::int64_t fraction = carried * kSecond + weir.nanoseconds;
  return carried > 0 && fraction >= kSecond && static_cast<std::uint32_t>(fraction) == libpcap.nanoseconds;
}

bool same_packet(const SeenPacket& weir, const SeenPacket& libpcap) {
  return weir.bytes == libpcap.bytes && weir.wire_length == libpcap.wire_length && same_time(weir, libpcap);
}

std::string describe(const SeenPacket& packet) {
  return std::to_string(packet.bytes.size()) + " of " + std::to_string(packet.wire_length) + " bytes at " +
         std::to_string(packet.seconds) + "." + std::to_string(packet.nanoseconds);
}

std::string compare(const Seen& weir, const Seen& libpcap) {
  if (weir.opened != libpcap.opened)
    return "opened by one alone: weir '" + weir.error + "' libpcap '" + libpcap.error + "'";
  if (weir.opened && !libpcap.packets.empty() && dlt_of(weir.link_type) != libpcap.link_type)
    return "link type " + std::to_string(weir.link_type) + " and " + std::to_string(libpcap.link_type);
  if (weir.opened && !libpcap.packets.empty() && weir.snap_length != libpcap.snap_length)
    return "snap length " + std::to_string(weir.snap_length) + " and " + std::to_string(libpcap.snap_length);
  for (std::size_t i = 0; i < weir.packets.size() && i < libpcap.packets.size(); ++i)
    if (!same_packet(weir.packets[i], libpcap.packets[i]))
      return "packet " + std::to_string(i) + ": " + describe(weir.packets[i]) + " and " + describe(libpcap.packets[i]);
  if (weir.packets.size() != libpcap.packets.size())
    return std::to_string(weir.packets.size()) + " and " + std::to_string(libpcap.packets.size()) + " packets, weir '" +
           weir.error + "' libpcap '" + libpcap.error + "'";
  if (weir.error.empty() != libpcap.error.empty())
    return "error of one alone: weir '" + weir.error + "' libpcap '" + libpcap.error + "'";
  return {};
}

TEST(CaptureAgainstLibpcap, EveryRealCapture) {
  const std::filesystem::path folder = shared_folder() / "data" / "captures";
  WEIR_REQUIRE_SHARED(folder);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    const std::string difference =
        compare(read_with_weir(capture::open(entry.path())), read_with_libpcap(std::fopen(entry.path().c_str(), "rb")));
    EXPECT_EQ(difference, "") << name;
    ++files;
  }
  EXPECT_GT(files, 100u);
}

// Captures with a byte or two changed, or cut: damage is seen at the same packet. Changes in the first 24 bytes of a
// pcap file are left out but for the lengths of records: weir takes link types and versions that libpcap 1.10 refuses.
TEST(CaptureAgainstLibpcap, DamagedCaptures) {
  const std::filesystem::path folder = shared_folder() / "data" / "captures";
  WEIR_REQUIRE_SHARED(folder);
  std::mt19937 random(7);
  std::size_t damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string whole = slurp(entry.path());
    if (whole.size() > 20000 || whole.size() < 60 || entry.path().extension() != ".pcap") continue;
    for (int round = 0; round < rounds(4); ++round) {
      std::string bytes = whole;
      if (random() % 3 == 0) bytes.resize(24 + random() % (bytes.size() - 24));
      for (unsigned i = random() % 3; i > 0 && bytes.size() > 24; --i) {
        // Mostly in the first record's header, where lengths are.
        const std::size_t at =
            24 + random() % (random() % 2 == 0 ? std::min<std::size_t>(16, bytes.size() - 24) : bytes.size() - 24);
        bytes[at] = static_cast<char>(random());
      }
      const ByteSpan span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
      const Seen weir = read_with_weir(capture::open_memory(span, "damaged"));
      const Seen libpcap = read_with_libpcap(::fmemopen(bytes.data(), bytes.size(), "rb"));
      EXPECT_EQ(compare(weir, libpcap), "") << entry.path().filename() << " round " << round;
      damaged += weir.error.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(damaged, 100u);
}

#endif

}  // namespace
}  // namespace weir::tests
