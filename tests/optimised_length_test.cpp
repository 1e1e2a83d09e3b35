// How long the programs of libpcap's own test suite are, beside what libpcap's optimiser made of them.
//
// Prints the rows in which weir's program is longest in comparison, then the gain in all. Two kinds of rows are left
// out, since their programs do not mean the same: `protochain`, a loop there and unrolled here; and two tests whose
// load libpcap drops, and with it the rejection of empty packets (one instruction there, two here).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include <arpa/inet.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "shared_data.h"

namespace weir {
namespace {

using tests::Row;

struct Length {
  std::string what;
  long ours = 0;
  long theirs = 0;
};

filter::CompileOptions options_of(const Row& row, filter::Resolver& resolver) {
  filter::CompileOptions options;
  options.bind.link_type = packet::link_type_named(row.at("dlt")).value();
  options.bind.resolver = &resolver;
  if (!row.at("snaplen").empty()) options.snap_length = static_cast<std::uint32_t>(std::stoul(row.at("snaplen")));
  if (!row.at("netmask").empty()) options.bind.netmask = ntohl(inet_addr(row.at("netmask").c_str()));
  if (!row.at("linuxext").empty()) options.bind.platform = filter::Platform::kLinux;
  options.bind.capture_file = !row.at("offline_filter").empty();
  return options;
}

TEST(OptimisedLength, NoLongerThanLibpcapInAnyRowAndShorterInAll) {
  const auto path = tests::shared_folder() / "data" / "pcap-filter" / "accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  std::vector<Length> lengths;
  for (const Row& row : tests::read_table(path)) {
    if (row.at("optimise") != "1") continue;
    if (row.at("skip_reason").find("is not") == 0 || row.at("skip_reason") == "little-endian") continue;
    const std::string& expression = row.at("expr");
    if (expression.find("protochain") != std::string::npos || expression.find("& 0x00000000 == 0") != std::string::npos)
      continue;
    tests::LibpcapTestNames resolver;
    const auto compiled = filter::compile(row.at("expr"), options_of(row, resolver));
    ASSERT_TRUE(compiled) << row.at("expr") << ": " << compiled.error().message;
    lengths.push_back({row.at("dlt") + " '" + row.at("expr") + "'",
                       static_cast<long>(compiled->program.program().size()), std::stol(row.at("n_insns"))});
  }
  std::stable_sort(lengths.begin(), lengths.end(),
                   [](const Length& a, const Length& b) { return a.ours * b.theirs > b.ours * a.theirs; });
  long ours = 0, theirs = 0;
  std::size_t longer = 0;
  for (const Length& one : lengths) {
    ours += one.ours;
    theirs += one.theirs;
    if (one.ours > one.theirs) ++longer;
  }
  std::printf("worst rows first (weir, libpcap -O):\n");
  for (std::size_t i = 0; i < std::min<std::size_t>(lengths.size(), std::getenv("WEIR_ALL_ROWS") != nullptr
                                                                        ? lengths.size()
                                                                        : std::max<std::size_t>(12, longer));
       ++i)
    std::printf("%5ld %5ld  %s\n", lengths[i].ours, lengths[i].theirs, lengths[i].what.c_str());
  std::printf("%zu rows, %zu longer; %ld instructions, libpcap %ld: %.1f %% fewer\n", lengths.size(), longer, ours,
              theirs, 100.0 - 100.0 * static_cast<double>(ours) / static_cast<double>(theirs));
  EXPECT_EQ(longer, 0u);
  EXPECT_LT(ours * 100, theirs * 86);
}

// Lists stay lists of one set for each direction, whatever they are made of: about three instructions a term.
TEST(OptimisedLength, ListsBecomeSets) {
  for (const char* kind : {"host 10.%d.%d.7", "net 10.%d.%d.0/24", "port %d%d"}) {
    std::string text;
    for (int i = 0; i < 200; ++i) {
      char term[64];
      std::snprintf(term, sizeof term, kind, 1 + i % 50, (i * 37) % 200);
      text += (i == 0 ? "" : " or ") + std::string(term);
    }
    const auto compiled = filter::compile(text);
    ASSERT_TRUE(compiled) << compiled.error().message;
    EXPECT_LT(compiled->program.program().size(), 3u * 200 + 40) << kind;
  }
}

}  // namespace
}  // namespace weir
