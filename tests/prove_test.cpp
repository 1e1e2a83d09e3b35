// Comparisons of programs: what is said to differ differs on the packet given and on no shorter one that is tried; what
// is said to be the same is so on packets steered down every branch of both.
#include <gtest/gtest.h>

#include <weir/filter/compile.h>
#include <weir/prove/compare.h>

#include "libpcap_names.h"
#include "reference/random_expression.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"

namespace weir {
namespace {

using prove::Comparison;
using prove::Verdict;

cbpf::Checked compiled(const std::string& expression, filter::Platform platform = filter::Platform::kPortable) {
  tests::LibpcapTestNames resolver;
  filter::CompileOptions options;
  options.bind.platform = platform;
  options.bind.allow_no_match = true;
  options.bind.netmask = 0xffffff00;
  options.bind.resolver = &resolver;
  auto out = filter::compile(expression, options);
  EXPECT_TRUE(out.has_value()) << expression << ": " << (out ? "" : out.error().message);
  return out.value().program;
}

packet::Metadata metadata_of(const prove::Witness& witness) {
  packet::Metadata out;
  for (const prove::Beside& beside : witness.beside) switch (static_cast<cbpf::Extension>(beside.extension)) {
      case cbpf::Extension::kVlanTci: out.vlan_tci = beside.value; break;
      case cbpf::Extension::kVlanPresent: out.vlan_present = beside.value; break;
      case cbpf::Extension::kType: out.type = beside.value; break;
      case cbpf::Extension::kInterfaceIndex: out.interface_index = beside.value; break;
      default: ADD_FAILURE() << "extension " << beside.extension;
    }
  return out;
}

std::uint32_t run(const cbpf::Checked& program, const prove::Witness& witness, std::uint32_t length) {
  const packet::Metadata metadata = metadata_of(witness);
  return reference::run(program.program(), {witness.bytes.data(), length, witness.wire_length, &metadata}).verdict;
}

void expect_right(const Comparison& comparison, const cbpf::Checked& a, const cbpf::Checked& b, bool exact,
                  std::mt19937& random, const std::string& what) {
  const auto differ = [&](std::uint32_t x, std::uint32_t y) { return exact ? x != y : (x == 0) != (y == 0); };
  if (comparison.verdict == Verdict::kDifferent) {
    const prove::Witness& witness = *comparison.witness;
    const auto length = static_cast<std::uint32_t>(witness.bytes.size());
    EXPECT_TRUE(differ(run(a, witness, length), run(b, witness, length))) << what;
    EXPECT_GE(witness.wire_length, length) << what;
    for (std::uint32_t shorter = 0; shorter < length; ++shorter)
      EXPECT_FALSE(differ(run(a, witness, shorter), run(b, witness, shorter))) << what << " " << shorter;
    return;
  }
  for (const cbpf::Checked* program : {&a, &b})
    for (const reference::Bytes& bytes :
         reference::steer(program->program().instructions(), random, {.length = 128, .rounds = 3, .turns = 10}).packets)
      for (std::uint32_t length : {128u, static_cast<std::uint32_t>(random() % 128)}) {
        const packet::Packet packet{bytes.data(), length, 128, nullptr};
        EXPECT_FALSE(differ(reference::run(a.program(), packet).verdict, reference::run(b.program(), packet).verdict))
            << what << " " << length;
      }
}

TEST(Prove, FiltersThatAreTheSame) {
  for (const auto& [left, right] : std::vector<std::pair<const char*, const char*>>{
           {"host 10.0.0.1", "src or dst host 10.0.0.1"},
           {"tcp and port 80 and host 10.0.0.1", "(tcp and port 80) and host 10.0.0.1"},
           {"ip[8] < 5", "ip and ip[8] < 5"},
           {"ether[0] & 1 != 0", "ether[0] & 1 = 1"},
           {"ether[0] * 8 / 8 = 5", "ether[0] = 5"},
           {"ether[0] % 16 = 3", "ether[0] & 15 = 3"},
           {"len >= 100 and len <= 200", "greater 100 and less 200"},
           {"not (ip or arp)", "not ip and not arp"},
           {"portrange 80-80", "port 80"}}) {
    const auto comparison = prove::compare(compiled(left), compiled(right));
    ASSERT_TRUE(comparison.has_value()) << left;
    EXPECT_EQ(comparison->verdict, Verdict::kSame) << left << " | " << right;
  }
}

TEST(Prove, AShortestPacketThatTellsThemApart) {
  struct Case {
    const char* left;
    const char* right;
    std::size_t length;
  };
  for (const Case& c : std::vector<Case>{{"ip", "ip6", 14},
                                         {"", "ip", 0},
                                         {"tcp", "udp", 21},
                                         {"tcp dst port 80", "tcp dst port 81", 24},
                                         {"len = 5", "len = 6", 0},
                                         {"ip host 10.0.0.1", "ip src host 10.0.0.1", 34},
                                         {"tcp[13] & 2 != 0", "tcp[13] = 2", 28}}) {
    const cbpf::Checked a = compiled(c.left);
    const cbpf::Checked b = compiled(c.right);
    const auto comparison = prove::compare(a, b);
    ASSERT_TRUE(comparison.has_value());
    ASSERT_EQ(comparison->verdict, Verdict::kDifferent) << c.left;
    EXPECT_EQ(comparison->witness->bytes.size(), c.length) << c.left << " | " << c.right;
    std::mt19937 random(1);
    expect_right(*comparison, a, b, false, random, c.left);
  }
}

TEST(Prove, WhatLinuxKnowsBesideThePacket) {
  const auto linux_filter = [](const char* text) { return compiled(text, filter::Platform::kLinux); };
  const auto comparison = prove::compare(linux_filter("vlan 5"), linux_filter("vlan"));
  ASSERT_TRUE(comparison.has_value());
  ASSERT_EQ(comparison->verdict, Verdict::kDifferent);
  std::mt19937 random(1);
  expect_right(*comparison, linux_filter("vlan 5"), linux_filter("vlan"), false, random, "vlan");
  EXPECT_EQ(prove::compare(linux_filter("inbound"), linux_filter("not outbound"))->verdict, Verdict::kSame);
}

TEST(Prove, VerdictsAsNumbers) {
  const auto program = [](std::uint32_t verdict) {
    return cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, verdict)}).value();
  };
  EXPECT_EQ(prove::compare(program(1), program(2))->verdict, Verdict::kSame);
  EXPECT_EQ(prove::compare(program(1), program(2), {.exact = true})->verdict, Verdict::kDifferent);
  EXPECT_EQ(prove::compare(program(2), program(2), {.exact = true})->verdict, Verdict::kSame);
}

