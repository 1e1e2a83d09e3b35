// The program `weir filter` beside `tcpdump -O -r`: byte-identical captures for every expression below over all packets
// that the real captures have of each link type, and over captures by themselves.
//
// The packets of one link type are first joined into one capture (an expression then costs two processes, not two for
// each capture). tcpdump compiles without its optimiser, whose verdicts are what weir promises.
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#if WEIR_HAVE_LIBPCAP
#include <pcap/pcap.h>
#endif

#include "command.h"
#include "rounds.h"
#include "shared_data.h"

namespace weir::tests {
namespace {

#if WEIR_HAVE_LIBPCAP

const std::vector<std::string> kForAll{
    "ip",
    "ip6",
    "tcp",
    "udp",
    "arp",
    "icmp or icmp6",
    "not ip",
    "greater 200",
    "less 64",
    "len > 100 and len < 300",
    "tcp port 443",
    "tcp port 179",
    "udp port 53",
    "port 53 or port 80",
    "src port 520 or dst port 520",
    "portrange 100-600",
    "udp dst portrange 0-1023",
    "host 10.0.0.1",
    "net 10.0.0.0/8",
    "src net 192.168.0.0/16",
    "dst host 224.0.0.5",
    "dst net 224.0.0.0/4 and not udp",
    "host fe80::1 or net fe80::/10",
    "ip proto 89",
    "ip6 proto 58",
    "proto 17 or proto 6",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] = 0x12 or tcp[((tcp[12] >> 4) << 2)] = 0x16",
    "ip[0] & 0xf != 5",
    "ip[6:2] & 0x1fff != 0",
    "udp[4:2] > 100",
    "ip[2:2] - ((ip[0] & 0xf) << 2) > 40",
    "icmp[icmptype] = icmp-echo",
    "ip and not (tcp or udp or icmp)",
    "vlan",
    "vlan and ip",
    "mpls",
    "ip multicast and dst net 224.0.0.0/4",  // before 1.11, libpcap took 240.0.0.0/4 for multicast too
    "host 10.0.0.1 or host 10.0.0.2 or host 192.168.1.1 or host 127.0.0.1 and not port 22",
};

// What only some link types know.
const std::map<int, std::vector<std::string>> kForSome{
    {DLT_EN10MB,
     {"ether broadcast", "ether multicast", "ether proto 0x88cc", "stp", "ether[0] & 1 = 1", "pppoes", "pppoed",
      "ether host 01:80:c2:00:00:00", "llc", "isis", "ether src 00:00:00:00:00:00"}},
    {DLT_IEEE802_11,
     {"type mgt", "type data", "subtype beacon", "type ctl", "wlan addr1 ff:ff:ff:ff:ff:ff", "dir tods"}},
    {DLT_IEEE802_11_RADIO, {"type mgt", "type data", "subtype beacon", "type ctl", "wlan addr2 00:00:00:00:00:00"}},
    {DLT_LINUX_SLL, {"inbound", "outbound", "ether proto 0x86dd"}},
};

bool is_checked(int link_type) {
  switch (link_type) {
    case DLT_EN10MB:
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6:
    case DLT_NULL:
    case DLT_LOOP:
    case DLT_LINUX_SLL:
    case DLT_LINUX_SLL2:
    case DLT_IEEE802_11:
    case DLT_IEEE802_11_RADIO:
    case DLT_PRISM_HEADER: return true;
    default: return false;
  }
}

// Joins the captures of each link type; gives the paths.
std::map<int, std::string> join_captures(const TemporaryFolder& folder) {
  std::map<int, std::string> paths;
  std::map<int, pcap_dumper_t*> dumpers;
  for (const auto& entry : std::filesystem::directory_iterator(shared_folder() / "data" / "captures")) {
    char message[PCAP_ERRBUF_SIZE];
    pcap_t* in = ::pcap_open_offline(entry.path().c_str(), message);
    if (in == nullptr) continue;
    const int type = ::pcap_datalink(in);
    if (is_checked(type)) {
      pcap_dumper_t*& dumper = dumpers[type];
      if (dumper == nullptr) {
        paths[type] = folder / (std::to_string(type) + ".pcap");
        pcap_t* const dead = ::pcap_open_dead(type, 262144);
        dumper = ::pcap_dump_open(dead, paths[type].c_str());
        ::pcap_close(dead);
      }
      pcap_pkthdr* header = nullptr;
      const u_char* data = nullptr;
      while (::pcap_next_ex(in, &header, &data) == 1) ::pcap_dump(reinterpret_cast<u_char*>(dumper), header, data);
    }
    ::pcap_close(in);
  }
  for (const auto& [type, dumper] : dumpers) ::pcap_dump_close(dumper);
  return paths;
}

// The difference between what the two programs write, or nothing.
std::string compare(const std::string& expression, const std::string& path, const std::string& tcpdump_options) {
  const CommandResult theirs =
      run_command("tcpdump -O " + tcpdump_options + " -r " + quoted(path) + " -w - " + quoted(expression));
  const CommandResult ours =
      run_command(quoted(WEIR_PROGRAM) + " filter -q " + quoted(expression) + " " + quoted(path));
  if (theirs.output == ours.output && (theirs.status == 0) == (ours.status <= 1)) return {};
  // A link type without Ethernet addresses, say: both refuse.
  if (theirs.status != 0 && ours.status >= 2 && ours.output.empty()) return {};
  const auto says = [&](const char* words) { return ours.errors.find(words) != std::string::npos; };
  // What no packet of the link type matches is refused by weir, and runs for nothing in tcpdump -O.
  if (ours.status == 3 && says("matches no packet") && theirs.output.size() == 24) return {};
  // A packet that is longer than the snap length is damage to weir, if one that can be read.
  if (ours.status == 3 && says("longer than the snap length") && theirs.output == ours.output) return {};
  // Link types without a name: weir knows the published ones alone.
  if (ours.status == 3 && says("unknown link type")) return {};
  return path + ": '" + expression + "': tcpdump wrote " + std::to_string(theirs.output.size()) + " bytes, weir " +
         std::to_string(ours.output.size()) + "\n" + theirs.errors + ours.errors;
}

TEST(FilterAgainstTcpdump, JoinedCapturesOfEachLinkType) {
  WEIR_REQUIRE_SHARED(shared_folder() / "data" / "captures");
  if (!have_program("tcpdump")) GTEST_SKIP() << "tcpdump is not installed";
  const TemporaryFolder folder;
  const std::map<int, std::string> paths = join_captures(folder);
  EXPECT_GE(paths.size(), 6u);
  for (const auto& [type, path] : paths) {
    std::vector<std::string> expressions = kForAll;
    if (const auto more = kForSome.find(type); more != kForSome.end())
      expressions.insert(expressions.end(), more->second.begin(), more->second.end());
    // Rare link types take turns, but for patient runs.
    const std::size_t step = type == DLT_EN10MB || rounds(1) > 1 ? 1 : 3;
    for (std::size_t i = step == 1 ? 0 : static_cast<std::size_t>(type) % step; i < expressions.size(); i += step)
      EXPECT_EQ(compare(expressions[i], path, ""), "");
  }
}

// Headers, byte orders, snap lengths and resolutions as captures have them.
TEST(FilterAgainstTcpdump, CapturesByThemselves) {
  const std::filesystem::path folder = shared_folder() / "data" / "captures";
  WEIR_REQUIRE_SHARED(folder);
  if (!have_program("tcpdump")) GTEST_SKIP() << "tcpdump is not installed";
  int others = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".pcap") continue;
    const std::string start = slurp(entry.path()).substr(0, 4);
    const bool nanoseconds = start == "\x4d\x3c\xb2\xa1" || start == "\xa1\xb2\x3c\x4d";
    // All captures are for patient runs (WEIR_ROUNDS); most have the same header.
    if (start == "\xd4\xc3\xb2\xa1" && ++others % 16 != 0 && rounds(1) == 1) continue;
    EXPECT_EQ(compare("len > 60", entry.path(), nanoseconds ? "--nano" : ""), "");
  }
}

#endif

}  // namespace
}  // namespace weir::tests
