// Expressions that libpcap refuses are refused, with a place and a message.
#include <gtest/gtest.h>

#include <arpa/inet.h>

#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "shared_data.h"

namespace weir {
namespace {

TEST(Reject, WhatLibpcapRefuses) {
  const auto folder = tests::shared_folder() / "data" / "pcap-filter";
  WEIR_REQUIRE_SHARED(folder / "reject.tsv");
  std::size_t rows = 0;
  for (const tests::Row& row : tests::read_table(folder / "reject.tsv")) {
    if (!row.at("savefile").empty() || row.at("errstr") == "protochain not supported") continue;
    const auto link_type = packet::link_type_named(row.at("dlt"));
    ASSERT_TRUE(link_type.has_value()) << row.at("dlt");
    SCOPED_TRACE(row.at("dlt") + " '" + row.at("expr") + "': libpcap says: " + row.at("errstr"));
    tests::LibpcapTestNames resolver;
    filter::CompileOptions options;
    options.bind.link_type = *link_type;
    options.bind.resolver = &resolver;
    if (!row.at("netmask").empty()) options.bind.netmask = ntohl(inet_addr(row.at("netmask").c_str()));
    const auto compiled = filter::compile(row.at("expr"), options);
    ++rows;
    if (compiled) {
      ADD_FAILURE() << "is accepted";
      continue;
    }
    const Span* span = std::get_if<Span>(&compiled.error().place);
    ASSERT_NE(span, nullptr) << compiled.error().message;
    EXPECT_LE(span->begin, span->end);
    EXPECT_LE(span->end, row.at("expr").size());
    EXPECT_FALSE(compiled.error().message.empty());
    EXPECT_EQ(compiled.error().message.find('\n'), std::string::npos);
  }
  std::printf("%zu rows refused\n", rows);
  EXPECT_GT(rows, 5000u);
}

}  // namespace
}  // namespace weir
