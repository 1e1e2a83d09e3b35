// Expressions over the captures of libpcap's own test suite: the verdict for each packet.
#include <gtest/gtest.h>

#include <sstream>

#include <arpa/inet.h>

#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "reference/capture_reader.h"
#include "reference/reference_interpreter.h"
#include "shared_data.h"

namespace weir {
namespace {

std::vector<std::uint32_t> numbers(const std::string& list) {
  std::vector<std::uint32_t> out;
  std::istringstream in(list);
  for (std::string item; std::getline(in, item, ',');) out.push_back(static_cast<std::uint32_t>(std::stoul(item)));
  return out;
}

TEST(Apply, SameVerdictsAsLibpcapOnItsCaptures) {
  const auto folder = tests::shared_folder() / "data" / "pcap-filter";
  WEIR_REQUIRE_SHARED(folder / "apply.tsv");
  std::size_t rows = 0;
  std::size_t matches = 0;
  for (const tests::Row& row : tests::read_table(folder / "apply.tsv")) {
    SCOPED_TRACE(row.at("savefile") + " '" + row.at("expr") + "'");
    const auto capture = reference::read_capture(folder / "captures" / row.at("savefile"));
    ASSERT_TRUE(capture.has_value());
    tests::LibpcapTestNames resolver;
    filter::CompileOptions options;
    options.bind.link_type = capture->link_type;
    options.bind.resolver = &resolver;
    if (!row.at("netmask").empty()) options.bind.netmask = ntohl(inet_addr(row.at("netmask").c_str()));
    options.snap_length = capture->snap_length;
    const auto compiled = filter::compile(row.at("expr"), options);
    ASSERT_TRUE(compiled.has_value()) << compiled.error().message;
    std::vector<std::uint32_t> verdicts;
    for (const reference::CapturedPacket& packet : capture->packets)
      verdicts.push_back(reference::run(compiled->program.program(), packet.view()).verdict);
    EXPECT_EQ(verdicts, numbers(row.at("results")));
    ++rows;
    for (const std::uint32_t verdict : verdicts) matches += verdict != 0 ? 1 : 0;
  }
  EXPECT_GT(rows, 50u);
  EXPECT_GT(matches, 100u);
}

}  // namespace
}  // namespace weir
