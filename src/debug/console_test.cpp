// Commands and their replies; any line at all must get one.
#include <weir/debug/console.h>

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::debug {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kProgram = "load bpf 6,40 0 0 12,21 0 3 2048,48 0 0 23,21 0 1 6,6 0 0 96,6 0 0 0";

std::vector<std::uint8_t> ethernet(std::uint16_t type, std::uint8_t protocol, std::size_t size = 34) {
  std::vector<std::uint8_t> bytes(size);
  if (size > 13) bytes[12] = static_cast<std::uint8_t>(type >> 8), bytes[13] = static_cast<std::uint8_t>(type);
  if (size > 23) bytes[14] = 0x45, bytes[23] = protocol;
  return bytes;
}

Capture four_packets() {
  auto packets = std::make_shared<PacketList>();
  packets->add(packet::make_packet(ethernet(0x806, 0)));
  packets->add(packet::make_packet(ethernet(0x800, 6)));
  packets->add(packet::make_packet(ethernet(0x800, 17)));
  packets->add(packet::make_packet(ethernet(0x800, 6, 20)));
  return {packets};
}

Console make_console(Style style = Style::kOwn) {
  return Console({.open_capture = [](const std::string&) -> Result<Capture> { return four_packets(); }}, style);
}

Console loaded_console(Style style = Style::kOwn) {
  Console console = make_console(style);
  EXPECT_FALSE(console.execute(kProgram).failed);
  EXPECT_FALSE(console.execute("load pcap any").failed);
  return console;
}

TEST(Console, SaysWhatIsMissing) {
  Console console = make_console();
  EXPECT_THAT(console.execute("run").text, HasSubstr("no bpf program loaded!"));
  console.execute(kProgram);
  EXPECT_THAT(console.execute("run").text, HasSubstr("no pcap file loaded!"));
  EXPECT_TRUE(console.execute("run").failed);
}

TEST(Console, CountsAndSelectsExactly) {
  Console console = loaded_console();
  EXPECT_EQ(console.execute("run").text, "bpf passes:1 fails:3\n");
  EXPECT_EQ(console.execute("run 2").text, "bpf passes:1 fails:1\n");
  console.execute("select 2");
  EXPECT_EQ(console.session().packet_number(), 2u);
  EXPECT_EQ(console.execute("run 1").text, "bpf passes:1 fails:0\n");
  console.execute("select 4");
  EXPECT_EQ(console.execute("run").text, "bpf passes:0 fails:1\n");
  EXPECT_EQ(console.execute("select 5").text, "no packet #5 available!\n");
  EXPECT_THAT(console.execute("select 0").text, HasSubstr("packet count starts with 1, clamping!"));
  EXPECT_EQ(console.session().packet_number(), 1u);
}

TEST(Console, VerdictsHaveAll32Bits) {
  Console console = loaded_console();
  console.execute("load bpf 1,6 0 0 4294967295");
  EXPECT_EQ(console.execute("run").text, "bpf passes:4 fails:0\n");
  EXPECT_THAT(console.execute("why").text, HasSubstr("verdict 4294967295: passes, 34 of 34 bytes kept"));
}

TEST(Console, StopsOnConditionsAcrossPackets) {
  Console console = loaded_console();
  EXPECT_FALSE(console.execute("breakpoint 3 if A == 17").failed);
  EXPECT_THAT(console.execute("continue").text, HasSubstr("(packet 3 of 4, breakpoint 1)"));
  EXPECT_THAT(console.execute("print P[12:2]").text, HasSubstr("0x800 (2048)"));
  console.execute("breakpoint reset");
  console.execute("select 1");
  EXPECT_FALSE(console.execute("breakpoint if P[12:2] == 0x800 && A == 6").failed);
  EXPECT_THAT(console.execute("continue").text, HasSubstr("(packet 2 of 4, breakpoint 2)"));
  EXPECT_EQ(console.session().state().pc, 3u);
  EXPECT_THAT(console.execute("breakpoint 6").text, HasSubstr("there is no instruction 6"));
  EXPECT_THAT(console.execute("breakpoint 1 if A ==").text, HasSubstr("expected a value"));
}

TEST(Console, WatchesSayWhatChanged) {
  Console console = loaded_console();
  console.execute("watch A");
  EXPECT_THAT(console.execute("continue").text, HasSubstr("watch 1: A was 0x0 (0), is 0x806 (2054)"));
  console.execute("delete 1");
  EXPECT_EQ(console.execute("continue").text, "bpf passes:1 fails:3\n");
}

TEST(Console, BackGoesOverPackets) {
  Console console = loaded_console();
  console.execute("select 1");
  console.execute("step 5");
  EXPECT_EQ(console.session().packet_number(), 2u);
  EXPECT_EQ(console.session().state().pc, 1u);
  console.execute("step -2");
  EXPECT_EQ(console.session().packet_number(), 1u);
  EXPECT_EQ(console.session().state().pc, 5u);
  EXPECT_TRUE(console.execute("back 50").failed);
  EXPECT_EQ(console.session().state().pc, 5u);
}

TEST(Console, StepsEndWithTheRun) {
  Console console = loaded_console();
  EXPECT_THAT(console.execute("step 4294967295").text, HasSubstr("(going back to first packet)"));
  EXPECT_EQ(console.session().packet_number(), 1u);
  EXPECT_EQ(console.session().state().pc, 0u);
  EXPECT_FALSE(console.session().at_start());
}

TEST(Console, PacketsThatStepsEndAreCounted) {
  Console console = loaded_console();
  console.execute("breakpoint pass");
  EXPECT_THAT(console.execute("run").text, HasSubstr("(packet 2 of 4, breakpoint 1)"));
  EXPECT_THAT(console.execute("step").text, HasSubstr("(packet 3 of 4)"));
  console.execute("breakpoint reset");
  EXPECT_EQ(console.execute("run").text, "bpf passes:1 fails:3\n");
  console.execute("step 5");
  console.execute("back 2");
  EXPECT_EQ(console.execute("run").text, "bpf passes:1 fails:3\n");
}

TEST(Console, WhyNamesTheTestAndTheField) {
  Console console = loaded_console();
  console.execute("select 3");
  const std::string why = console.execute("why").text;
  EXPECT_THAT(why, HasSubstr("decided by l3:\tjeq #0x6, l4, l5"));
  EXPECT_THAT(why, HasSubstr("A (0x11) == 0x6: no"));
  EXPECT_THAT(why, HasSubstr("[23:1] ip proto"));
  EXPECT_THAT(why, HasSubstr("the packet would pass with 96"));
  console.execute("select 4");
  EXPECT_THAT(console.execute("why").text, HasSubstr("[23:1] beyond the packet's 20 bytes"));
}

TEST(Console, ExtensionsAreSetOrGuessed) {
  Console console = loaded_console();
  console.execute("load bpf 2,32 0 0 4294963200,22 0 0 0");
  EXPECT_EQ(console.execute("run").text, "bpf passes:0 fails:4\n");
  console.execute("set guess on");
  EXPECT_EQ(console.execute("run").text, "bpf passes:4 fails:0\n");
  console.execute("select 1");
  EXPECT_THAT(console.execute("print proto").text, HasSubstr("0x806"));
  console.execute("set proto 7");
  EXPECT_THAT(console.execute("print proto").text, HasSubstr("(7)"));
  console.execute("set proto none");
  EXPECT_THAT(console.execute("set").text, HasSubstr("proto       0x806 (2054), guessed"));
  EXPECT_TRUE(console.execute("set proot 7").failed);
  EXPECT_FALSE(console.execute("set vlan_pr 1").failed);
  EXPECT_EQ(console.execute("print vlan_pr + vlan_avail").text, "0x2 (2)\n");
  EXPECT_TRUE(console.execute("set len 7").failed);
}

TEST(Console, TheOldToolsCommandsAreSpelledInFull) {
  Console console = loaded_console(Style::kBpfDbg);
  EXPECT_TRUE(console.execute("ru").failed);
  EXPECT_EQ(console.execute("run").text, "bpf passes:1 fails:3\n");
  console.execute("breakpoint 1");
  EXPECT_EQ(console.execute("breakpoint").text, "breakpoints: 1 \n");
  EXPECT_EQ(console.execute("breakpoint 1").text, "breakpoint already set!\n");
  EXPECT_THAT(console.execute("run").text, HasSubstr("(breakpoint)\n"));
  EXPECT_FALSE(loaded_console().execute("ru").failed);
}

TEST(Console, BytesBehindThePacketArePadding) {
  std::vector<std::uint8_t> frame = ethernet(0x800, 6, 60);
  frame[17] = 44;  // the IP packet ends at byte 58
  auto packets = std::make_shared<PacketList>();
  packets->add(packet::make_packet(frame));
  Console console({.open_capture = [&](const std::string&) -> Result<Capture> { return Capture{packets}; }});
  console.execute("load pcap any");
  const std::string text = console.execute("packet").text;
  EXPECT_THAT(text, HasSubstr("[54:4]     payload\n"));
  EXPECT_THAT(text, HasSubstr("[58:2]     padding\n"));
}

TEST(Console, WhyTellsALoadedVerdict) {
  Console console = loaded_console();
  console.execute("load bpf 2,48 0 0 23,22 0 0 0");
  console.execute("select 2");
  const std::string text = console.execute("why").text;
  EXPECT_THAT(text, HasSubstr("no test decides: the verdict is A (0x6)"));
  EXPECT_THAT(text, HasSubstr("[23:1] ip proto"));
  EXPECT_THAT(text, testing::Not(HasSubstr("every packet")));
}

TEST(Console, LongNonsenseIsNotRepeated) {
  EXPECT_EQ(make_console().execute(std::string(5000, 'x')).text,
            "error: unknown command of 5000 characters\n  try 'help'\n");
}

TEST(Console, BpfDbgExecutesWhatItShows) {
  Console console = loaded_console(Style::kBpfDbg);
  // Packet 1 ends with its third instruction: the step that shows it leaves the packet.
  EXPECT_THAT(console.execute("step").text, HasSubstr("pc:       [0]"));
  EXPECT_THAT(console.execute("step 2").text, testing::EndsWith("(breakpoint)\n(next packet)\n"));
  EXPECT_EQ(console.session().packet_number(), 2u);
  EXPECT_EQ(console.execute("step 6").text, "(next packet)\n");
  EXPECT_EQ(console.session().packet_number(), 3u);
  EXPECT_EQ(console.execute("run").text, "bpf passes:0 fails:2\n");
  // Back over a packet's end, one instruction before the last shown.
  console.execute("step 3");
  EXPECT_THAT(console.execute("step -1").text, HasSubstr("pc:       [1]"));
  EXPECT_EQ(console.execute("step -5").text, "reached bottom of register history stack!\n");
  console.execute("select 4");
  EXPECT_EQ(console.execute("step 9").text, "(going back to first packet)\n");
}

TEST(Console, BpfDbgReadsNumbersAsStrtol) {
  Console console = loaded_console(Style::kBpfDbg);
  for (const char* command : {"run 0", "run abc", "run 4x", "run +9"})
    EXPECT_EQ(console.execute(command).text, "bpf passes:1 fails:3\n") << command;
  EXPECT_TRUE(console.execute("run -5").failed);
  for (const char* command : {"step 0", "step abc", "step 1x"}) {
    console.execute("select 1");
    EXPECT_THAT(console.execute(command).text, HasSubstr("pc:       [0]")) << command;
  }
  console.execute("select 3");
  EXPECT_EQ(console.execute("select abc").text, "packet count starts with 1, clamping!\n");
  EXPECT_EQ(console.session().packet_number(), 1u);
  EXPECT_EQ(console.execute("select").text, "");
  console.execute("select 3");
  EXPECT_EQ(console.execute("select 9").text, "no packet #9 available!\n");
  EXPECT_EQ(console.session().packet_number(), 1u);
  EXPECT_THAT(console.execute("dump 2").text, testing::StartsWith("/* { op, jt, jf, k }, */\n"));
  EXPECT_EQ(console.execute("disassemble 2x").text, "l2:\tldb [23]\n");
}

TEST(Console, BpfDbgSaysWhyNothingIsLoaded) {
  Console console({.open_capture = [](const std::string&) -> Result<Capture> { return fail("no such capture"); }},
                  Style::kBpfDbg);
  EXPECT_EQ(console.execute("select").text, "no pcap file loaded!\n");
  const std::pair<const char*, const char*> cases[] = {
      {"", "syntax error in head length encoding!\n"},
      {"foo", "syntax error in head length encoding!\n"},
      {"65537,6 0 0 1", "syntax error in head length encoding!\n"},
      {"2,6 0 0 1,", "syntax error exceeding encoded length!\n"},
      {"1,6 0 0 1,6 0 0 0,", "program exceeds encoded length!\n"},
      {"1,6 256 0 1", "syntax error at instruction 0!\n"},
      {"2,0 0 0 1,6 0 0", "syntax error at instruction 1!\n"},
      {"1,14 0 0 0,", "program not allowed to run by kernel!\n"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(console.execute(kProgram).text, "");
    EXPECT_EQ(console.execute("run").text, "no pcap file loaded!\n");
    EXPECT_EQ(console.execute(std::string("load bpf ") + text).text, message) << text;
    EXPECT_EQ(console.execute("run").text, "no bpf program loaded!\n");
  }
  EXPECT_EQ(console.execute("load pcap any").text, "no such capture\n");
  EXPECT_EQ(console.execute("load pcap").text, "");
  EXPECT_EQ(console.execute("load foo").text, "bpf <code>:  load bpf code\npcap <file>: load pcap file\n");
}

TEST(Console, BpfDbgStaysAtItsPacketWithANewProgram) {
  Console console = loaded_console(Style::kBpfDbg);
  console.execute("select 3");
  console.execute("load bpf 1,6 0 0 1");
  EXPECT_EQ(console.execute("run").text, "bpf passes:2 fails:0\n");
}

TEST(Console, CompletesCommandsAndFiles) {
  const Console console = make_console();
  EXPECT_THAT(console.complete("br").words, ElementsAre("breakpoint"));
  EXPECT_THAT(console.complete("d").words, ElementsAre("delete", "disassemble", "dump"));
  EXPECT_THAT(console.complete("load p").words, ElementsAre("pcap", "program"));
  EXPECT_TRUE(console.complete("load pcap in").files);
  EXPECT_FALSE(console.complete("load bpf in").files);
  EXPECT_THAT(console.complete("set vlan_t").words, ElementsAre("vlan_tci", "vlan_tpid"));
  EXPECT_THAT(console.complete("help q").words, ElementsAre("quit"));
}

// The short form of the fuzzer: lines made of what the commands understand, and of noise.
TEST(Console, AnyLineGetsAReply) {
  static constexpr const char* kWords[] = {"load",
                                           "bpf",
                                           "pcap",
                                           "x",
                                           "run",
                                           "step",
                                           "back",
                                           "-1",
                                           "+3",
                                           "99999999999",
                                           "select",
                                           "breakpoint",
                                           "if",
                                           "pass",
                                           "fail",
                                           "watch",
                                           "delete",
                                           "print",
                                           "why",
                                           "trace",
                                           "packet",
                                           "set",
                                           "guess",
                                           "on",
                                           "off",
                                           "mark",
                                           "disassemble",
                                           "dump",
                                           "status",
                                           "help",
                                           "A",
                                           "==",
                                           "M[3]",
                                           "P[12:2]",
                                           "P[99]",
                                           "(",
                                           ")",
                                           "&&",
                                           "0x800",
                                           "1",
                                           "2",
                                           "3",
                                           "reset",
                                           "1,6 0 0 1",
                                           "none",
                                           "continue",
                                           "\"",
                                           "#",
                                           "\t",
                                           "-",
                                           "expression",
                                           "program",
                                           "load bpf ldh [12]",
                                           "ret",
                                           "\x80"};
  std::mt19937 random(3);
  for (const Style style : {Style::kOwn, Style::kBpfDbg}) {
    Console console = loaded_console(style);
    for (int i = 0; i < 30000; ++i) {
      if (i % 500 == 0) console = loaded_console(style);
      std::string line;
      for (auto n = random() % 6; n > 0; --n) line += std::string(kWords[random() % std::size(kWords)]) + " ";
      const Reply reply = console.execute(line);
      ASSERT_FALSE(reply.failed && reply.text.empty()) << line;
      ASSERT_TRUE(reply.text.empty() || reply.text.back() == '\n') << line;
      console.complete(line);
    }
  }
}

TEST(Console, RepliesAreDataToo) {
  Console console = loaded_console(Style::kOwn);
  console.execute("b pass");
  Reply reply = console.execute("r");
  EXPECT_EQ(reply.command, "run");
  ASSERT_TRUE(reply.halt);
  EXPECT_EQ(reply.halt->reason, "breakpoint");
  EXPECT_EQ(console.execute("print P[12:2]").value, 0x800u);
  EXPECT_EQ(console.execute("packet").bytes.size(), console.session().packet().length);
  console.execute("breakpoint reset");
  reply = console.execute("continue");
  ASSERT_TRUE(reply.halt);
  EXPECT_EQ(reply.halt->reason, "run-end");
  EXPECT_EQ(reply.halt->counts, (Counts{1, 3}));
  reply = console.execute("back 99");
  ASSERT_TRUE(reply.failed && reply.error && reply.halt);
  EXPECT_EQ(reply.halt->reason, "start");
  reply = console.execute("print A +");
  ASSERT_TRUE(reply.failed && reply.error);
  EXPECT_TRUE(std::holds_alternative<Span>(reply.error->place));
}

}  // namespace
}  // namespace weir::debug
