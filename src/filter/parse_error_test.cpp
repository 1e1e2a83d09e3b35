// Messages: what is said of a malformed expression, as it is shown.
#include <weir/filter/parse.h>

#include <gtest/gtest.h>

#include <weir/base/render.h>

namespace weir::filter {
namespace {

struct Case {
  const char* text;
  const char* message;
};

constexpr Case kCases[] = {
    {"host 10.0.0.1 and pot 80",
     "error: unknown word 'pot'\n"
     "  host 10.0.0.1 and pot 80\n"
     "                    ^^^ did you mean 'port'?\n"},
    {"TCP port 80",
     "error: unknown word 'TCP'\n"
     "  TCP port 80\n"
     "  ^^^ did you mean 'tcp'?\n"},
    {"tcp prot 80",
     "error: unknown word 'prot'\n"
     "  tcp prot 80\n"
     "      ^^^^ did you mean 'port'?\n"},
    {"host",
     "error: the expression ends where a name, a number or an address must follow 'host'\n"
     "  host\n"
     "      ^\n"},
    {"host 10.0.0.1 and",
     "error: the expression ends where a test must follow 'and'\n"
     "  host 10.0.0.1 and\n"
     "                   ^\n"},
    {"(host 10.0.0.1",
     "error: '(' is never closed\n"
     "  (host 10.0.0.1\n"
     "  ^ a ')' is missing\n"},
    {"host 10.0.0.1)",
     "error: ')' closes nothing\n"
     "  host 10.0.0.1)\n"
     "               ^ there is no '(' for it\n"},
    {"()",
     "error: nothing stands between the parentheses\n"
     "  ()\n"
     "  ^^\n"},
    {"tcp and ()",
     "error: nothing stands between the parentheses\n"
     "  tcp and ()\n"
     "          ^^\n"},
    {"ip proto tcp",
     "error: 'tcp' is a keyword, not a name\n"
     "  ip proto tcp\n"
     "           ^^^ if it is the name, write 'ip proto \\tcp'\n"},
    {"http",
     "error: unknown word 'http'\n"
     "  http\n"
     "  ^^^^ if it is a name, say of what: 'host http', 'port http'\n"},
    {"tcp.port == 80",
     "error: unknown word 'tcp.port'\n"
     "  tcp.port == 80\n"
     "  ^^^^^^^^ a display filter of Wireshark is another language; here 'tcp port 80'\n"},
    {"len-2 > 5",
     "error: unknown word 'len-2'\n"
     "  len-2 > 5\n"
     "  ^^^^^ to subtract, write 'len - 2' with blanks\n"},
    {"len > 5-2",
     "error: unknown word '5-2'\n"
     "  len > 5-2\n"
     "        ^^^ to subtract, write '5 - 2' with blanks\n"},
    {"ip[2:3] = 1",
     "error: 3 bytes cannot be loaded at once\n"
     "  ip[2:3] = 1\n"
     "       ^ the size is 1, 2 or 4\n"},
    {"ip[2 = 1",
     "error: '=' cannot stand in the brackets\n"
     "  ip[2 = 1\n"
     "       ^ a ']' is missing before it\n"},
    {"ip[] = 1",
     "error: an offset is missing between the brackets\n"
     "  ip[] = 1\n"
     "    ^^ as in 'tcp[13]'\n"},
    {"len => 5",
     "error: '=>' is no operator\n"
     "  len => 5\n"
     "      ^^ did you mean '>='?\n"},
    {"host a &&& port 80",
     "error: '&&&' is no operator\n"
     "  host a &&& port 80\n"
     "         ^^^ did you mean '&&'?\n"},
    {"host a & port 80",
     "error: '&' joins numbers, not tests\n"
     "  host a & port 80\n"
     "         ^ write 'and' or '&&'\n"},
    {"tcp & udp",
     "error: '&' joins numbers, not tests\n"
     "  tcp & udp\n"
     "      ^ write 'and' or '&&'\n"},
    {"tcp[13] & tcp-syn",
     "error: a comparison must follow this value\n"
     "  tcp[13] & tcp-syn\n"
     "                   ^ such as 'tcp[13] & tcp-syn != 0'\n"},
    {"tcp[13] & tcp-psh != 0",
     "error: unknown word 'tcp-psh'\n"
     "  tcp[13] & tcp-psh != 0\n"
     "            ^^^^^^^ did you mean 'tcp-push'?\n"},
    {"host 10.0.0.300",
     "error: '10.0.0.300' is no IPv4 address\n"
     "  host 10.0.0.300\n"
     "       ^^^^^^^^^^ each part is a decimal number up to 255\n"},
    {"net 10.0.0.0/33",
     "error: the prefix length 33 is greater than 32\n"
     "  net 10.0.0.0/33\n"
     "               ^^\n"},
    {"host 1:2:3",
     "error: '1:2:3' is neither a MAC nor an IPv6 address\n"
     "  host 1:2:3\n"
     "       ^^^^^ a MAC address has six groups, as in 00:11:22:33:44:55\n"},
    {"host fe80:1:2",
     "error: ':' cannot follow 'fe80'\n"
     "  host fe80:1:2\n"
     "           ^ a MAC address has six groups, an IPv6 address eight or '::'\n"},
    {"host 1::2::3",
     "error: '1::2::3' is neither a MAC nor an IPv6 address\n"
     "  host 1::2::3\n"
     "       ^^^^^^^ a MAC address has six groups, as in 00:11:22:33:44:55\n"},
    {"ether host 00:11:22:33:44",
     "error: '00:11:22:33:44' is neither a MAC nor an IPv6 address\n"
     "  ether host 00:11:22:33:44\n"
     "             ^^^^^^^^^^^^^^ a MAC address has six groups, as in 00:11:22:33:44:55\n"},
    {"10.0.0.1",
     "error: '10.0.0.1' needs a qualifier before it\n"
     "  10.0.0.1\n"
     "  ^^^^^^^^ such as 'host 10.0.0.1'\n"},
    {"80",
     "error: '80' needs a qualifier before it\n"
     "  80\n"
     "  ^^ such as 'port 80'\n"},
    {"tcp 80",
     "error: '80' cannot follow 'tcp' directly\n"
     "  tcp 80\n"
     "      ^^ say what it is, as in 'tcp port 80'\n"},
    {"ip 10.0.0.1",
     "error: '10.0.0.1' cannot follow 'ip' directly\n"
     "  ip 10.0.0.1\n"
     "     ^^^^^^^^ say what it is, as in 'ip host 10.0.0.1'\n"},
    {"port tcp 80",
     "error: 'tcp' cannot follow 'port'\n"
     "  port tcp 80\n"
     "       ^^^ the order is protocol, direction, type: 'tcp port'\n"},
    {"host src 10.0.0.1",
     "error: 'src' cannot follow 'host'\n"
     "  host src 10.0.0.1\n"
     "       ^^^ the order is protocol, direction, type: 'src host'\n"},
    {"src or port 80",
     "error: 'src or' must go on with 'dst'\n"
     "  src or port 80\n"
     "         ^^^^ or name the address after 'src', as in 'src host 10.0.0.1'\n"},
    {"src gateway foo",
     "error: 'gateway' takes no direction\n"
     "  src gateway foo\n"
     "      ^^^^^^^ leave out 'src'\n"},
    {"tcp and 10.0.0.1",
     "error: '10.0.0.1' needs a qualifier before it\n"
     "  tcp and 10.0.0.1\n"
     "          ^^^^^^^^ such as 'host 10.0.0.1'\n"},
    {"port 80,443",
     "error: unexpected character ','\n"
     "  port 80,443\n"
     "         ^ write 'or' between alternatives, or a set in braces: port {80, 443}\n"},
    {"vlan 200-100",
     "error: the range '200-100' is empty\n"
     "  vlan 200-100\n"
     "       ^^^^^^^ the smaller number comes first\n"},
    {"port {80 443}",
     "error: ',' or '}' must follow a member of a set\n"
     "  port {80 443}\n"
     "           ^^^\n"},
    {"port {80, tcp}",
     "error: 'tcp' cannot be a member of a set\n"
     "  port {80, tcp}\n"
     "            ^^^ as in 'port {80, 443}' or 'host {10.0.0.1, 10.0.1.0/24}'\n"},
    {"{80, 443}",
     "error: a set needs a qualifier before it\n"
     "  {80, 443}\n"
     "  ^ as in 'port {80, 443}'\n"},
    {"vlan tcp",
     "error: 'tcp' cannot follow 'vlan'\n"
     "  vlan tcp\n"
     "       ^^^ write 'and' or 'or' between tests\n"},
    {"less tcp",
     "error: a length must follow 'less'\n"
     "  less tcp\n"
     "       ^^^\n"},
    {"port 99999999999",
     "error: the number 99999999999 does not fit into 32 bits\n"
     "  port 99999999999\n"
     "       ^^^^^^^^^^^ the greatest is 4294967295, which is 0xffffffff\n"},
    {"port 089",
     "error: '089' is not an octal number\n"
     "  port 089\n"
     "       ^^^ a number that starts with 0 is octal\n"},
    {"ip[0] = ",
     "error: the expression ends where a value must follow '='\n"
     "  ip[0] = \n"
     "          ^\n"},
    {"not",
     "error: the expression ends where a test must follow 'not'\n"
     "  not\n"
     "     ^\n"},
    {"host a AND host b",
     "error: unknown word 'AND'\n"
     "  host a AND host b\n"
     "         ^^^ did you mean 'and'?\n"},
    {"host a or or b",
     "error: a test must follow 'or', not 'or'\n"
     "  host a or or b\n"
     "            ^^\n"},
    {"and host b",
     "error: nothing stands before 'and'\n"
     "  and host b\n"
     "  ^^^\n"},
    {"port 10.0.0.1",
     "error: 'port' takes ports, not an address\n"
     "  port 10.0.0.1\n"
     "       ^^^^^^^^ write 'host 10.0.0.1'\n"},
    {"net 10.0.0.0/255.0.0.0",
     "error: a prefix length must follow '/'\n"
     "  net 10.0.0.0/255.0.0.0\n"
     "               ^^^^^^^^^ write '10.0.0.0 mask 255.0.0.0'\n"},
    {"net 10/8",
     "error: a prefix length must follow an address with dots\n"
     "  net 10/8\n"
     "        ^ as in 'net 10.0.0.0/8'\n"},
    {"net 10 mask 255.0.0.0",
     "error: 'mask' must follow an IPv4 address with dots\n"
     "  net 10 mask 255.0.0.0\n"
     "         ^^^^ as in 'net 10.0.0.0 mask 255.0.0.0'\n"},
    {"host 10.0.0.1:80",
     "error: ':' cannot follow '10.0.0.1'\n"
     "  host 10.0.0.1:80\n"
     "               ^ for a port, write 'host 10.0.0.1 and port ...'\n"},
    {"subtype foo",
     "error: 'foo' is no 802.11 frame subtype\n"
     "  subtype foo\n"
     "          ^^^\n"},
    {"type mgt subtype becon",
     "error: 'becon' is no 802.11 frame subtype of this type\n"
     "  type mgt subtype becon\n"
     "                   ^^^^^ did you mean 'beacon'?\n"},
    {"llc foo",
     "error: 'foo' is no kind of LLC frame\n"
     "  llc foo\n"
     "      ^^^ one of i, s, u, rr, rnr, rej, ui, ua, disc, dm, sabme, test, xid, frmr\n"},
    {"action pas",
     "error: 'pas' is no action of pf\n"
     "  action pas\n"
     "         ^^^ did you mean 'pass'?\n"},
    {"byte 1 != 2",
     "error: one of = < > & | must follow '1'\n"
     "  byte 1 != 2\n"
     "         ^^ 'link[INDEX]' can be compared in every way\n"},
    {"tcp[tcpflags] == tcp-syn or tcp-ack",
     "error: 'tcp-ack' is a number, not a test\n"
     "  tcp[tcpflags] == tcp-syn or tcp-ack\n"
     "                              ^^^^^^^ compare it, as in 'tcp[tcpflags] & tcp-ack != 0'\n"},
    {"tcp[tcpflags] & (tcp-syn|tcp-ack",
     "error: '(' is never closed\n"
     "  tcp[tcpflags] & (tcp-syn|tcp-ack\n"
     "                  ^ a ')' is missing\n"},
    {"tcp[13 == 2",
     "error: '==' cannot stand in the brackets\n"
     "  tcp[13 == 2\n"
     "         ^^ a ']' is missing before it\n"},
    {"host \"a\"",
     "error: unexpected character '\"'\n"
     "  host \"a\"\n"
     "       ^ quotes are for the shell, not for the expression\n"},
    {"tcp dst port 80 and (host a or host b",
     "error: '(' is never closed\n"
     "  tcp dst port 80 and (host a or host b\n"
     "                      ^ a ')' is missing\n"},
    {"(1 = 1) = 1",
     "error: '=' cannot follow a test\n"
     "  (1 = 1) = 1\n"
     "          ^ it works on numbers\n"},
    {"1 < 2 < 3",
     "error: '<' cannot follow a test\n"
     "  1 < 2 < 3\n"
     "        ^ it works on numbers\n"},
    {"port (80 or tcp)",
     "error: 'tcp' cannot stand in a list of names or numbers\n"
     "  port (80 or tcp)\n"
     "              ^^^ a list holds no tests; if it is a name, write '\\tcp'\n"},
    {"host ((a) or b)",
     "error: 'a' cannot stand in parentheses of its own at the start of a list\n"
     "  host ((a) or b)\n"
     "         ^ leave out the parentheses around it\n"},
    {"tcp-syn",
     "error: 'tcp-syn' is a number, not a test\n"
     "  tcp-syn\n"
     "  ^^^^^^^ compare it, as in 'tcp[tcpflags] & tcp-syn != 0'\n"},
    {"$",
     "error: '$' needs one or two hexadecimal digits\n"
     "  $\n"
     "  ^ as in 'ether host $2a'\n"},
    {"\\",
     "error: a name must follow '\\'\n"
     "  \\\n"
     "  ^ as in 'ip proto \\tcp'\n"},
    {"tcp port http host foo",
     "error: 'host' cannot follow 'http'\n"
     "  tcp port http host foo\n"
     "                ^^^^ write 'and' or 'or' between tests\n"},
    {"ip6 host",
     "error: the expression ends where a name, a number or an address must follow 'host'\n"
     "  ip6 host\n"
     "          ^\n"},
    {"portrange 1 - 5",
     "error: a range of ports is one word\n"
     "  portrange 1 - 5\n"
     "              ^ write '1-...' without blanks\n"},
    {"tcp[0] + udp",
     "error: 'udp' has no value\n"
     "  tcp[0] + udp\n"
     "           ^^^ its bytes are 'udp[...]'\n"},
    {"tcp[0] = = 2",
     "error: a value must follow '=', not '='\n"
     "  tcp[0] = = 2\n"
     "           ^ a number, 'len' or bytes such as 'tcp[13]'\n"},
    {"dst 10.0.0.1 src 10.0.0.2",
     "error: 'src' cannot follow '10.0.0.1'\n"
     "  dst 10.0.0.1 src 10.0.0.2\n"
     "               ^^^ write 'and' or 'or' between tests\n"},
    {"ip host ip 10.0.0.1",
     "error: 'ip' is a keyword, not a name\n"
     "  ip host ip 10.0.0.1\n"
     "          ^^ if it is the name, write 'ip host \\ip'\n"},
    {"icmp[icmptype] = icmp-echo and nto host a",
     "error: unknown word 'nto'\n"
     "  icmp[icmptype] = icmp-echo and nto host a\n"
     "                                 ^^^ did you mean 'not'?\n"},
    {"not not",
     "error: the expression ends where a test must follow 'not'\n"
     "  not not\n"
     "         ^\n"},
    {"tcp port",
     "error: the expression ends where a name, a number or an address must follow 'port'\n"
     "  tcp port\n"
     "          ^\n"},
    {"ether proto ip",
     "error: 'ip' is a keyword, not a name\n"
     "  ether proto ip\n"
     "              ^^ if it is the name, write 'ether proto \\ip'\n"},
    {"host é",
     "error: unexpected character 'é'\n"
     "  host é\n"
     "       ^\n"},
    {"vpi (1 and 2)",
     "error: 'or' or ')' must follow the number\n"
     "  vpi (1 and 2)\n"
     "         ^^^ this list takes numbers and 'or' alone\n"},
    {"vlan (5",
     "error: '(' is never closed\n"
     "  vlan (5\n"
     "       ^ a ')' is missing\n"},
    {"mpls 5 6",
     "error: '6' cannot follow '5'\n"
     "  mpls 5 6\n"
     "         ^ write 'and' or 'or' between tests\n"},
    {"tcp[0:1",
     "error: '[' is never closed\n"
     "  tcp[0:1\n"
     "     ^ a ']' is missing\n"},
    {"host a b",
     "error: 'b' cannot follow 'a'\n"
     "  host a b\n"
     "         ^ write 'and' or 'or' between tests\n"},
    {"ip broadcast multicast",
     "error: 'multicast' cannot follow 'broadcast'\n"
     "  ip broadcast multicast\n"
     "               ^^^^^^^^^ write 'and' or 'or' between tests\n"},
    {"-1",
     "error: a comparison must follow this value\n"
     "  -1\n"
     "    ^ such as '-1 != 0'\n"},
    {"len",
     "error: a comparison must follow this value\n"
     "  len\n"
     "     ^ such as 'len != 0'\n"},
    {"(len)",
     "error: a comparison must follow this value\n"
     "  (len)\n"
     "       ^ such as '(len) != 0'\n"},
    {"(len) and tcp",
     "error: a comparison must follow this value\n"
     "  (len) and tcp\n"
     "        ^^^ such as '(len) != 0'\n"},
    {"!",
     "error: the expression ends where a test must follow '!'\n"
     "  !\n"
     "   ^\n"},
    {"src",
     "error: the expression ends where a name, a number or an address must follow 'src'\n"
     "  src\n"
     "     ^\n"},
    {"src and",
     "error: 'src and' must go on with 'dst'\n"
     "  src and\n"
     "         ^ or name the address after 'src', as in 'src host 10.0.0.1'\n"},
    {"src and tcp",
     "error: 'src and' must go on with 'dst'\n"
     "  src and tcp\n"
     "          ^^^ or name the address after 'src', as in 'src host 10.0.0.1'\n"},
    {"ipp and tcp",
     "error: unknown word 'ipp'\n"
     "  ipp and tcp\n"
     "  ^^^ did you mean 'ip'?\n"},
    {"Host 10.0.0.1",
     "error: unknown word 'Host'\n"
     "  Host 10.0.0.1\n"
     "  ^^^^ did you mean 'host'?\n"},
    {"tcp PORT 80",
     "error: unknown word 'PORT'\n"
     "  tcp PORT 80\n"
     "      ^^^^ did you mean 'port'?\n"},
    {"tcp[0] < > 1",
     "error: a value must follow '<', not '>'\n"
     "  tcp[0] < > 1\n"
     "           ^ a number, 'len' or bytes such as 'tcp[13]'\n"},
    {"tcp === 1",
     "error: '==' cannot follow a test\n"
     "  tcp === 1\n"
     "      ^^ 'tcp' has no value; bytes are written as in 'tcp[13]'\n"},
    {"tcp &&& udp",
     "error: '&&&' is no operator\n"
     "  tcp &&& udp\n"
     "      ^^^ did you mean '&&'?\n"},
    {"tcp ||| udp",
     "error: '|||' is no operator\n"
     "  tcp ||| udp\n"
     "      ^^^ did you mean '||'?\n"},
    {"len !== 5",
     "error: '!==' is no operator\n"
     "  len !== 5\n"
     "      ^^^ did you mean '!='?\n"},
    {"net 10.0.0.0 mask 8",
     "error: an IPv4 mask must follow 'mask'\n"
     "  net 10.0.0.0 mask 8\n"
     "                    ^ as in 'net 10.0.0.0 mask 255.0.0.0'\n"},
    {"udp port 53 adn host a",
     "error: unknown word 'adn'\n"
     "  udp port 53 adn host a\n"
     "              ^^^ did you mean 'and'?\n"},
    {"icmp-echo",
     "error: 'icmp-echo' is a number, not a test\n"
     "  icmp-echo\n"
     "  ^^^^^^^^^ compare it, as in 'icmp[icmptype] = icmp-echo'\n"},
    {"host a and (b or port 80)",
     "error: 'port' cannot stand in a list of names or numbers\n"
     "  host a and (b or port 80)\n"
     "                   ^^^^ a list holds no tests; if it is a name, write '\\port'\n"},
    {"tcp]",
     "error: ']' closes nothing\n"
     "  tcp]\n"
     "     ^\n"},
    {"ip[0] [1] = 1",
     "error: '[' must follow a protocol\n"
     "  ip[0] [1] = 1\n"
     "        ^ only protocols have bytes, as in 'tcp[13]'\n"},
    {"wlan type foo",
     "error: 'foo' is no 802.11 frame type\n"
     "  wlan type foo\n"
     "            ^^^ one of mgt, management, ctl, control, data\n"},
    {"tcp 80-90",
     "error: '80-90' cannot follow 'tcp' directly\n"
     "  tcp 80-90\n"
     "      ^^^^^ say what it is, as in 'tcp port 80-90'\n"},
    {"ip proto udp or tcp",
     "error: 'udp' is a keyword, not a name\n"
     "  ip proto udp or tcp\n"
     "           ^^^ if it is the name, write 'ip proto \\udp'\n"},
    {"host 10.0.0.1/24/3",
     "error: '/' cannot follow a test\n"
     "  host 10.0.0.1/24/3\n"
     "                  ^ it works on numbers\n"},
};

class Message : public testing::TestWithParam<Case> {};

TEST_P(Message, IsShown) {
  const auto ast = parse(GetParam().text);
  ASSERT_FALSE(ast.has_value());
  EXPECT_EQ(render(ast.error(), GetParam().text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Parse, Message, testing::ValuesIn(kCases));

// The first thing wrong is reported, also when a later word cannot be read at all.
TEST(Message, TheFirstErrorIsReported) {
  const auto early = parse("tcp udp , port 80");
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(std::get<Span>(early.error().place), (Span{4, 7}));
  const auto late = parse("tcp and , port 80");
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(std::get<Span>(late.error().place), (Span{8, 9}));
}

}  // namespace
}  // namespace weir::filter
