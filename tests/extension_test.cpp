// What the language has beyond libpcap's: sets, files, ranges, IPv6 extension headers, tags looked through, ports of
// tunnels, programs in place of expressions; and warnings of tests that contradict each other.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "reference/random_expression.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"

namespace weir {
namespace {

using filter::CompileOptions;
using reference::Bytes;

// Headers one after the other.
Bytes join(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}
Bytes ethernet(std::uint16_t type) {
  return {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)};
}
Bytes tag(std::uint16_t id, std::uint16_t type) {
  return {static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id), static_cast<std::uint8_t>(type >> 8),
          static_cast<std::uint8_t>(type)};
}
Bytes ip6(std::uint8_t next) {
  Bytes out(40, 0);
  out[0] = 0x60;
  out[6] = next;
  return out;
}
Bytes ip4(std::uint8_t protocol, std::uint8_t last_of_source = 1) {
  return {0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, last_of_source, 10, 0, 0, 2};
}
Bytes ports(std::uint16_t source, std::uint16_t destination) {
  Bytes out(20, 0);
  out[0] = static_cast<std::uint8_t>(source >> 8);
  out[1] = static_cast<std::uint8_t>(source);
  out[2] = static_cast<std::uint8_t>(destination >> 8);
  out[3] = static_cast<std::uint8_t>(destination);
  out[13] = 0x12;
  return out;
}

std::uint32_t verdict(const std::string& expression, const Bytes& bytes, const CompileOptions& options = {},
                      const packet::Metadata* metadata = nullptr) {
  const auto compiled = filter::compile(expression, options);
  EXPECT_TRUE(compiled.has_value()) << expression << ": " << (compiled ? "" : compiled.error().message);
  if (!compiled) return 0;
  const auto length = static_cast<std::uint32_t>(bytes.size());
  return reference::run(compiled->program.program(), {bytes.data(), length, length, metadata}).verdict;
}
bool matches(const std::string& expression, const Bytes& bytes, const CompileOptions& options = {}) {
  return verdict(expression, bytes, options) != 0;
}

// The same program text for both.
void expect_same(const std::string& ours, const std::string& plain, const CompileOptions& options = {}) {
  const auto left = filter::compile(ours, options);
  const auto right = filter::compile(plain, options);
  ASSERT_TRUE(left.has_value()) << ours << ": " << left.error().message;
  ASSERT_TRUE(right.has_value()) << plain << ": " << right.error().message;
  EXPECT_EQ(cbpf::write(left->program.program(), cbpf::Format::kText),
            cbpf::write(right->program.program(), cbpf::Format::kText))
      << ours;
}

TEST(Extension, SetsAreAnOrOfTheirMembers) {
  expect_same("src host {10.0.0.1, 10.0.1.0/24}", "src host 10.0.0.1 or src net 10.0.1.0/24");
  expect_same("port {80, 443, 8000-8100}", "port 80 or port 443 or portrange 8000-8100");
  expect_same("tcp dst port {80}", "tcp dst port 80");
  expect_same("not port {80,443} and udp", "not (port 80 or port 443) and udp");
  expect_same("ip6 and dst net {fe80::/10, ff00::/8}", "ip6 and (dst net fe80::/10 or dst net ff00::/8)");
  expect_same("ether host {00:11:22:33:44:55, 0:1:2:3:4:5}", "ether host 00:11:22:33:44:55 or ether host 0:1:2:3:4:5");
  expect_same("host 10.0.0.1 or {10.0.0.2, 10.0.0.3}", "host 10.0.0.1 or (host 10.0.0.2 or 10.0.0.3)");
  expect_same("ip proto {6, 17}", "ip proto 6 or 17");
}

TEST(Extension, StrictRefusesThem) {
  for (const char* text :
       {"port {80, 443}", "host @file", "vlan 100-200", "vlan {1,2}", "{ 0x6, 0, 0, 0 },", "ret #0"}) {
    const auto compiled = filter::compile(text, {.parse = {.strict = true}});
    EXPECT_FALSE(compiled.has_value()) << text;
  }
}

TEST(Extension, MistakesInSetsHavePlaces) {
  for (const char* text : {"port {", "port {80", "port {80,", "port {80,}", "port {}", "port 80}", "{80}", "port {tcp}",
                           "port {80 443}", "host {10.0.0.1, {10.0.0.2}}", "vlan {1", "vlan {", "vlan 9-5",
                           "vlan {1 2}", "vlan 1-5000", "host @", "host @/no/such/file", "tcp @x", "port {10.0.0.1}"}) {
    const auto compiled = filter::compile(text);
    ASSERT_FALSE(compiled.has_value()) << text;
    const Span* span = std::get_if<Span>(&compiled.error().place);
    ASSERT_NE(span, nullptr) << text;
    EXPECT_LE(span->end, std::string(text).size());
  }
}

