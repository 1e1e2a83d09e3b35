#include "filter/lex.h"

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/filter/parse.h>

namespace weir::filter {
namespace {

// "kind:text" of each word but the end, with blanks between; the error if there is one.
std::string words_of(std::string_view text) {
  static constexpr std::string_view kKinds[] = {"end", "bad",  "name", "num", "ip",  "ip6",
                                                "mac", "mac8", "file", "key", "sign"};
  const Words words = lex(text);
  std::string out;
  for (const Token& token : words.tokens) {
    EXPECT_LE(token.span.end, text.size());
    if (token.kind == TokenKind::kEnd) break;
    if (!out.empty()) out += ' ';
    if (token.kind == TokenKind::kBad) return out + "ERROR " + one_line(*words.error, text);
    out += std::string(kKinds[static_cast<std::size_t>(token.kind)]) + ":" + std::string(token.text);
    if (token.kind == TokenKind::kNumber) out += "=" + std::to_string(token.value);
  }
  return out;
}

TEST(Lex, NumbersInThreeBases) {
  EXPECT_EQ(words_of("0 10 010 0x1F 0X1f 4294967295"),
            "num:0=0 num:10=10 num:010=8 num:0x1F=31 num:0X1f=31 num:4294967295=4294967295");
  EXPECT_EQ(words_of("0037777777777 0xffffffff"), "num:0037777777777=4294967295 num:0xffffffff=4294967295");
}

TEST(Lex, NumbersThatAreNone) {
  EXPECT_EQ(words_of("4294967296"),
            "ERROR 1:1: the number 4294967296 does not fit into 32 bits "
            "(the greatest is 4294967295, which is 0xffffffff)");
  EXPECT_EQ(words_of("0x100000000").substr(0, 5), "ERROR");
  EXPECT_EQ(words_of("0040000000000").substr(0, 5), "ERROR");
  EXPECT_EQ(words_of("port 09"),
            "key:port ERROR 1:6: '09' is not an octal number (a number that starts with 0 is octal)");
  EXPECT_EQ(words_of("0x"), "name:0x");
  EXPECT_EQ(words_of("0xg1 12ab"), "name:0xg1 name:12ab");
}

TEST(Lex, TheLongestFormWins) {
  EXPECT_EQ(words_of("len-2"), "name:len-2");
  EXPECT_EQ(words_of("len -2"), "key:len sign:- num:2=2");
  EXPECT_EQ(words_of("2-1 80-90"), "name:2-1 name:80-90");
  EXPECT_EQ(words_of("a- b_ c"), "name:a sign:- name:b ERROR 1:5: unexpected character '_'");
  EXPECT_EQ(words_of("ports port1 portrange"), "name:ports name:port1 key:portrange");
  EXPECT_EQ(words_of("10.0.0.1or 10.0.0.1-x"), "name:10.0.0.1or name:10.0.0.1-x");
  EXPECT_EQ(words_of("1.2.3.4.5 www.example.org. 10."), "name:1.2.3.4.5 name:www.example.org. name:10.");
}

TEST(Lex, Ipv4) {
  EXPECT_EQ(words_of("10.1 10.1.2 10.1.2.3 300.1 0x0a.1"), "ip:10.1 ip:10.1.2 ip:10.1.2.3 ip:300.1 ip:0x0a.1");
  EXPECT_EQ(words_of("10.0.0.0/8"), "ip:10.0.0.0 sign:/ num:8=8");
}

TEST(Lex, MacAddresses) {
  EXPECT_EQ(words_of("00:11:22:33:44:55 0-1-2-3-4-f a.b.c.d.e.f 0011.2233.4455 001122334455 012345670123"),
            "mac:00:11:22:33:44:55 mac:0-1-2-3-4-f mac:a.b.c.d.e.f mac:0011.2233.4455 mac:001122334455 "
            "mac:012345670123");
  EXPECT_EQ(words_of("1.2.3.4.5.6"), "mac:1.2.3.4.5.6");
  EXPECT_EQ(words_of("0011223344556"), "num:0011223344556=1246611822");
  EXPECT_EQ(words_of("1:2:3:4:5:678"), "mac:1:2:3:4:5:67 num:8=8");
  EXPECT_EQ(words_of("$a $2A $2ab"), "mac8:$a mac8:$2A mac8:$2a name:b");
  EXPECT_EQ(words_of("1:2:3").substr(0, 10), "ERROR 1:1:");
  EXPECT_EQ(words_of("1:2:3:4:5:6:7").substr(0, 10), "ERROR 1:1:");
  EXPECT_EQ(words_of("$x").substr(0, 5), "ERROR");
}

TEST(Lex, Ipv6) {
  for (const char* address :
       {"::", "::1", "fe80::", "fe80::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
        "::ffff:10.0.0.1", "1:2:3:4:5:6:10.0.0.1", "::10.0.0.1", "a:b::c", "1:2:3:4:5::10.0.0.1", "2001:DB8::10"})
    EXPECT_EQ(words_of(address), std::string("ip6:") + address);
  EXPECT_EQ(words_of("::1or"), "ip6:::1 key:or");
  EXPECT_EQ(words_of("::1and"), "ip6:::1a name:nd");
  EXPECT_EQ(words_of("::12345"), "ip6:::1234 num:5=5");
  EXPECT_EQ(words_of("::1.2.3.400"), "ERROR 1:1: '::1.2.3.400' is no IPv6 address");
  EXPECT_EQ(words_of("1::2::3").substr(0, 10), "ERROR 1:1:");
  EXPECT_EQ(words_of("fe80:1:2"), "name:fe80 sign:: num:1=1 sign:: num:2=2");
}

TEST(Lex, ColonsInBracketsPartOffsetAndSize) {
  EXPECT_EQ(words_of("ip[2:2]"), "key:ip sign:[ num:2=2 sign:: num:2=2 sign:]");
  EXPECT_EQ(words_of("link[0x10:4]"), "key:link sign:[ num:0x10=16 sign:: num:4=4 sign:]");
  EXPECT_EQ(words_of("tcp[tcpflags:1]"), "key:tcp sign:[ num:tcpflags=13 sign:: num:1=1 sign:]");
}

TEST(Lex, EscapedNames) {
  EXPECT_EQ(words_of("\\tcp"), "name:tcp");
  EXPECT_EQ(words_of("(\\tcp)"), "sign:( name:tcp sign:)");
  EXPECT_EQ(words_of("\\a=b!"), "name:a=b key:!");
  EXPECT_EQ(words_of("\\ x").substr(0, 5), "ERROR");
  const Words words = lex("\\tcp");
  EXPECT_EQ(words.tokens[0].span, (Span{0, 4}));
}

TEST(Lex, SignsAndTheirWords) {
  EXPECT_EQ(words_of("a&&b||!c"), "name:a key:&& name:b key:|| key:! name:c");
  EXPECT_EQ(words_of("= == != < <= > >= << >>"),
            "sign:= sign:== sign:!= sign:< sign:<= sign:> sign:>= sign:<< sign:>>");
  EXPECT_EQ(words_of("+-*/%&|^()"), "sign:+ sign:- sign:* sign:/ sign:% sign:& sign:| sign:^ sign:( sign:)");
}

TEST(Lex, KeywordsAreCaseSensitive) {
  EXPECT_EQ(words_of("tcp TCP Tcp"), "key:tcp name:TCP name:Tcp");
  EXPECT_EQ(words_of("ether ppp slip fddi tr wlan es-is is-is"),
            "key:ether key:ppp key:slip key:fddi key:tr key:wlan key:es-is key:is-is");
  const Words words = lex("ether wlan");
  EXPECT_EQ(words.tokens[0].keyword->value, static_cast<std::uint32_t>(Protocol::kLink));
  EXPECT_EQ(words.tokens[1].keyword->value, static_cast<std::uint32_t>(Protocol::kLink));
}

TEST(Lex, NamedNumbers) {
  EXPECT_EQ(words_of("tcpflags tcp-push tcp-cwr icmp-maskreply icmp6type icmp6-multicastrouterterm"),
            "num:tcpflags=13 num:tcp-push=8 num:tcp-cwr=128 num:icmp-maskreply=18 num:icmp6type=0 "
            "num:icmp6-multicastrouterterm=153");
  EXPECT_EQ(words_of("tcp-psh"), "name:tcp-psh");
}

TEST(Lex, BytesThatNoWordHas) {
  EXPECT_EQ(words_of("a,b"),
            "name:a ERROR 1:2: unexpected character ',' (write 'or' between alternatives, or a set in braces: port "
            "{80, 443})");
  EXPECT_EQ(words_of("\xc3\xa9"), "ERROR 1:1: unexpected character '\xc3\xa9'");
  EXPECT_EQ(words_of("\x80"), "ERROR 1:1: unexpected byte 0x80");
  EXPECT_EQ(words_of(std::string_view("tcp\0", 4)), "key:tcp ERROR 1:4: unexpected byte 0x00");
}

TEST(Lex, TokensAsText) {
  EXPECT_EQ(write_tokens("port \\tcp or 80").value(),
            "0-4 keyword port\n5-9 name tcp\n10-12 keyword or\n13-15 number 80\n15-15 end\n");
  EXPECT_FALSE(write_tokens("a,").has_value());
}

TEST(Tidy, CutsTheMiddleAndControlCharacters) {
  EXPECT_EQ(tidy("a\r\x01z"), "a??z");
  const std::string cut = tidy(std::string(500, 'x'));
  EXPECT_EQ(cut.size(), 143u);
  EXPECT_NE(cut.find("x...x"), std::string::npos);
  std::string accents;
  for (int i = 0; i < 200; ++i) accents += "\xc3\xa9";
  EXPECT_EQ(static_cast<unsigned char>(tidy("x" + accents)[70]), 0x2eu);  // never in the middle of a character
}

}  // namespace
}  // namespace weir::filter
