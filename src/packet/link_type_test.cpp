#include <weir/packet/link_type.h>

#include <algorithm>

#include <gtest/gtest.h>

namespace weir::packet {
namespace {

TEST(LinkType, TableIsSortedByNumber) {
  EXPECT_TRUE(std::is_sorted(link_types().begin(), link_types().end(),
                             [](const auto& a, const auto& b) { return a.type < b.type; }));
}

TEST(LinkType, EveryRowIsFoundByNumberAndName) {
  for (const LinkTypeInfo& row : link_types()) {
    EXPECT_EQ(find(row.type), &row);
    EXPECT_EQ(link_type_named(row.name), row.type);
  }
}

TEST(LinkType, NamesMayCarryAPrefixAndAnyCase) {
  EXPECT_EQ(link_type_named("DLT_EN10MB"), LinkType::kEthernet);
  EXPECT_EQ(link_type_named("linktype_ethernet"), LinkType::kEthernet);
  EXPECT_EQ(link_type_named("en10mb"), LinkType::kEthernet);
  EXPECT_EQ(link_type_named("DLT_RAW"), LinkType::kRaw);
  EXPECT_EQ(link_type_named("LINKTYPE_IEEE802_11_RADIOTAP"), LinkType::kIeee80211Radio);
  EXPECT_EQ(link_type_named("ipmb_linux"), LinkType::kI2cLinux);
  EXPECT_EQ(link_type_named("nonsense"), std::nullopt);
  EXPECT_EQ(find(static_cast<LinkType>(65000)), nullptr);
}

}  // namespace
}  // namespace weir::packet
