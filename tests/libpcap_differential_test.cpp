// Random expressions, compiled by weir and by the libpcap of this machine without its optimiser: the same verdict for
// every packet, truncated or not.
//
// The libpcap here is older than the one whose meaning weir has; what changed between them is listed in known_change.
#include <gtest/gtest.h>

#if defined(WEIR_HAVE_LIBPCAP)

#include <algorithm>

#include <pcap/pcap.h>

#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "real_packets.h"
#include "reference/random_expression.h"
#include "reference/steered_packets.h"
#include "reference/tracing_machine.h"
#include "rounds.h"
#include "shared_data.h"

namespace weir {
namespace {

using Code = std::vector<cbpf::Instruction>;

constexpr std::uint32_t kNetmask = 0xffffff00;
constexpr std::uint32_t kLength = 200;

struct Theirs {
  Code code;
  std::string error;
};

Theirs compile_theirs(const packet::LinkTypeInfo& type, const std::string& expression) {
  Theirs out;
  pcap_t* handle = pcap_open_dead(type.dlt, 262144);
  bpf_program program{};
  if (pcap_compile(handle, &program, expression.c_str(), 0, kNetmask) != 0) {
    out.error = pcap_geterr(handle);
  } else {
    for (unsigned i = 0; i < program.bf_len; ++i) {
      const bpf_insn& from = program.bf_insns[i];
      out.code.push_back({from.code, from.jt, from.jf, from.k});
    }
    pcap_freecode(&program);
  }
  pcap_close(handle);
  return out;
}

// Where the older libpcap answers otherwise, and what was changed since. Who is right is what pcap-filter(7) says.
struct Change {
  const char* word;  // in the expression
  const char* what;
};
constexpr Change kChanges[] = {
    {"byte ", "`byte N & V` and `byte N | V` tested what was in the accumulator, not byte N"},
    {"ip multicast", "240.0.0.0/4 counted as multicast"},
    {"isis", "the bits beside the type of an IS-IS PDU were compared too"},
    {"l1", "as isis"},
    {"l2", "as isis"},
    {"iih", "as isis"},
    {"lsp", "as isis"},
    {"snp", "as isis"},
    {"decnet", "masks for packets with padding were wrong"},
    {"ip6 net", "the words of a prefix were tested from the last to the first"},
    {"ip6 src", "as ip6 net"},
    {"ip6 dst", "as ip6 net"},
    {"vpi !=", "`!=` tested for equality"},
    {"vci !=", "as vpi !="},
    {"sio !=", "as vpi !="},
    {"opc !=", "as vpi !="},
    {"dpc !=", "as vpi !="},
    {"sls !=", "as vpi !="},
    {"dpc", "the destination point code was tested with a load of four bytes"},
    {"bound", "without a live capture, metadata that is not there was tested"},
};

bool holds(const std::string& text, const char* word) { return text.find(word) != std::string::npos; }

// Not changed, but wrong in both: what is known of it, with libpcap's issue.
const char* known_defect(const std::string& expression, const packet::LinkTypeInfo& type) {
  const bool variable = type.type == packet::LinkType::kIeee80211 || type.type == packet::LinkType::kIeee80211Radio ||
                        type.type == packet::LinkType::kIeee80211RadioAvs || type.type == packet::LinkType::kPrism ||
                        type.type == packet::LinkType::kPpi || type.type == packet::LinkType::kPflog;
  const bool tunnel = holds(expression, "geneve");
  if (variable && (tunnel || holds(expression, "pppoes")))
    return "the length of the outer header is stored where that of the inner one belongs (1670)";
  if ((variable || tunnel) && expression.find_first_of("[=<>") != std::string::npos)
    return "arithmetic and the offsets of headers share scratch words (1162)";
  return "";
}

// Empty where both should agree.
std::string known_change(const std::string& expression, const packet::LinkTypeInfo& type) {
  for (const Change& change : kChanges)
    if (holds(expression, change.word)) return change.what;
  if (type.type == packet::LinkType::kPpi && (holds(expression, "dir ") || holds(expression, "type ")))
    return "PPI did not count as 802.11 there";
  if (type.name.substr(0, 7) == "JUNIPER" && holds(expression, "pppoes "))
    return "a session was tested with a wider load, which lies elsewhere where no payload offset is known";
  if (type.name == "SUNATM" &&
      (holds(expression, "geneve ") || holds(expression, "vxlan ") || holds(expression, "pppoes ")))
    return "words of ATM are taken there behind a tunnel or in a session, where no ATM header is";
  if (const char* defect = known_defect(expression, type); *defect != '\0') return defect;
  switch (type.type) {
    case packet::LinkType::kDsaTagBrcm:
    case packet::LinkType::kDsaTagDsa: return "these link types had no filters";
    case packet::LinkType::kArcnet:
    case packet::LinkType::kArcnetLinux: return "the system codes of RFC 1051 counted as IP and ARP";
    case packet::LinkType::kExperimentalEthernet:
    case packet::LinkType::kAx25:
    case packet::LinkType::kPronet:
    case packet::LinkType::kPfsync:
    case packet::LinkType::kChaos: return "these link types were refused altogether";
    case packet::LinkType::kBacnetMsTp: return "what the packet carries could be tested, though nothing says it";
    default: return {};
  }
}

// Link types that carry a few protocols only: tests of others are decided when they are compiled.
bool decided_by_link_type(packet::LinkType type) {
  switch (type) {
    case packet::LinkType::kRaw:
    case packet::LinkType::kIpv4:
    case packet::LinkType::kIpv6:
    case packet::LinkType::kSlip:
    case packet::LinkType::kSlipBsdos:
    case packet::LinkType::kNull:
    case packet::LinkType::kLoop:
    case packet::LinkType::kEnc:
    case packet::LinkType::kPflog:
    case packet::LinkType::kLocalTalk:
    case packet::LinkType::kFrameRelay:
    case packet::LinkType::kIpnet: return true;
    default: return false;
  }
}

struct Tally {
  int compared = 0, both_refused = 0, changed = 0;
  std::size_t packets = 0;
};

// About a hundred packets for a pair of programs: steered down the branches of each, from random bytes and from real
// packets of the link type, and some of the real packets as they are.
std::vector<reference::Bytes> packets_for(const Code& theirs, const Code& ours, std::span<const reference::Bytes> real,
                                          std::mt19937& random) {
  const reference::SteerOptions steering{.length = kLength, .rounds = 4, .turns = 11, .seeds = real};
  std::vector<reference::Bytes> out = reference::steer(theirs, random, steering).packets;
  for (reference::Bytes& bytes : reference::steer(ours, random, steering).packets) out.push_back(std::move(bytes));
  for (int i = 0; i < 6 && !real.empty(); ++i) out.push_back(real[random() % real.size()]);
  return out;
}

void compare_on(const packet::LinkTypeInfo& type, const std::string& expression, std::span<const reference::Bytes> real,
                std::mt19937& random, Tally& tally) {
  tests::LibpcapTestNames resolver;
  filter::CompileOptions options;
  options.bind = {.link_type = type.type,
                  .netmask = kNetmask,
                  .capture_file = false,
                  .allow_no_match = true,
                  .resolver = &resolver};
  const Theirs theirs = compile_theirs(type, expression);
  const auto ours = filter::compile(expression, options);
  const bool refused = !theirs.error.empty();
  const std::string what = std::string(type.name) + " '" + expression + "'";
  if (refused && !ours) {
    ++tally.both_refused;
    return;
  }
  if (!known_change(expression, type).empty() || theirs.error.find("unknown data link type") == 0) {
    ++tally.changed;
    return;
  }
  if (refused || !ours) {
    ADD_FAILURE() << what
                  << (refused ? ": libpcap refuses: " + theirs.error : ": weir refuses: " + ours.error().message);
    return;
  }
  ++tally.compared;
  const auto instructions = ours->program.program().instructions();
  const Code our_code(instructions.begin(), instructions.end());
  for (const reference::Bytes& bytes : packets_for(theirs.code, our_code, real, random)) {
    const auto whole = static_cast<std::uint32_t>(bytes.size());
    std::uint32_t length = whole;
    for (int cut = 0; cut < 3; ++cut, length = std::min<std::uint32_t>(random() % 120, whole)) {
      ++tally.packets;
      const packet::Packet packet{bytes.data(), length, whole, nullptr};
      const reference::Trace expected_run = reference::run(theirs.code, packet);
      const std::uint32_t expected = expected_run.verdict;
      const std::uint32_t actual = reference::run(our_code, packet).verdict;
      if (expected == actual) continue;
      // Where a protocol can never occur, what stands beside its test is no longer run: it cannot reject either.
      if (expected_run.left_outside && decided_by_link_type(type.type)) continue;
      std::string dump;
      for (std::uint32_t i = 0; i < std::min(length, 80u); ++i) {
        char text[4];
        std::snprintf(text, sizeof text, "%02x ", bytes[i]);
        dump += text;
      }
      ADD_FAILURE() << what << ": libpcap " << expected << ", weir " << actual << " for " << length
                    << " bytes: " << dump;
      return;
    }
  }
}

TEST(LibpcapDifferential, RandomExpressionsOfEveryLinkType) {
  std::mt19937 random(20260805);
  Tally tally;
  tests::RealPackets real(tests::shared_folder() / "data");
  std::vector<packet::LinkTypeInfo> types(packet::link_types().begin(), packet::link_types().end());
  const int rounds = tests::rounds(1500);
  for (int i = 0; tally.compared < rounds && i < 10 * rounds; ++i) {
    // A half on Ethernet, whose layouts are the most; a quarter on link types that have real packets.
    const packet::LinkTypeInfo* type = packet::find(packet::LinkType::kEthernet);
    if (i % 2 != 0) type = &types[random() % types.size()];
    if (i % 4 == 1)
      for (int tries = 0; tries < 50 && real.of(type->type).empty(); ++tries) type = &types[random() % types.size()];
    compare_on(*type, reference::random_expression(random), real.of(type->type), random, tally);
  }
  std::printf("%d compared on %zu packets, %d refused by both, %d that libpcap has changed\n", tally.compared,
              tally.packets, tally.both_refused, tally.changed);
  EXPECT_EQ(tally.compared, rounds);
}

// The names and numbers of link types are those of libpcap; what it has renamed since is an alias.
TEST(LibpcapDifferential, KnowsEveryLinkType) {
  int known = 0;
  for (int dlt = 0; dlt < 1000; ++dlt) {
    const char* name = pcap_datalink_val_to_name(dlt);
    if (name == nullptr) continue;
    const auto type = packet::link_type_named(name);
    ASSERT_TRUE(type.has_value()) << name;
    EXPECT_EQ(packet::find(*type)->dlt, dlt) << name;
    ++known;
  }
  EXPECT_GT(known, 100);
}

}  // namespace
}  // namespace weir

#else

TEST(LibpcapDifferential, RandomExpressionsOfEveryLinkType) { GTEST_SKIP() << "no libpcap on this machine"; }

#endif
