#include <weir/base/suggest.h>

#include <gtest/gtest.h>

namespace weir {
namespace {

constexpr std::string_view kWords[] = {"host", "port", "portrange", "net", "tcp", "udp", "ip"};

TEST(Suggest, FindsTheNearestWord) {
  EXPECT_EQ(nearest("pot", kWords), "port");
  EXPECT_EQ(nearest("prot", kWords), "port");
  EXPECT_EQ(nearest("hots", kWords), "host");
  EXPECT_EQ(nearest("portrnage", kWords), "portrange");
  EXPECT_EQ(nearest("TCP", kWords), "tcp");
}

TEST(Suggest, FindsNothingFarAway) {
  EXPECT_EQ(nearest("zzzzzz", kWords), "");
  EXPECT_EQ(nearest("", kWords), "");
  EXPECT_EQ(nearest("x", kWords), "");
  EXPECT_EQ(nearest(std::string(1000, 'p'), kWords), "");
}

TEST(Suggest, SaysItAsAQuestion) {
  EXPECT_EQ(did_you_mean("pot", kWords), "did you mean 'port'?");
  EXPECT_EQ(did_you_mean("zzzzzz", kWords), "");
  EXPECT_EQ(did_you_mean("TCP", kWords), "did you mean 'tcp'?");
  EXPECT_EQ(did_you_mean("tcp", kWords), "");
}

}  // namespace
}  // namespace weir
