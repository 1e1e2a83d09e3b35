#include <weir/base/render.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace weir {
namespace {

TEST(Render, PutsACaretUnderTheWordAndTheHintBesideIt) {
  const Error error{.message = "unknown word 'pot'", .place = Span{18, 21}, .hint = "did you mean 'port'?"};
  EXPECT_EQ(render(error, "host 10.0.0.1 and pot 80", {.program = "weir"}),
            "weir: error: unknown word 'pot'\n"
            "  host 10.0.0.1 and pot 80\n"
            "                    ^^^ did you mean 'port'?\n");
}

TEST(Render, NamesLineAndColumnInATextOfSeveralLines) {
  const Error error{.message = "bad", .place = Span{5, 6}, .source = "a.bpf"};
  EXPECT_EQ(render(error, "ret\n\tx\n"), "a.bpf:2:2: error: bad\n  \tx\n  \t^\n");
}

TEST(Render, PointsBehindTheLastCharacterForAPointAtTheEnd) {
  const Error error{.message = "missing ')'", .place = Span{4, 4}};
  EXPECT_EQ(render(error, "(tcp"), "error: missing ')'\n  (tcp\n      ^\n");
}

TEST(Render, CountsCharactersNotBytes) {
  const Error error{.message = "m", .place = Span{3, 4}};
  EXPECT_EQ(render(error, "\xc3\xa4 x"), "error: m\n  \xc3\xa4 x\n    ^\n");
}

TEST(Render, CutsALongLineAroundThePlace) {
  const std::string text = std::string(500, 'a') + " pot " + std::string(500, 'b');
  const Error error{.message = "m", .place = Span{501, 504}};
  const std::string out = render(error, text, {.width = 60});
  EXPECT_NE(out.find("pot"), std::string::npos);
  EXPECT_NE(out.find("^^^"), std::string::npos);
  for (std::size_t at = 0, next; (next = out.find('\n', at)) != std::string::npos; at = next + 1)
    EXPECT_LE(next - at, 70u);
  const std::size_t line = out.find('\n') + 1;
  EXPECT_EQ(out.find("pot", line) - line, out.find("^^^") - (out.find('\n', line) + 1));
}

TEST(Render, NeverPassesControlBytesOn) {
  const Error error{.message = "bad \x1b[31m", .place = Span{0, 1}};
  EXPECT_EQ(render(error, "\x1b]0;x\x07").find('\x1b'), std::string::npos);
}

TEST(Render, PassesOnlyWholeCharactersThatAreShown) {
  const Error error{.message = "\x80 \xc3( \xc2\x9b \xe2\x80\xae \xed\xa0\x80 \xf0\x9f\x90\x9d", .place = Span{0, 1}};
  EXPECT_EQ(render(error, ""), "error: ? ?( ? ? ??? \xf0\x9f\x90\x9d\n");
}

// Whatever the bytes are and wherever the place lies, three lines come out, none longer than asked for.
TEST(Render, CutsAnyBytes) {
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text(random() % 400, ' ');
    const bool wild = random() % 2 == 0;
    for (char& c : text) c = static_cast<char>(wild ? random() : random() % 3 == 0 ? 0x95 : 0xe2);
    const auto begin = static_cast<std::uint32_t>(random() % (text.size() + 2));
    const Error error{.message = "m", .place = Span{begin, begin + static_cast<std::uint32_t>(random() % 90)}};
    const std::size_t width = 20 + random() % 60;
    const std::string out = render(error, text, {.width = width});
    if (text.empty()) continue;
    ASSERT_EQ(std::count(out.begin(), out.end(), '\n'), 3) << round;
    const std::size_t line = out.find('\n') + 1;
    ASSERT_LE(out.find('\n', line) - line, 8 + 4 * width) << round;
  }
}

TEST(Render, SurvivesPlacesOutsideOfTheText) {
  for (std::uint32_t begin : {0u, 3u, 4u, 5u, 4000000000u})
    for (std::uint32_t end : {0u, 3u, 4u, 5u, 4000000000u})
      EXPECT_FALSE(render({.message = "m", .place = Span{begin, end}}, "abc\n").empty());
}

TEST(Render, ShowsInstructionAndOffset) {
  EXPECT_EQ(render({.message = "m", .place = InstructionPlace{3}}), "instruction 3: error: m\n");
  EXPECT_EQ(render({.message = "m", .place = OffsetPlace{24}, .source = "in.pcap", .hint = "h"}),
            "in.pcap: byte 24: error: m\n  h\n");
}

TEST(OneLine, HoldsPlaceMessageAndHint) {
  const Error error{.message = "m", .place = Span{2, 3}, .hint = "h"};
  EXPECT_EQ(one_line(error, "abc"), "1:3: m (h)");
}

}  // namespace
}  // namespace weir
