// Programs of libpcap's own test suite: weir's program for the same expression gives the same verdict, packet by
// packet.
//
// Unoptimised programs define the meaning, truncated packets included. Optimised ones are compared where no load leaves
// the packet: libpcap's optimiser drops loads, and with them rejections.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include <arpa/inet.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "real_packets.h"
#include "reference/formula_evaluator.h"
#include "reference/steered_packets.h"
#include "reference/tracing_machine.h"
#include "shared_data.h"

namespace weir {
namespace {

using filter::Compiled;
using filter::CompileOptions;
using reference::Bytes;
using tests::Row;

CompileOptions options_of(const Row& row, filter::Resolver& resolver) {
  CompileOptions options;
  options.bind.link_type = packet::link_type_named(row.at("dlt")).value();
  options.bind.resolver = &resolver;
  if (!row.at("snaplen").empty()) options.snap_length = static_cast<std::uint32_t>(std::stoul(row.at("snaplen")));
  if (!row.at("netmask").empty()) options.bind.netmask = ntohl(inet_addr(row.at("netmask").c_str()));
  if (!row.at("linuxext").empty()) options.bind.platform = filter::Platform::kLinux;
  options.bind.allow_no_match = row.at("optimise") == "0";
  options.bind.capture_file = !row.at("offline_filter").empty();
  return options;
}

// Whether a loop of `protochain` went on behind an Authentication Header. libpcap continues at the length of that
// header instead of behind it (gen_protochain; its comment there says what was meant), so its verdict means nothing
// then.
bool walked_behind_ah(const reference::Trace& trace) {
  bool behind = false;
  for (const reference::Decision& decision : trace.decisions) {
    if (!decision.taken) continue;
    const bool walks = decision.operand == 0 || decision.operand == 43 || decision.operand == 44 ||
                       decision.operand == 51 || decision.operand == 60;
    if (behind && walks) return true;
    behind = behind || decision.operand == 51;
  }
  return false;
}

class Comparison {
 public:
  Comparison(const Row& row, std::span<const cbpf::Instruction> theirs, const Compiled& ours, const Compiled& plain)
      : row_(row),
        theirs_(theirs),
        ours_(ours.program.program().instructions().begin(), ours.program.program().instructions().end()),
        plain_(plain.program.program().instructions().begin(), plain.program.program().instructions().end()),
        optimised_(row.at("optimise") == "1"),
        loops_(row.at("expr").find("protochain") != std::string::npos) {}

  std::span<const cbpf::Instruction> ours() const { return ours_; }

  // Whether the verdicts are the same: libpcap's, of weir's code as it was lowered and, without any excuse, of weir's
  // code optimised. Says so once where they are not.
  bool same(const packet::Packet& packet) {
    const reference::Trace expected = reference::run(theirs_, packet);
    const reference::Trace plain = reference::run(plain_, packet);
    const reference::Trace optimised = reference::run(ours_, packet);
    count_ += 2;
    if (plain.verdict != optimised.verdict) return differ(packet, plain, optimised, "weir's plain program");
    if (expected.verdict == plain.verdict) return true;
    if (optimised_ && (expected.left_outside || plain.left_outside)) return true;
    if (loops_ && walked_behind_ah(expected)) return true;
    return differ(packet, expected, plain, "libpcap's program");
  }
  std::size_t count() const { return count_; }

 private:
  bool differ(const packet::Packet& packet, const reference::Trace& expected, const reference::Trace& actual,
              const char* whose) {
    std::string dump;
    for (std::uint32_t i = 0; i < std::min(packet.length, 80u); ++i) {
      char text[4];
      std::snprintf(text, sizeof text, "%02x ", packet.data[i]);
      dump += text;
    }
    ADD_FAILURE() << row_.at("dlt") << " '" << row_.at("expr") << "' optimise=" << row_.at("optimise")
                  << " ext=" << row_.at("linuxext") << " offline=" << row_.at("offline_filter") << ": " << whose
                  << " says " << expected.verdict << (expected.left_outside ? " (outside)" : "") << ", weir's "
                  << actual.verdict << (actual.left_outside ? " (outside)" : "") << " for " << packet.length
                  << " bytes: " << dump;
    return false;
  }

