// Expressions of a hundred thousand terms, and nested as deep: a program or a clear error, never a crash.
#include <gtest/gtest.h>

#include <string>

#include <weir/filter/compile.h>

#include "reference/reference_interpreter.h"

namespace weir::filter {
namespace {

constexpr int kMany = 100000;

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(LargeExpression, TermsByTheHundredThousandMakeAProgram) {
  for (const char* connective : {" or ", " and not "}) {
    std::string hosts = "host 10.0.0.0";
    std::string same = "ip";
    for (int i = 1; i < kMany; ++i) {
      hosts += connective + ("host 10." + std::to_string(i >> 16)) + "." + std::to_string(i >> 8 & 0xff) + "." +
               std::to_string(i & 0xff);
      same += connective + std::string("ip");
    }
    for (const std::string& expression : {hosts, same}) {
      const auto compiled = compile(expression);
      ASSERT_TRUE(compiled) << compiled.error().message;
      EXPECT_LT(compiled->program.program().size(), 400u);  // the hosts are neighbours
    }
  }
}

TEST(LargeExpression, ManyDifferentTestsMakeAProgramOrAnError) {
  std::string expression = "ether[0] = 0";
  for (int i = 1; i < kMany; ++i)
    expression += " or ether[" + std::to_string(i % 1400) + "] = " + std::to_string(i % 251);
  const auto compiled = compile(expression);
  EXPECT_TRUE(compiled || compiled.error().code == ErrorCode::kLimit) << compiled.error().message;
}

TEST(LargeExpression, DepthIsAnErrorWithAPlace) {
  for (const std::string& expression :
       {repeated("(", kMany) + "ip" + repeated(")", kMany), repeated("not ", kMany) + "ip",
        repeated("! ", kMany) + "ip", "ip[" + repeated("(", kMany) + "1" + repeated(")", kMany) + "] = 1",
        repeated("ether[", kMany) + "0", "len = " + repeated("-", kMany) + "1",
        repeated("(ip or ", kMany) + "ip" + repeated(")", kMany)}) {
    const auto compiled = compile(expression);
    ASSERT_FALSE(compiled) << expression.substr(0, 40);
    EXPECT_FALSE(compiled.error().message.empty());
    EXPECT_TRUE(std::holds_alternative<Span>(compiled.error().place)) << compiled.error().message;
  }
}

TEST(LargeExpression, LongArithmeticMakesAProgramOrAnError) {
  for (const std::string& expression :
       {"len" + repeated(" + 1", kMany) + " > 5", "ip[0]" + repeated(" ^ ip[1]", kMany) + " = 0",
        "len" + repeated(" / len", 5000) + " = 1"}) {
    const auto compiled = compile(expression);
    EXPECT_TRUE(compiled || !compiled.error().message.empty());
  }
}

// A chain needs a word or two of scratch memory, however long it is, and gives what its numbers give.
TEST(LargeExpression, ChainsOfArithmeticHaveNoLimit) {
  std::vector<std::uint8_t> bytes(14 + 60);
  bytes[12] = 8;
  for (std::size_t i = 14; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 + 5);
  bytes[14] = 0x45;
  const packet::Packet packet = packet::make_packet(bytes);
  for (const int count : {30, 1000, 2001, 3000})
    for (const std::string operators : {"+", "-", "+-", "^", "*"})
      for (const bool optimise : {true, false}) {
        std::string chain = "ip[0]";
        std::uint32_t value = bytes[14];
        for (int i = 1; i <= count; ++i) {
          const char sign = operators[static_cast<std::size_t>(i) % operators.size()];
          const std::uint32_t byte = bytes[14 + static_cast<std::size_t>(i) % 60];
          chain += sign + ("ip[" + std::to_string(i % 60)) + "]";
          value = sign == '+' ? value + byte : sign == '-' ? value - byte : sign == '^' ? value ^ byte : value * byte;
        }
        for (const std::string& compared : {std::to_string(value), "ip[1]-ip[1]+" + std::to_string(value)}) {
          const auto compiled = compile(chain + " = " + compared, {.optimise = optimise});
          ASSERT_TRUE(compiled) << count << operators << optimise << compiled.error().message;
          EXPECT_NE(reference::run(compiled->program.program(), packet).verdict, 0u) << count << operators << optimise;
        }
        const auto other = compile(chain + " = " + std::to_string(value + 1), {.optimise = optimise});
        ASSERT_TRUE(other);
        EXPECT_EQ(reference::run(other->program.program(), packet).verdict, 0u) << count << operators << optimise;
      }
}

}  // namespace
}  // namespace weir::filter