TEST(Extension, IdentifiersFromAFile) {
  CompileOptions options;
  options.bind.read_file = [](const std::string& path) -> Result<std::string> {
    if (path == "hosts") return "10.0.0.1 # one\n\n10.0.1.0/24,10.0.0.3\r\n# none\n";
    if (path == "ports") return "22\n8000-8100";
    if (path == "bad") return "10.0.0.1\n10.0.0.300\n";
    return "# nothing\n";
  };
  expect_same("src host @hosts", "src host 10.0.0.1 or src net 10.0.1.0/24 or src host 10.0.0.3", options);
  expect_same("port {@ports, 443}", "(port 22 or portrange 8000-8100) or port 443", options);
  const auto bad = filter::compile("host @bad", options);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().message.find("bad:2: "), 0u) << bad.error().message;
  EXPECT_FALSE(filter::compile("host @empty", options).has_value());
}

TEST(Extension, RangesOfTags) {
  const auto tagged = [](std::uint16_t id) { return join({ethernet(0x8100), tag(id, 0x0800), ip4(6)}); };
  for (const int id : {99, 100, 150, 200, 201})
    EXPECT_EQ(matches("vlan 100-200 and ip", tagged(static_cast<std::uint16_t>(id))), id >= 100 && id <= 200) << id;
  EXPECT_TRUE(matches("vlan {5, 7-9}", tagged(8)));
  EXPECT_TRUE(matches("vlan {5, 7-9}", tagged(0xe005)));  // priority bits do not count
  EXPECT_FALSE(matches("vlan {5, 7-9}", tagged(6)));
  const packet::Metadata beside{.vlan_tci = 0x2096, .vlan_present = 1};
  CompileOptions linux_options;
  linux_options.bind.platform = filter::Platform::kLinux;
  EXPECT_NE(verdict("vlan 100-200 and ip", join({ethernet(0x0800), ip4(6)}), linux_options, &beside), 0u);
  EXPECT_EQ(verdict("vlan 151-200 and ip", join({ethernet(0x0800), ip4(6)}), linux_options, &beside), 0u);
}

TEST(Extension, TagsLookedThrough) {
  CompileOptions look;
  look.bind.vlan = filter::VlanMode::kAuto;
  const Bytes plain = join({ethernet(0x0800), ip4(6), ports(1000, 80)});
  const Bytes once = join({ethernet(0x8100), tag(5, 0x0800), ip4(6), ports(1000, 80)});
  const Bytes twice = join({ethernet(0x88a8), tag(100, 0x8100), tag(5, 0x0800), ip4(6), ports(1000, 80)});
  for (const Bytes* packet : {&plain, &once, &twice}) {
    EXPECT_TRUE(matches("tcp dst port 80", *packet, look));
    EXPECT_TRUE(matches("host 10.0.0.1 and tcp[13] = 0x12", *packet, look));
    EXPECT_FALSE(matches("udp or port 81", *packet, look));
    EXPECT_EQ(matches("vlan", *packet, look), packet != &plain);
    EXPECT_EQ(matches("vlan 5 or port 81", *packet, look), packet != &plain);
    EXPECT_EQ(matches("not vlan and port 80", *packet, look), packet == &plain);
    EXPECT_EQ(matches("vlan 100 and vlan 5 and port 80", *packet, look), packet == &twice);
    EXPECT_EQ(matches("vlan 6", *packet, look), false);
  }
  EXPECT_FALSE(matches("tcp", once));  // without it
  look.bind.platform = filter::Platform::kLinux;
  const packet::Metadata beside{.vlan_tci = 5, .vlan_present = 1};
  EXPECT_NE(verdict("vlan 5 and port 80", plain, look, &beside), 0u);
  EXPECT_EQ(verdict("vlan 6 and port 80", plain, look, &beside), 0u);
}

