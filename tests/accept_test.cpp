// Every expression that libpcap's own tests accept: our program and the listed one give the same verdicts.
//
// Rows of unoptimised programs are compared on whole and truncated packets; optimised programs may load less, so they
// are compared on packets that are long enough for every load.
#include <arpa/inet.h>

#include <map>

#include <weir/cbpf/text.h>
#include <weir/base/render.h>
#include <weir/filter/compile.h>

#include "reference/reference_interpreter.h"
#include "shared_data.h"
#include "steered_packets.h"

namespace weir {
namespace {

enum Column { kBlock, kAlias, kDlt, kSnapLength, kNetmask, kLinux, kOffline, kOptimise, kExpression, kCount, kSkip, kProgram };

// The names that libpcap's tests configure on their machine, as far as the listed programs show what they stand for.
filter::StaticResolver& resolver() {
  static filter::StaticResolver names = [] {
    filter::StaticResolver out;
    out.protocols = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17}, {"ipv6-icmp", 58}, {"esp", 50}, {"ah", 51},
                     {"pim", 103}, {"vrrp", 112}, {"sctp", 132}, {"igp", 9}, {"ip", 0}, {"gre", 47}, {"ospf", 89}};
    out.services = {{"http", {80, std::nullopt}}, {"https", {443, 443}}, {"domain", {53, 53}}, {"ssh", {22, std::nullopt}},
                    {"telnet", {23, std::nullopt}}, {"tftp", {std::nullopt, 69}}, {"ntp", {std::nullopt, 123}},
                    {"ftp", {21, std::nullopt}}, {"smtp", {25, std::nullopt}}, {"bootps", {std::nullopt, 67}}, {"bootpc", {std::nullopt, 68}},
                    {"syslog", {std::nullopt, 514}}, {"snmp", {161, 161}}};
    return out;
  }();
  return names;
}

Result<filter::Compiled> compile_row(const std::vector<std::string>& row) {
  filter::CompileOptions options;
  const auto link_type = packet::link_type_named(row[kDlt]);
  if (!link_type) return fail("unknown link type " + row[kDlt]);
  options.bind.link_type = *link_type;
  if (!row[kSnapLength].empty()) options.snap_length = static_cast<std::uint32_t>(std::stoul(row[kSnapLength]));
  if (!row[kNetmask].empty()) {
    in_addr mask{};
    inet_pton(AF_INET, row[kNetmask].c_str(), &mask);
    options.bind.netmask = ntohl(mask.s_addr);
  }
  if (row[kLinux] == "1") options.bind.platform = filter::Platform::kLinux;
  options.bind.capture_file = !row[kOffline].empty();
  options.bind.resolver = &resolver();
  return filter::compile(row[kExpression], options);
}

packet::Metadata random_metadata(tests::PacketSteerer& random) {
  packet::Metadata metadata;
  metadata.type = random.below(5);
  metadata.interface_index = random.below(4);
  metadata.vlan_present = random.below(2);
  metadata.vlan_tci = random.below(2) == 0 ? random.below(0x1000) : 10;
  return metadata;
}

std::string describe(const std::vector<std::uint8_t>& bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

TEST(Accept, OurProgramsGiveTheVerdictsOfTheListedOnes) {
  const auto path = tests::shared_folder() / "data/pcap-filter/accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  int compared = 0;
  int names = 0;
  int different = 0;
  std::map<std::string, int> refused;
  for (const std::vector<std::string>& row : tests::read_rows(path)) {
    const Result<cbpf::Program> listed = cbpf::read(row[kProgram]);
    ASSERT_TRUE(listed) << row[kBlock] << ": " << one_line(listed.error(), row[kProgram]);
    EXPECT_EQ(listed->size(), std::stoul(row[kCount]));
    const bool protochain = row[kExpression].find("protochain") != std::string::npos;
    const bool named = row[kExpression].find(".libpcap.test") != std::string::npos || row[kSkip].find("file") != std::string::npos;
    const bool elsewhere = row[kSkip].find("is not") != std::string::npos || row[kSkip].find("little-endian") != std::string::npos;
    if (elsewhere) continue;
    const Result<filter::Compiled> ours = compile_row(row);
    if (!ours) {
      if (named || protochain) ++names;
      else if (refused[row[kDlt]]++ < 3)
        ADD_FAILURE() << row[kDlt] << " '" << row[kExpression] << "' refused: " << one_line(ours.error(), row[kExpression]);
      continue;
    }
    if (protochain || !cbpf::check(*listed, {.target = cbpf::Target::kUser})) continue;
    ++compared;
    tests::PacketSteerer steer(*listed, static_cast<std::uint32_t>(compared));
    tests::PacketSteerer steer_ours(ours->program.program(), static_cast<std::uint32_t>(compared));
    for (int i = 0; i < 150; ++i) {
      std::vector<std::uint8_t> bytes = i % 2 == 0 ? steer.next() : steer_ours.next();
      if (row[kOptimise] == "1") bytes.resize(600);
      packet::Packet packet = packet::make_packet(bytes);
      packet.wire_length += steer.below(3) == 0 ? steer.below(1500) : 0;
      const packet::Metadata metadata = random_metadata(steer);
      packet.metadata = &metadata;
      const std::uint32_t theirs_verdict = reference::run(*listed, packet).verdict;
      const std::uint32_t our_verdict = reference::run(ours->program.program(), packet).verdict;
      if (theirs_verdict == our_verdict) continue;
      if (++different <= 15)
        ADD_FAILURE() << row[kBlock] << " " << row[kDlt] << " '" << row[kExpression] << "' optimised " << row[kOptimise]
                      << ": listed " << theirs_verdict << ", ours " << our_verdict << " on " << describe(bytes) << "\n"
                      << row[kProgram] << "\n" << cbpf::write(ours->program.program(), cbpf::Format::kText);
      break;
    }
  }
  for (const auto& [dlt, count] : refused) ADD_FAILURE() << dlt << ": " << count << " rows refused";
  EXPECT_EQ(different, 0);
  EXPECT_GT(compared, 1500);
  std::printf("compared %d programs; %d rows need names or loops that are not here\n", compared, names);
}

}  // namespace
}  // namespace weir
