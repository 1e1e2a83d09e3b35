#include "filter/names.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "filter/special_names.h"
#include "shared_data.h"

namespace weir::filter {
namespace {

std::string mac_text(const Mac48& mac) {
  std::string out;
  for (const std::uint8_t byte : mac) out += fmt::format("{}{:02x}", out.empty() ? "" : ":", byte);
  return out;
}

TEST(Names, EtherTypesAndSaps) {
  EXPECT_EQ(ether_type_named("ip6"), 0x86ddu);
  EXPECT_EQ(ether_type_named("loopback"), 0x9000u);
  EXPECT_EQ(ether_type_named("iso"), std::nullopt);
  EXPECT_EQ(ether_type_named(""), std::nullopt);
  EXPECT_EQ(llc_sap_named("stp"), 0x42u);
  EXPECT_EQ(llc_sap_named("STP"), std::nullopt);
  EXPECT_EQ(iso_protocol_named("isis"), 0x83u);
}

TEST(Names, Ipv4) {
  const auto text = [](std::string_view address) {
    const auto parsed = parse_ipv4(address);
    return parsed ? fmt::format("{:#x}/{}", parsed->value, parsed->bits) : std::string("none");
  };
  EXPECT_EQ(text("10.0.0.1"), "0xa000001/32");
  EXPECT_EQ(text("10.1.2"), "0xa0102/24");
  EXPECT_EQ(text("10.1"), "0xa01/16");
  EXPECT_EQ(text("10"), "0xa/8");
  EXPECT_EQ(text("010.1.1.1"), "0xa010101/32");  // decimal in spite of the 0
  EXPECT_EQ(text("255.255.255.255"), "0xffffffff/32");
  for (const char* bad :
       {"", ".", "256.1.1.1", "1.2.3.4.5", "1..2", "1.", "0x10.1", "a.b", "1.2.3.99999999999999999999"})
    EXPECT_EQ(text(bad), "none") << bad;
}

TEST(Names, MacAddresses) {
  for (const char* bad :
       {"", "1:2:3:4:5", "1:2:3:4:5:6:", ":1:2:3:4:5:6", "1::2:3:4:5:6", "1:2-3:4:5:6", "001122.334455", "00112233445",
        "0011223344556", "01:23:45:67:89:ag", "0011.2233.445", "1234.56.7890.ab"})
    EXPECT_EQ(parse_mac48(bad), std::nullopt) << bad;
}

TEST(Names, Ipv6) {
  const auto parsed = parse_ipv6("fe80::10.0.0.1");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ((*parsed)[0], 0xfe);
  EXPECT_EQ((*parsed)[15], 1);
  EXPECT_EQ(parse_ipv6("fe80::1%eth0"), std::nullopt);
  EXPECT_EQ(parse_ipv6("1::2::3"), std::nullopt);
}

TEST(Names, Numbers) {
  EXPECT_EQ(parse_number("010"), 8u);
  EXPECT_EQ(parse_number("0xfF"), 255u);
  EXPECT_EQ(parse_number("4294967295"), 0xffffffffu);
  for (const char* bad : {"", "-1", "+1", "\t1", "1!", "4294967296", "1111111111111111111", "09", "0x", "0xg"})
    EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
}

TEST(Names, AfterKeywords) {
  EXPECT_EQ(find_name(wlan_types(), "MGT")->number, 0u);
  EXPECT_EQ(find_name(wlan_subtypes(0x08), "null")->number, 0x40u);
  EXPECT_EQ(find_name(wlan_subtypes(0x04), "null"), nullptr);
  EXPECT_EQ(find_name(pf_reasons(), "synproxy")->number, 14u);
  EXPECT_EQ(find_name(pf_actions(), ""), nullptr);
  EXPECT_TRUE(wlan_subtypes(0x0c).empty());
  EXPECT_EQ(hint_of(wlan_directions(), "toads"), "did you mean 'tods'?");
  EXPECT_EQ(hint_of(wlan_directions(), "x"), "one of nods, tods, fromds, dstods");
}

// What a case of libpcap's test suite should give, in its text form; nothing for functions that weir has no use for.
std::optional<std::string> translate(const std::string& function, const std::string& argument) {
  const auto hex = [](std::optional<std::uint32_t> value, std::string_view format) {
    return value ? fmt::format(fmt::runtime(format), *value) : std::string();
  };
  if (function == "pcap_nametoeproto") return hex(ether_type_named(argument), "{:#06x}");
  if (function == "pcap_nametollc") return hex(llc_sap_named(argument), "{:#04x}");
  if (function == "pcapint_atodn") {
    const auto address = parse_decnet(argument);
    return address ? fmt::format("{}.{}", *address >> 10, *address & 0x3ff) : std::string();
  }
  if (function == "pcapint_atoan") {
    const auto address = parse_mac8(argument);
    return address ? fmt::format("${:02x}", *address) : std::string();
  }
  if (function == "pcap_ether_aton") {
    const auto mac = parse_mac48(argument);
    return mac ? mac_text(*mac) : std::string();
  }
  return std::nullopt;
}

TEST(Names, CasesOfLibpcap) {
  const auto path = tests::shared_folder() / "data/pcap-filter/translate.tsv";
  WEIR_REQUIRE_SHARED(path);
  std::size_t compared = 0;
  for (const tests::Row& row : tests::read_table(path)) {
    const auto ours = translate(row.at("cfunc"), row.at("arg"));
    if (!ours) continue;
    ++compared;
    const bool refused = row.at("kind") == "reject" || row.at("expect") == "PROTO_UNDEF";
    EXPECT_EQ(*ours, refused ? "" : row.at("expect")) << row.at("name") << " " << row.at("arg");
  }
  EXPECT_GT(compared, 40u);
}

}  // namespace
}  // namespace weir::filter
