#include <weir/debug/expression.h>

#include <array>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace weir::debug {
namespace {

class ExpressionTest : public testing::Test {
 protected:
  ExpressionTest() {
    state_.a = 5;
    state_.x = 20;
    state_.scratch[3] = 53;
    state_.pc = 7;
  }
  Result<std::uint32_t> value(std::string_view text) {
    const packet::Packet packet{bytes_.data(), static_cast<std::uint32_t>(bytes_.size()), 60, nullptr};
    const Result<Expression> parsed = Expression::parse(text);
    if (!parsed) return fail(parsed.error());
    return parsed->value({state_, packet, 9, surroundings_});
  }
  State state_;
  Surroundings surroundings_{{{cbpf::Extension::kMark, 42}}, 0};
  std::array<std::uint8_t, 8> bytes_{0x11, 0x22, 0x33, 0x44, 0x08, 0x00, 0x45, 0xff};
};

TEST_F(ExpressionTest, ValuesAreThoseOfC) {
  const std::pair<const char*, std::uint32_t> cases[] = {
      {"A", 5},
      {"x", 20},
      {"M[3]", 53},
      {"m[1+2]", 53},
      {"pc", 7},
      {"len", 60},
      {"cap", 8},
      {"packet", 9},
      {"mark", 42},
      {"#mark == 42", 1},
      {"P[0]", 0x11},
      {"P[4:2]", 0x800},
      {"p[0:4]", 0x11223344},
      {"P[pc]", 0xff},
      {"2 + 3 * 4", 14},
      {"(2 + 3) * 4", 20},
      {"10 - 3 - 2", 5},
      {"1 << 4 + 1", 32},
      {"7 & 3 == 3", 1},
      {"-1", 0xffffffff},
      {"!A", 0},
      {"!!A", 1},
      {"~0", 0xffffffff},
      {"A == 5 && X == 20", 1},
      {"A == 4 || X == 20", 1},
      {"A != 5", 0},
      {"A < 6", 1},
      {"A >= 6", 0},
      {"0x10 | 0b1", 17},
      {"010", 8},
      {"P[010 - 4:02]", 0x800},
      {"00", 0},
      {"vlan_pr == vlan_avail", 1},
      {"pktlen", 60},
      {"6 ^ 3", 5},
      {"17 % 5", 2},
      {"0 && P[100]", 0},
      {"1 || P[100]", 1},
      {"4294967295 + 1", 0},
      {"A = 5", 1},
  };
  for (const auto& [text, expected] : cases) {
    const Result<std::uint32_t> got = value(text);
    ASSERT_TRUE(got) << text << ": " << got.error().message;
    EXPECT_EQ(*got, expected) << text;
  }
}

TEST_F(ExpressionTest, WhatHasNoValueSaysWhy) {
  EXPECT_EQ(value("P[7:2]").error().message, "P[7:2] lies beyond the packet's 8 bytes");
  EXPECT_EQ(value("1 / (A - 5)").error().message, "division by zero");
  EXPECT_EQ(value("M[X]").error().message, "there is no M[20]");
}

TEST_F(ExpressionTest, MistakesHaveTheirPlace) {
  const std::pair<const char*, Span> cases[] = {
      {"", {0, 0}},   {"A +", {3, 3}},         {"A B", {2, 3}}, {"foo", {0, 3}}, {"M[16]", {2, 4}}, {"P[1:3]", {4, 5}},
      {"(A", {2, 2}}, {"4294967296", {0, 10}}, {"0x", {2, 2}},  {"12z", {2, 3}}, {"P[1", {3, 3}},   {"018", {2, 3}},
  };
  for (const auto& [text, span] : cases) {
    const Result<Expression> got = Expression::parse(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(std::get<Span>(got.error().place), span) << text << ": " << got.error().message;
  }
  EXPECT_EQ(Expression::parse("vlan_tic").error().hint, "did you mean 'vlan_tci'?");
}

TEST_F(ExpressionTest, DeepAndLongOnesAreRefusedNotFollowed) {
  const auto sum = [](int operators) {
    std::string text = "1";
    for (int i = 0; i < operators; ++i) text += "+1";
    return text;
  };
  const auto nested = [](std::size_t levels) { return std::string(levels, '(') + "1" + std::string(levels, ')'); };
  const auto negated = [](std::size_t levels) { return std::string(levels, '-') + "1"; };
  for (const std::string& text : {nested(100000), negated(100000), sum(100000), sum(1000), nested(201), negated(201)}) {
    const Result<Expression> got = Expression::parse(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, ErrorCode::kLimit) << got.error().message;
    EXPECT_TRUE(std::holds_alternative<Span>(got.error().place));
  }
  EXPECT_EQ(value(sum(999)).value(), 1000u);
  EXPECT_EQ(value(negated(200)).value(), 1u);
  EXPECT_EQ(value(nested(200)).value(), 1u);
}

}  // namespace
}  // namespace weir::debug