TEST(Extension, ExtensionHeadersOfIp6) {
  CompileOptions walk;
  walk.bind.ip6 = filter::Ip6Headers::kWalk;
  const Bytes hop{60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // then destination options
  const Bytes destination{51, 0, 0, 0, 0, 0, 0, 0};                  // then AH
  const Bytes authentication{44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};   // then a fragment
  const Bytes first_fragment{6, 0, 0, 1, 0, 0, 0, 0};
  const Bytes later_fragment{6, 0, 0, 9, 0, 0, 0, 0};
  const Bytes direct = join({ethernet(0x86dd), ip6(6), ports(1000, 80)});
  const Bytes behind =
      join({ethernet(0x86dd), ip6(0), hop, destination, authentication, first_fragment, ports(1000, 80)});
  const Bytes later =
      join({ethernet(0x86dd), ip6(0), hop, destination, authentication, later_fragment, ports(1000, 80)});
  for (const Bytes* packet : {&direct, &behind}) {
    EXPECT_TRUE(matches("port 80", *packet, walk));
    EXPECT_TRUE(matches("tcp src port 1000 and tcp[13] & 2 != 0 and tcp[tcpflags] = 0x12", *packet, walk));
    EXPECT_TRUE(matches("tcp[2:2] = tcp[2:2]", *packet, walk));
    EXPECT_FALSE(matches("udp port 80 or port 81 or tcp[13] = 0", *packet, walk));
  }
  EXPECT_FALSE(matches("port 80", later, walk));
  EXPECT_FALSE(matches("port 80", behind));
  EXPECT_FALSE(matches("tcp[13] = 0x12", direct));
  EXPECT_TRUE(matches("tcp[13] = 0x12", join({ethernet(0x0800), ip4(6), ports(1, 2)}), walk));
  // A chain that never ends is left after a bounded number of headers.
  Bytes endless = join({ethernet(0x86dd), ip6(0)});
  endless.resize(400, 0);
  EXPECT_FALSE(matches("port 80", endless, walk));
  walk.bind.vlan = filter::VlanMode::kAuto;
  EXPECT_TRUE(matches(
      "tcp dst port 80 and tcp[13] = 0x12",
      join({ethernet(0x8100), tag(1, 0x86dd), ip6(0), hop, Bytes{6, 0, 0, 0, 0, 0, 0, 0}, ports(1, 80)}), walk));
}

TEST(Extension, PortsOfTunnels) {
  const auto tunnel = [](std::uint16_t port, std::uint8_t flags) {
    Bytes header(16, 0);  // UDP, then VXLAN or Geneve
    header[2] = static_cast<std::uint8_t>(port >> 8);
    header[3] = static_cast<std::uint8_t>(port);
    header[8] = flags;
    header[10] = 0x65;
    header[11] = 0x58;
    return join({ethernet(0x0800), ip4(17), header, ethernet(0x0806), Bytes(28, 0)});
  };
  CompileOptions other;
  other.bind.vxlan_port = 8472;
  other.bind.geneve_port = 1234;
  EXPECT_TRUE(matches("vxlan and arp", tunnel(4789, 8)));
  EXPECT_FALSE(matches("vxlan and arp", tunnel(8472, 8)));
  EXPECT_TRUE(matches("vxlan and arp", tunnel(8472, 8), other));
  EXPECT_TRUE(matches("geneve and arp", tunnel(6081, 0)));
  EXPECT_TRUE(matches("geneve and arp", tunnel(1234, 0), other));
  EXPECT_FALSE(matches("geneve and arp", tunnel(6081, 0), other));
}

TEST(Extension, ProgramsInPlaceOfExpressions) {
  const auto compiled = filter::compile("tcp dst port 80");
  ASSERT_TRUE(compiled.has_value());
  for (const auto format : {cbpf::Format::kText, cbpf::Format::kC, cbpf::Format::kDecimal, cbpf::Format::kAssembly,
                            cbpf::Format::kBytecode}) {
    const std::string text = cbpf::write(compiled->program.program(), format);
    const auto again = filter::compile(text);
    ASSERT_TRUE(again.has_value()) << text << again.error().message;
    EXPECT_EQ(cbpf::write(again->program.program(), cbpf::Format::kText),
              cbpf::write(compiled->program.program(), cbpf::Format::kText));
    EXPECT_TRUE(filter::compile_to_graph(text).has_value());
  }
  EXPECT_FALSE(filter::compile("2,40 0 0 12,6 0 0 x,").has_value());
  EXPECT_FALSE(filter::compile("1\n21 0 5 0\n").has_value());  // jumps behind its end
}

std::string first_warning(const std::string& expression, packet::LinkType type = packet::LinkType::kEthernet) {
  CompileOptions options;
  options.bind.warn = true;
  options.bind.link_type = type;
  const auto compiled = filter::compile(expression, options);
  if (!compiled) return "refused";
  return compiled->warnings.empty() ? "" : compiled->warnings.front().message;
}

// Their bytes are loaded in the other order, as by libpcap.
TEST(Warning, OrderOfPointCodes) {
  for (const packet::LinkType type : {packet::LinkType::kMtp2, packet::LinkType::kMtp2WithPhdr, packet::LinkType::kErf})
    for (const char* text : {"opc > 5", "dpc >= 256", "hopc < 300", "hdpc <= 1"})
      EXPECT_EQ(first_warning(text, type),
                "'" + std::string(text) + "' compares the numbers with their bytes swapped, as in libpcap");
  for (const char* text : {"opc = 5", "dpc != 256", "hopc 300", "hdpc > 0", "sls > 5", "sio < 5"})
    EXPECT_EQ(first_warning(text, packet::LinkType::kMtp2), "") << text;
}

TEST(Contradiction, IsReportedWithBothTests) {
  EXPECT_EQ(first_warning("tcp and udp"), "no packet matches both 'tcp' and 'udp'");
  EXPECT_EQ(first_warning("ip and port 80 and ip6"), "no packet matches both 'ip' and 'ip6'");
  EXPECT_EQ(first_warning("arp and tcp port 80"), "no packet matches both 'arp' and 'tcp port 80'");
  EXPECT_EQ(first_warning("src host 10.0.0.1 and src net 10.1"),
            "no packet matches both 'src host 10.0.0.1' and 'src net 10.1'");
  EXPECT_EQ(first_warning("len > 100 and less 50"), "no packet matches both 'len > 100' and 'less 50'");
  EXPECT_EQ(first_warning("tcp dst port 80 and tcp dst port 443"),
            "no packet matches both 'tcp dst port 80' and 'tcp dst port 443'");
  EXPECT_EQ(first_warning("ip and not ip"), "no packet matches both 'ip' and 'not ip'");
  EXPECT_EQ(first_warning("ip or not ip"), "every packet matches 'ip' or 'not ip'");
  EXPECT_EQ(first_warning("len >= 10 or len < 20"), "every packet matches 'len >= 10' or 'len < 20'");
  EXPECT_EQ(first_warning("port 53 or (tcp and udp)"), "no packet matches both 'tcp' and 'udp'");
}

TEST(Contradiction, IsNotReportedWhereThereIsNone) {
  for (const char* text : {"port 80 and port 443", "host 10.0.0.1 and host 10.0.0.2", "tcp and port 80", "ip or ip6",
                           "src net 10.0.0.0/8 and src net 10.1.0.0/16", "len > 50 and len < 100",
                           "not tcp and not udp", "ip and not host 10.0.0.1", "ether[0] & 1 = 0 and ether[0] & 2 != 0",
                           "ip proto 6 or ip proto 17", "vlan 1 and vlan 2", "protochain 6 and protochain 17",
                           "tcp portrange 1-100 and tcp port 50", "ip[6:2] & 0x1fff = 0 and ip[6:2] & 0x2000 != 0"})
    EXPECT_EQ(first_warning(text).find("packet matches"), std::string::npos) << text << ": " << first_warning(text);
}

// What is reported is so on every packet that random expressions are steered with.
TEST(Contradiction, IsNeverWrong) {
  std::mt19937 random(99);
  tests::LibpcapTestNames resolver;
  int reported = 0;
  const int rounds = tests::rounds(6000);
  for (int i = 0; i < rounds; ++i) {
    const std::string left = reference::random_expression(random, {.primitives = 1});
    const std::string right = reference::random_expression(random, {.primitives = 1});
    CompileOptions options;
    options.bind.warn = true;
    options.bind.netmask = 0xffffff00;
    options.bind.allow_no_match = true;
    options.bind.resolver = &resolver;
    const auto compiled = filter::compile("(" + left + ") and (" + right + ")", options);
    if (!compiled) continue;
    const std::string message = fmt::format("no packet matches both '({})' and '({})'", left, right);
    const bool never = std::any_of(compiled->warnings.begin(), compiled->warnings.end(),
                                   [&](const Diagnostic& warning) { return warning.message == message; });
    if (!never) continue;
    ++reported;
    const reference::SteeredPackets steered =
        reference::steer(compiled->program.program().instructions(), random, {.length = 128, .rounds = 4, .turns = 12});
    EXPECT_FALSE(steered.accepted) << left << " AND " << right;
  }
  EXPECT_GT(reported, rounds / 100);
}

}  // namespace
}  // namespace weir