TEST(Prove, RefusesWhatIsNoFunctionOfThePacket) {
  const cbpf::Checked random =
      cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kLdWordAbsolute, cbpf::kExtensionBase + 56),
                                cbpf::make(cbpf::Opcode::kRetA)})
          .value();
  EXPECT_FALSE(prove::compare(random, random).has_value());
}

TEST(Prove, RandomFilters) {
  std::mt19937 random(77);
  int same = 0;
  int different = 0;
  const int rounds = tests::rounds(60);
  for (int i = 0; i < rounds; ++i) {
    const std::string left = reference::random_expression(random, {.primitives = 2});
    const std::string other = reference::random_expression(random, {.primitives = 1});
    const std::string right = i % 3 == 0   ? "not not (" + left + ")"
                              : i % 3 == 1 ? "(" + left + ") and (" + other + ")"
                                           : "(" + left + ") or (" + other + ")";
    filter::CompileOptions options;
    options.bind.allow_no_match = true;
    if (!filter::compile(right, options)) continue;
    const cbpf::Checked a = compiled(left);
    const cbpf::Checked b = compiled(right);
    const auto comparison = prove::compare(a, b, {.longest = 200, .patience = 20000});
    ASSERT_TRUE(comparison.has_value()) << right;
    if (comparison->verdict == Verdict::kUndecided) continue;
    ++(comparison->verdict == Verdict::kDifferent ? different : same);
    expect_right(*comparison, a, b, false, random, left + " | " + right);
  }
  std::printf("%d pairs the same, %d different\n", same, different);
  EXPECT_GT(same, rounds / 10);
  EXPECT_GT(different, rounds / 10);
}

}  // namespace
}  // namespace weir
