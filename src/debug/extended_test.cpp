// Sessions over extended programs: steps forward and back, places by name, breakpoints, any line of text.
#include <random>

#include <gtest/gtest.h>

#include <weir/debug/extended_console.h>
#include <weir/ebpf/text.h>

namespace weir::debug {
namespace {

constexpr std::string_view kCounts =
    ".program xdp counts\n.map counts, hash, key 4, value 8, entries 4\nfunc main:\nr6 = *(u32 *)(r1 + 0)\n"
    "*(u32 *)(r10 - 4) = 7\nr1 = map[counts]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto fresh\n"
    "r1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\ncall local two\nexit\n"
    "fresh: *(u64 *)(r10 - 16) = 1\nr1 = map[counts]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\n"
    "call bpf_map_update_elem\nr0 = 1\nexit\nfunc two:\nr0 = 2\nexit\n";

ExtendedConsole console_of(std::string_view text, std::vector<std::vector<std::uint8_t>> packets) {
  ebpf::Program program = ebpf::assemble(text).value();
  const Sight sight = sight_of(program.type);
  auto session = ExtendedSession::create(std::move(program), {.packets = std::move(packets), .sight = sight});
  EXPECT_TRUE(session) << session.error().message;
  return ExtendedConsole(std::move(*session));
}
const std::vector<std::vector<std::uint8_t>> kThree(3, std::vector<std::uint8_t>(60, 1));

TEST(ExtendedSession, StepsOverPacketsAndBack) {
  ExtendedConsole console = console_of(kCounts, kThree);
  ExtendedSession& session = console.session();
  std::vector<std::string> places;
  for (int i = 0; i < 44; ++i) {
    places.push_back(console.execute("status").text);
    session.step(1);
  }
  EXPECT_EQ(session.packet_number(), 3u);
  for (int i = 44; i-- > 0;) {
    EXPECT_EQ(session.back(1).reason, ExtendedStop::Reason::kStep);
    EXPECT_EQ(console.execute("status").text, places[static_cast<std::size_t>(i)]) << i;
  }
  EXPECT_EQ(session.back(1).reason, ExtendedStop::Reason::kStart);
}

TEST(ExtendedSession, MapsKeepTheirValuesFromPacketToPacket) {
  ExtendedConsole console = console_of(kCounts, kThree);
  EXPECT_EQ(console.session().go_on().reason, ExtendedStop::Reason::kRunEnd);
  EXPECT_NE(console.execute("maps").text.find("07 00 00 00: 03 00"), std::string::npos);
  EXPECT_TRUE(console.session().select(2));
  EXPECT_EQ(console.execute("maps").text, "map counts (hash, 0 entries)\n");
}

TEST(ExtendedSession, StopsAtBreakpointsInFunctionsAndNamesPlaces) {
  ExtendedConsole console = console_of(kCounts, kThree);
  EXPECT_FALSE(console.execute("breakpoint two").failed);
  const Reply stopped = console.execute("continue");
  EXPECT_NE(stopped.text.find("in two, 1 call deep"), std::string::npos) << stopped.text;
  EXPECT_NE(stopped.text.find("packet 2 of 3"), std::string::npos);
  EXPECT_NE(stopped.text.find("counts[07 00 00 00]"), std::string::npos);
  EXPECT_NE(console.execute("stack").text.find("#1 main, goes on at 12"), std::string::npos)
      << console.execute("stack").text;
  EXPECT_NE(console.execute("memory packet+2 4").text.find("packet+2+0: 01 01 01 01"), std::string::npos);
  EXPECT_TRUE(console.execute("memory 0").failed);
}

TEST(ExtendedSession, ConditionsAndFaults) {
  ExtendedConsole console = console_of("r0 = 0\na: r0 += 1\nif r0 != 9 goto a\nr0 = *(u64 *)(r0 + 0)\nexit", {{1, 2}});
  EXPECT_FALSE(console.execute("breakpoint 1 if r0 == 5").failed);
  EXPECT_NE(console.execute("c").text.find("r0 5"), std::string::npos);
  const Reply stopped = console.execute("c");
  EXPECT_NE(stopped.text.find("access to 0x9, outside"), std::string::npos) << stopped.text;
  EXPECT_NE(console.execute("back").text.find("=> 3"), std::string::npos);
}

TEST(ExtendedSession, ClocksSayTheSameAfterGoingBack) {
  ExtendedConsole console = console_of("call bpf_ktime_get_ns\nr6 = r0\ncall bpf_get_prandom_u32\nr7 = r0\nexit", {{}});
  console.session().step(4);
  const std::string before = console.execute("registers").text;
  console.session().back(4);
  console.session().step(4);
  EXPECT_EQ(console.execute("registers").text, before);
}

TEST(ExtendedConsole, RepliesAreDataToo) {
  ExtendedConsole console = console_of("r0 = 7\n*(u64 *)(r10 - 8) = r0\nr0 += 1\nexit\n", {{}});
  EXPECT_EQ(console.execute("b 2").command, "breakpoint");
  Reply reply = console.execute("c");
  EXPECT_EQ(reply.command, "continue");
  ASSERT_TRUE(reply.halt);
  EXPECT_EQ(reply.halt->reason, "breakpoint");
  EXPECT_EQ(reply.halt->number, 1u);
  EXPECT_EQ(console.execute("print fp-8").value, 7u);
  EXPECT_EQ(console.execute("memory fp-8 2").bytes, (std::vector<std::uint8_t>{7, 0}));
  console.execute("watch r0");
  reply = console.execute("continue");
  ASSERT_TRUE(reply.halt);
  EXPECT_EQ(reply.halt->reason, "watch");
  EXPECT_EQ(reply.halt->before, 7u);
  EXPECT_EQ(reply.halt->now, 8u);
  EXPECT_EQ(console.execute("continue").halt->reason, "run-end");
  EXPECT_EQ(console.execute("back 99").halt->reason, "start");
  reply = console.execute("print nowhere");
  ASSERT_TRUE(reply.failed && reply.error);
  EXPECT_NE(reply.error->message.find("'nowhere'"), std::string::npos);
}

TEST(ExtendedConsole, AnyLineIsAnswered) {
  ExtendedConsole console = console_of(kCounts, kThree);
  const std::vector<std::string> words = {"step",
                                          "back",
                                          "continue",
                                          "breakpoint",
                                          "memory",
                                          "r1",
                                          "fp-8",
                                          "if",
                                          "maps",
                                          "select",
                                          "2",
                                          "0",
                                          "-1",
                                          "main",
                                          ":3",
                                          "==",
                                          "stack",
                                          "delete",
                                          "99999999999999999999",
                                          "packet+",
                                          "disassemble",
                                          "x"};
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string line;
    for (unsigned n = 1 + random() % 4; n > 0; --n) line += words[random() % words.size()] + " ";
    const Reply reply = console.execute(line);
    EXPECT_TRUE(!reply.failed || !reply.text.empty()) << line;
  }
}

}  // namespace
}  // namespace weir::debug
