// How long the programs of libpcap's own test suite are, beside what libpcap's optimiser made of them
// (accept_lengths.h). Prints the rows in which weir's program is longest in comparison, then the gain in all.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "accept_lengths.h"

namespace weir {
namespace {

TEST(OptimisedLength, NoLongerThanLibpcapInAnyRowAndShorterInAll) {
  const auto path = tests::shared_folder() / "data" / "pcap-filter" / "accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  const std::vector<tests::Length> lengths = tests::accept_lengths(path);
  for (const tests::Length& one : lengths) EXPECT_NE(one.ours, 0) << one.what << " does not compile";
  const tests::Totals totals = tests::totals_of(lengths);
  const bool all = std::getenv("WEIR_ALL_ROWS") != nullptr;
  const std::size_t shown = all ? lengths.size() : std::max<std::size_t>(12, totals.longer);
  std::printf("worst rows first (weir, libpcap -O):\n");
  for (std::size_t i = 0; i < std::min(lengths.size(), shown); ++i)
    std::printf("%5ld %5ld  %s\n", lengths[i].ours, lengths[i].theirs, lengths[i].what.c_str());
  std::printf("%zu rows, %zu longer; %ld instructions, libpcap %ld: %.1f %% fewer\n", lengths.size(), totals.longer,
              totals.ours, totals.theirs, totals.percent_fewer());
  EXPECT_EQ(totals.longer, 0u);
  EXPECT_GE(totals.percent_fewer(), 15.0);
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
