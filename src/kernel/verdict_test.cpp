// Exact verdicts: computed and constant, large and small, over packets of every short length.
#include <weir/kernel/verdict.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

namespace weir::kernel {
namespace {

Result<VerdictRunner> runner(std::string_view text) {
  const auto program = cbpf::assemble(text);
  EXPECT_TRUE(program) << program.error().message;
  return VerdictRunner::create(*cbpf::check(*program));
}

Verdict verdict(VerdictRunner& runner, const std::vector<std::uint8_t>& packet) {
  const Result<Verdict> got = runner.run(packet);
  EXPECT_TRUE(got) << got.error().message;
  return got ? *got : Verdict{0xdead, true};
}

TEST(VerdictRunner, ComputedVerdictsAreExactForEveryLength) {
  for (const std::uint32_t value : {0u, 1u, 2u, 3u, 255u, 256u, 257u, 65535u, 0x12345678u, 0x80000000u, 0xffffffffu}) {
    auto run = runner("ld #" + std::to_string(value) + "\nret a");
    ASSERT_TRUE(run);
    for (std::size_t length = 0; length < 40; ++length)
      ASSERT_EQ(verdict(*run, std::vector<std::uint8_t>(length, 1)), (Verdict{value, false})) << length;
    for (const std::size_t length : {255u, 256u, 257u, 1500u, 65536u, 150000u})
      ASSERT_EQ(verdict(*run, std::vector<std::uint8_t>(length, 1)), (Verdict{value, false})) << length;
  }
}

TEST(VerdictRunner, ConstantVerdictsAreExact) {
  auto run = runner(
      "ldb [0]\njeq #1, a, n1\nn1: jeq #2, b, n2\nn2: jeq #3, c, d\n"
      "a: ret #0xffffffff\nb: ret #262144\nc: ret #1\nd: ret #0");
  ASSERT_TRUE(run);
  for (const std::size_t length : {1u, 2u, 3u, 60u, 1500u}) {
    std::vector<std::uint8_t> packet(length);
    for (const auto& [byte, value] :
         std::initializer_list<std::pair<std::uint8_t, std::uint32_t>>{{1, 0xffffffff}, {2, 262144}, {3, 1}, {4, 0}}) {
      packet[0] = byte;
      EXPECT_EQ(verdict(*run, packet), (Verdict{value, false})) << length << " " << int{byte};
    }
  }
  EXPECT_EQ(verdict(*run, {}), (Verdict{0, true}));
}

TEST(VerdictRunner, TellsImplicitEndsFromZero) {
  auto beyond = runner("ld [4]\nret #0");
  ASSERT_TRUE(beyond);
  EXPECT_EQ(verdict(*beyond, {1, 2, 3, 4}), (Verdict{0, true}));
  EXPECT_EQ(verdict(*beyond, {1, 2, 3, 4, 5, 6, 7, 8}), (Verdict{0, false}));
  auto division = runner("ldb [0]\ntax\nld #100\ndiv x\nret a");
  ASSERT_TRUE(division);
  EXPECT_EQ(verdict(*division, {0, 1}), (Verdict{0, true}));
  EXPECT_EQ(verdict(*division, {7, 1}), (Verdict{14, false}));
  EXPECT_EQ(verdict(*division, {200, 1}), (Verdict{0, false}));
}

TEST(VerdictRunner, RefusesWhatASocketPairsPacketsDoNotHave) {
  for (const char* load : {"ld ifidx", "ld hatype", "ld cpu", "ld rand"}) {
    const auto run = runner(std::string(load) + "\nret a");
    ASSERT_FALSE(run) << load;
    EXPECT_EQ(run.error().code, ErrorCode::kUnsupported);
  }
  for (const std::uint32_t base : {cbpf::kNetworkOffset, cbpf::kLinkLayerOffset}) {
    const cbpf::Program program{cbpf::make(cbpf::Opcode::kLdByteAbsolute, base + 2), cbpf::make(cbpf::Opcode::kRetA)};
    EXPECT_FALSE(VerdictRunner::create(*cbpf::check(program)));
  }
  auto known = runner("ld proto\njeq #0, y, n\ny: ld vlan_avail\nret a\nn: ret #9");
  ASSERT_TRUE(known);
  EXPECT_EQ(verdict(*known, {1, 2, 3}), (Verdict{0, false}));
}

TEST(VerdictRunner, LongestProgramsWithConstantsRunAndComputedOnesSayWhyNot) {
  std::vector<cbpf::Instruction> code(4095, cbpf::make(cbpf::Opcode::kLdImmediate, 1));
  code.push_back(cbpf::make(cbpf::Opcode::kRetK, 300));
  auto constant = VerdictRunner::create(*cbpf::check(cbpf::Program(code)));
  ASSERT_TRUE(constant) << constant.error().message;
  EXPECT_EQ(verdict(*constant, {1}), (Verdict{300, false}));
  code.back() = cbpf::make(cbpf::Opcode::kRetA);
  auto computed = VerdictRunner::create(*cbpf::check(cbpf::Program(code)));
  ASSERT_TRUE(computed);
  EXPECT_EQ(verdict(*computed, {1, 2, 3}), (Verdict{1, false}));
  const std::vector<std::uint8_t> short_packet{1};
  const auto refused = computed->run(short_packet);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace weir::kernel