  const Row& row_;
  std::span<const cbpf::Instruction> theirs_;
  std::vector<cbpf::Instruction> ours_;
  std::vector<cbpf::Instruction> plain_;
  bool optimised_;
  bool loops_;
  std::size_t count_ = 0;
};

bool same_on_all(Comparison& comparison, const Bytes& bytes, bool truncate, const packet::Metadata* metadata) {
  const auto length = static_cast<std::uint32_t>(bytes.size());
  if (!comparison.same({bytes.data(), length, length, metadata})) return false;
  if (!truncate) return true;
  for (std::uint32_t cut = 0; cut < length && cut < 120; ++cut)
    if (!comparison.same({bytes.data(), cut, length, metadata})) return false;
  return true;
}

// What a test of a slice of the rows found.
struct Summary {
  std::size_t rows = 0, miscompiled = 0, packets = 0, edges = 0, edges_taken = 0, accepted = 0;
};

void compare_row(const Row& row, tests::RealPackets& real, Summary& summary) {
  const Result<cbpf::Program> listing = cbpf::read(row.at("program"));
  ASSERT_TRUE(listing.has_value()) << row.at("program");
  tests::LibpcapTestNames resolver;
  const auto compiled = filter::compile(row.at("expr"), options_of(row, resolver));
  if (!compiled) {
    ADD_FAILURE() << row.at("dlt") << " '" << row.at("expr") << "' is refused: " << compiled.error().message;
    return;
  }
  const bool loops = row.at("expr").find("protochain") != std::string::npos;
  if (!loops && !cbpf::check(*listing, {.target = cbpf::Target::kUser})) {
    // Behind a link-layer header of variable length `vxlan` makes libpcap store the length of the outer header in the
    // scratch word of the inner one, and read the outer one's, never stored (libpcap issue 1670).
    EXPECT_NE(row.at("expr").find("vxlan"), std::string::npos) << row.at("expr");
    ++summary.miscompiled;
    return;
  }
  CompileOptions as_lowered = options_of(row, resolver);
  as_lowered.optimise = false;
  const auto plain = filter::compile(row.at("expr"), as_lowered);
  ASSERT_TRUE(plain) << row.at("expr");
  Comparison comparison(row, listing->instructions(), *compiled, *plain);
  std::mt19937 random(static_cast<std::uint32_t>(summary.rows));
  const reference::SteeredPackets theirs = reference::steer(listing->instructions(), random);
  const reference::SteeredPackets ours = reference::steer(comparison.ours(), random, {.rounds = 3});
  const bool truncate = row.at("optimise") == "0";
  std::vector<packet::Metadata> beside(1);
  if (!row.at("linuxext").empty()) {
    beside.push_back({.type = 4, .interface_index = 10, .vlan_tci = 10, .vlan_present = 1});
    beside.push_back({.type = 1, .interface_index = 1, .vlan_tci = 0xe00a, .vlan_present = 1});
    beside.push_back({.vlan_tci = 11, .vlan_present = 1});
  }
  for (const packet::Metadata& metadata : beside) {
    for (const auto* steered : {&theirs, &ours})
      for (std::size_t i = 0; i < steered->packets.size(); ++i)
        if (!same_on_all(comparison, steered->packets[i], truncate && i % 8 == 7, &metadata)) return;
    std::size_t i = 0;
    for (const Bytes& bytes : real.of(packet::link_type_named(row.at("dlt")).value()))
      if (!same_on_all(comparison, bytes, truncate && ++i % 64 == summary.rows % 64, &metadata)) return;
  }
  ++summary.rows;
  summary.packets += comparison.count();
  summary.edges += reference::edge_count(listing->instructions());
  summary.edges_taken += theirs.edges.size();
  summary.accepted += theirs.accepted ? 1 : 0;
}

class Accept : public testing::TestWithParam<const char*> {};

TEST_P(Accept, SameVerdictsAsLibpcap) {
  const auto data = tests::shared_folder() / "data";
  WEIR_REQUIRE_SHARED(data);
  tests::RealPackets real(data);
  Summary summary;
  const std::string group = GetParam();
  for (const Row& row : tests::read_table(data / "pcap-filter" / "accept.tsv")) {
    const std::string& dlt = row.at("dlt");
    const bool named = dlt == "EN10MB" || dlt == "IEEE802_11" || dlt == "RAW";
    if (group == "other" ? named : dlt != group) continue;
    // Live programs of other systems, where address families have other numbers.
    if (row.at("skip_reason").find("is not") == 0 || row.at("skip_reason") == "little-endian") continue;
    compare_row(row, real, summary);
  }
  RecordProperty("rows", static_cast<int>(summary.rows));
  RecordProperty("packets", static_cast<int>(summary.packets));
  std::printf(
      "%zu rows (%zu more that libpcap compiles wrongly), %zu comparisons, %zu of %zu branch edges taken, %zu rows "
      "matched by some packet\n",
      summary.rows, summary.miscompiled, summary.packets, summary.edges_taken, summary.edges, summary.accepted);
  EXPECT_GT(summary.rows, 0u);
  EXPECT_GT(summary.edges_taken, summary.edges * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(LinkTypes, Accept, testing::Values("EN10MB", "IEEE802_11", "RAW", "other"));

}  // namespace
}  // namespace weir
