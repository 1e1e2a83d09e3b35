// Expressions of a hundred thousand terms, and nested as deep: a program or a clear error, never a crash.
#include <gtest/gtest.h>

#include <string>

#include <weir/filter/compile.h>

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

}  // namespace
}  // namespace weir::filter
