#include <weir/filter/resolver.h>

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace weir::filter {
namespace {

SystemResolverOptions without_dns() { return {.allow_dns = false}; }

// Common names are known on any machine, with or without /etc/services and /etc/protocols.
TEST(SystemResolver, KnowsCommonNamesEverywhere) {
  Resolver& resolver = system_resolver(without_dns());
  EXPECT_EQ(resolver.protocol("tcp"), 6);
  EXPECT_EQ(resolver.protocol("icmp"), 1);
  EXPECT_EQ(resolver.protocol("sctp"), 132);
  EXPECT_EQ(resolver.protocol("no-such-protocol"), std::nullopt);
  ASSERT_TRUE(resolver.service("http").has_value());
  EXPECT_EQ(resolver.service("http")->tcp, 80);
  ASSERT_TRUE(resolver.service("domain").has_value());
  EXPECT_EQ(resolver.service("domain")->tcp, 53);
  EXPECT_EQ(resolver.service("domain")->udp, 53);
  EXPECT_EQ(resolver.service("no-such-service"), std::nullopt);
}

TEST(SystemResolver, WithoutDnsOnlyTheHostsFileAnswers) {
  Resolver& resolver = system_resolver(without_dns());
  EXPECT_EQ(resolver.host("host.invalid."), std::nullopt);
  EXPECT_EQ(resolver.host(""), std::nullopt);
  const auto local = resolver.host("localhost");
  if (!local) GTEST_SKIP() << "/etc/hosts has no localhost";
  EXPECT_TRUE(!local->ipv4.empty() || !local->ipv6.empty());
  const auto shouted = resolver.host("LocalHost");
  ASSERT_TRUE(shouted.has_value());
  EXPECT_EQ(shouted->ipv4, local->ipv4);
}

TEST(SystemResolver, UnknownNetworksAndEtherHosts) {
  Resolver& resolver = system_resolver(without_dns());
  EXPECT_EQ(resolver.network("no-such-network"), std::nullopt);
  EXPECT_EQ(resolver.ether_host("no-such-host"), std::nullopt);
}

TEST(SystemResolver, IsOneForEachChoice) {
  EXPECT_EQ(&system_resolver(without_dns()), &system_resolver(without_dns()));
  EXPECT_NE(&system_resolver(without_dns()), &system_resolver());
}

TEST(SystemResolver, AnswersManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([] {
      Resolver& resolver = system_resolver(without_dns());
      for (int n = 0; n < 50; ++n) {
        EXPECT_EQ(resolver.protocol("udp"), 17);
        EXPECT_EQ(resolver.service("smtp")->tcp, 25);
        (void)resolver.host("localhost");
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(StaticResolver, AnswersFromItsTablesAlone) {
  StaticResolver resolver;
  EXPECT_EQ(resolver.protocol("tcp"), std::nullopt);
  resolver.hosts["a"] = {.ipv4 = {0x0a000001}, .ipv6 = {}};
  resolver.networks["n"] = 10;
  resolver.services["s"] = {.tcp = 1, .udp = std::nullopt};
  resolver.protocols["p"] = 200;
  resolver.ether_hosts["e"] = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(resolver.host("a")->ipv4, std::vector<Ipv4Address>{0x0a000001});
  EXPECT_EQ(resolver.host("A"), std::nullopt);
  EXPECT_EQ(resolver.network("n"), 10u);
  EXPECT_EQ(resolver.service("s")->tcp, 1);
  EXPECT_EQ(resolver.protocol("p"), 200);
  EXPECT_EQ(resolver.ether_host("e"), (Mac48{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace weir::filter
