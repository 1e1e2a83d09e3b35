// Trees: what is parsed, in the text form of write().
#include <weir/filter/parse.h>

#include <gtest/gtest.h>

#include <weir/base/render.h>

namespace weir::filter {
namespace {

std::string short_form(const Ast& ast, NodeId id);

// "host:10.0.0.1" with qualifiers before it
std::string primitive(const Node& node) {
  std::string out;
  if (node.qualifiers.protocol != Protocol::kDefault) out += std::string(name_of(node.qualifiers.protocol)) + " ";
  if (node.qualifiers.direction != Direction::kDefault) out += std::string(name_of(node.qualifiers.direction)) + " ";
  if (node.qualifiers.type != Type::kDefault) out += std::string(name_of(node.qualifiers.type)) + " ";
  return out + node.id.text;
}

std::string arithmetic(const Ast& ast, const Node& node) {
  static constexpr std::string_view kSigns[] = {"", "len", "", "-", "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"};
  const std::string sign(kSigns[static_cast<std::size_t>(node.arithmetic)]);
  switch (node.arithmetic) {
    case ArithmeticOp::kNumber: return std::to_string(node.number);
    case ArithmeticOp::kLength: return sign;
    case ArithmeticOp::kLoad:
      return std::string(name_of(node.qualifiers.protocol)) + "[" + short_form(ast, node.children[0]) + ":" +
             std::to_string(node.number) + "]";
    case ArithmeticOp::kNegate: return "(-" + short_form(ast, node.children[0]) + ")";
    default: return "(" + short_form(ast, node.children[0]) + sign + short_form(ast, node.children[1]) + ")";
  }
}

// The tree on one line, fully in parentheses; for shallow trees.
std::string short_form(const Ast& ast, NodeId id) {
  const Node& node = ast[id];
  static constexpr std::string_view kRelations[] = {"=", "!=", ">", ">=", "<", "<="};
  switch (node.kind) {
    case NodeKind::kEmpty: return "empty";
    case NodeKind::kPrimitive: return primitive(node);
    case NodeKind::kProtocol: return std::string(name_of(node.qualifiers.protocol));
    case NodeKind::kNot: return "not(" + short_form(ast, node.children[0]) + ")";
    case NodeKind::kArithmetic: return arithmetic(ast, node);
    case NodeKind::kRelation:
      return short_form(ast, node.children[0]) + " " +
             std::string(kRelations[static_cast<std::size_t>(node.relation)]) + " " + short_form(ast, node.children[1]);
    case NodeKind::kAnd:
    case NodeKind::kOr: {
      std::string out = node.kind == NodeKind::kAnd ? "and(" : "or(";
      for (std::size_t i = 0; i < node.children.size(); ++i)
        out += (i > 0 ? ", " : "") + short_form(ast, node.children[i]);
      return out + ")";
    }
    case NodeKind::kSpecial: {
      std::string out = "special";
      for (const std::uint32_t value : node.values) out += " " + std::to_string(value);
      return out + (node.name.empty() ? "" : " " + node.name);
    }
  }
  return "?";
}

std::string tree(std::string_view text) {
  const auto ast = parse(text);
  if (!ast) return "ERROR " + one_line(ast.error(), text);
  return short_form(*ast, ast->root);
}

std::string value(std::string_view text) {
  const std::string whole = tree("len = " + std::string(text));
  return whole.substr(0, 6) == "len = " ? whole.substr(6) : whole;
}

bool refused(std::string_view text) { return !parse(text).has_value(); }

TEST(Parse, Empty) {
  EXPECT_EQ(tree(""), "empty");
  EXPECT_EQ(tree(" \t\n"), "empty");
}

TEST(Parse, TextForm) {
  EXPECT_EQ(write(parse("tcp dst port 80 and not (net 10.0.0.0/8 or vlan 5) or tcp[13] & 2 != 0").value()),
            "or @0-70\n"
            "  and @0-50\n"
            "    primitive protocol=tcp direction=dst type=port number 80 @0-15\n"
            "    not @20-50\n"
            "      or @24-50\n"
            "        primitive protocol=default direction=default type=net ipv4/prefix 10.0.0.0/8 @25-39\n"
            "        special vlan = 5 @43-49\n"
            "  relation != @54-70\n"
            "    & @54-65\n"
            "      load tcp 1 @54-61\n"
            "        number 13 @58-60\n"
            "      number 2 @64-65\n"
            "    number 0 @69-70\n");
}

TEST(Parse, AndAndOrHaveEqualPrecedence) {
  EXPECT_EQ(tree("tcp or udp and arp"), "and(or(tcp, udp), arp)");
  EXPECT_EQ(tree("tcp and udp or arp"), "or(and(tcp, udp), arp)");
  EXPECT_EQ(tree("tcp or udp or arp or rarp"), "or(tcp, udp, arp, rarp)");
  EXPECT_EQ(tree("tcp or (udp and arp)"), "or(tcp, and(udp, arp))");
  EXPECT_EQ(tree("not tcp and udp"), "and(not(tcp), udp)");
  EXPECT_EQ(tree("not (tcp and udp)"), "not(and(tcp, udp))");
  EXPECT_EQ(tree("! ! tcp && udp || arp"), "or(and(not(not(tcp)), udp), arp)");
}

TEST(Parse, QualifiersAreInherited) {
  EXPECT_EQ(tree("host a or b"), "or(host a, host b)");
  EXPECT_EQ(tree("tcp src port 80 or 81 and 82"), "and(or(tcp src port 80, tcp src port 81), tcp src port 82)");
  EXPECT_EQ(tree("port (80 or 81)"), "or(port 80, port 81)");
  EXPECT_EQ(tree("port (80 and 81 or not 82) or 83"), "or(or(and(port 80, port 81), not(port 82)), port 83)");
  EXPECT_EQ(tree("host a and not b"), "and(host a, not(host b))");
  EXPECT_EQ(tree("host not a and (not b)"), "and(not(host a), not(host b))");
  EXPECT_EQ(tree("host a and (b or c)"), "and(host a, or(host b, host c))");
  EXPECT_EQ(tree("host a and port 80 or 81"), "or(and(host a, port 80), port 81)");
  EXPECT_EQ(tree("(host a) or (port 80)"), "or(host a, port 80)");
}

// After parentheses the qualifiers from before them hold again; a protocol or a relation leaves none.
TEST(Parse, WhatIsInheritedAfterParentheses) {
  EXPECT_EQ(tree("host a and (port 80 or 81) and b"), "and(host a, or(port 80, port 81), host b)");
  EXPECT_EQ(tree("host a and (tcp) and b"), "and(host a, tcp, host b)");
  EXPECT_TRUE(refused("host a and tcp and b"));
  EXPECT_TRUE(refused("host a and len > 5 and b"));
  EXPECT_TRUE(refused("host a and vlan and b"));
  EXPECT_TRUE(refused("(host a) and b"));
  EXPECT_EQ(tree("host a and 80 = 80 or (1)=1"), "or(and(host a, 80 = 80), 1 = 1)");
}

TEST(Parse, ListsOfIdentifiersAsLibpcapHasThem) {
  EXPECT_EQ(tree("port ((80) or 81)"), "or(port 80, port 81)");
  EXPECT_EQ(tree("port (80 or (81 or 82))"), "or(port 80, or(port 81, port 82))");
  EXPECT_EQ(tree("host (not (a))"), "not(host a)");
  EXPECT_TRUE(refused("host ((a) or b)"));
  EXPECT_TRUE(refused("port ((80 or 81))"));
  EXPECT_TRUE(refused("host a and (b or port 80)"));
  EXPECT_EQ(tree("host a and (port 80 or b)"), "and(host a, or(port 80, port b))");
  EXPECT_TRUE(refused("port (80 or tcp)"));
  EXPECT_TRUE(refused("port (1 = 1)"));
}

TEST(Parse, Directions) {
  EXPECT_EQ(tree("src or dst host a"), "src or dst host a");
  EXPECT_EQ(tree("dst or src port 80"), "src or dst port 80");
  EXPECT_EQ(tree("src and dst net 10.1"), "src and dst net 10.1");
  EXPECT_EQ(tree("ip dst and src a"), "ip src and dst a");
  EXPECT_EQ(tree("wlan addr1 00:11:22:33:44:55"), "link addr1 00:11:22:33:44:55");
  EXPECT_EQ(tree("wlan address4 host 00:11:22:33:44:55"), "link addr4 host 00:11:22:33:44:55");
  EXPECT_EQ(tree("wlan ra 00:11:22:33:44:55 or ta 00:11:22:33:44:55"),
            "or(link ra 00:11:22:33:44:55, ta 00:11:22:33:44:55)");
  EXPECT_TRUE(refused("src or port 80"));
  EXPECT_TRUE(refused("src and src a"));
  EXPECT_TRUE(refused("src dst a"));
  EXPECT_TRUE(refused("ra or ta a"));
  EXPECT_TRUE(refused("src gateway a"));
  EXPECT_TRUE(refused("src proto \\tcp"));
  EXPECT_TRUE(refused("host src a"));
}

TEST(Parse, Types) {
  EXPECT_EQ(tree("ip proto \\tcp or 17"), "or(ip proto tcp, ip proto 17)");
  EXPECT_EQ(tree("ip6 protochain 6"), "ip6 protochain 6");
  EXPECT_EQ(tree("gateway snup"), "gateway snup");
  EXPECT_EQ(tree("portrange 80-90"), "portrange 80-90");
  EXPECT_TRUE(refused("tcp udp port 80"));
  EXPECT_TRUE(refused("host port 80"));
}

TEST(Parse, Identifiers) {
  const auto only = [](std::string_view text) {
    const Ast ast = parse(text).value();
    return ast[ast.root].id;
  };
  EXPECT_EQ(only("net 10.0.0.0/8").kind, IdKind::kIpv4Prefix);
  EXPECT_EQ(only("net 10.0.0.0/8").number, 8u);
  EXPECT_EQ(only("net 10.0 mask 255.0").kind, IdKind::kIpv4Mask);
  EXPECT_EQ(only("net 10.0 mask 255.0").second, "255.0");
  EXPECT_EQ(only("host fe80::1").kind, IdKind::kIpv6);
  EXPECT_EQ(only("net fe80::/10").kind, IdKind::kIpv6Prefix);
  EXPECT_EQ(only("ether host 0:1:2:3:4:5").kind, IdKind::kMac48);
  EXPECT_EQ(only("ether host $2a").kind, IdKind::kMac8);
  EXPECT_EQ(only("port 0x50").number, 80u);
  EXPECT_EQ(only("port (((80)))").span, (Span{8, 10}));
  EXPECT_EQ(only("decnet host 10.1023").kind, IdKind::kIpv4);  // checked by the binder
  EXPECT_TRUE(refused("host 10.1023"));
  EXPECT_TRUE(refused("net 10.0.0.0/33"));
  EXPECT_TRUE(refused("net fe80::/129"));
  EXPECT_TRUE(refused("net 10/8"));
  EXPECT_TRUE(refused("net 10 mask 255.0.0.0"));
  EXPECT_TRUE(refused("port 10.0.0.1"));
  EXPECT_TRUE(refused("proto fe80::1"));
}

TEST(Parse, ArithmeticPrecedence) {
  EXPECT_EQ(value("1 + 2 * 3"), "(1+(2*3))");
  EXPECT_EQ(value("1 * 2 + 3"), "((1*2)+3)");
  EXPECT_EQ(value("1 - 2 - 3"), "((1-2)-3)");
  EXPECT_EQ(value("8 / 4 / 2"), "((8/4)/2)");
  EXPECT_EQ(value("1 | 2 & 3 << 4 + 5"), "(1|(2&(3<<(4+5))))");
  EXPECT_EQ(value("1 + 2 << 3 & 4 | 5"), "((((1+2)<<3)&4)|5)");
  EXPECT_EQ(value("1 >> 2 << 3"), "((1>>2)<<3)");
  EXPECT_EQ(value("- 1 + 2"), "((-1)+2)");
  EXPECT_EQ(value("1 + - - 2 * 3"), "(1+((-(-2))*3))");
  EXPECT_EQ(value("(1 + 2) * 3"), "((1+2)*3)");
  EXPECT_EQ(value("((1) + 2) * (3)"), "((1+2)*3)");
}

// libpcap gives % and ^ no precedence, so that its parser shifts.
TEST(Parse, RemainderAndExclusiveOrTakeAllThatFollows) {
  EXPECT_EQ(value("7 % 3 + 2"), "(7%(3+2))");
  EXPECT_EQ(value("2 + 7 % 4"), "(2+(7%4))");
  EXPECT_EQ(value("1 ^ 1 + 1"), "(1^(1+1))");
  EXPECT_EQ(value("2 * 3 % 4 * 5 | 6"), "(2*(3%((4*5)|6)))");
  EXPECT_EQ(value("1 % 2 % 3"), "(1%(2%3))");
  EXPECT_EQ(value("1 ^ 2 % 3 ^ 4"), "(1^(2%(3^4)))");
  EXPECT_EQ(value("- 7 % 3"), "(-(7%3))");
}

TEST(Parse, Loads) {
  EXPECT_EQ(tree("tcp[13] = 2"), "tcp[13:1] = 2");
  EXPECT_EQ(tree("ip[2:2] > len - 1"), "ip[2:2] > (len-1)");
  EXPECT_EQ(tree("tcp[(tcp[12] >> 2):4] = 0x47455420"), "tcp[(tcp[12:1]>>2):4] = 1195725856");
  EXPECT_EQ(tree("ip[ip[0] & 0xf] = ip6[1] + 1"), "ip[(ip[0:1]&15):1] = (ip6[1:1]+1)");
  EXPECT_TRUE(refused("ip[0:3] = 1"));
  EXPECT_TRUE(refused("ip[0:(2)] = 1"));
  EXPECT_TRUE(refused("ip[] = 1"));
  EXPECT_TRUE(refused("ip[1 = 1"));
  EXPECT_TRUE(refused("ip[1 = 1] = 1"));
}

TEST(Parse, ParenthesesOfArithmeticAndOfTests) {
  EXPECT_EQ(tree("(ip[0] & 0xf) = 5"), "(ip[0:1]&15) = 5");
  EXPECT_EQ(tree("((tcp[0:2]) > 5) or (udp)"), "or(tcp[0:2] > 5, udp)");
  EXPECT_EQ(tree("(((1) + 2) = 3) and ((4)) = 4"), "and((1+2) = 3, 4 = 4)");
  EXPECT_EQ(tree("not (1) = 1"), "not(1 = 1)");
  EXPECT_EQ(tree("not (1 = 1)"), "not(1 = 1)");
  EXPECT_EQ(tree("port 80 and (81)"), "and(port 80, port 81)");
  EXPECT_EQ(tree("port 80 and (81) = 81"), "and(port 80, 81 = 81)");
  EXPECT_EQ(tree("port 80 and (81 or 82)"), "and(port 80, or(port 81, port 82))");
  EXPECT_EQ(tree("port 80 and ((81 + 1) = 82)"), "and(port 80, (81+1) = 82)");
  EXPECT_TRUE(refused("(1 = 1) = 1"));
  EXPECT_TRUE(refused("1 < 2 < 3"));
  EXPECT_TRUE(refused("(tcp) + 1 = 2"));
  EXPECT_TRUE(refused("(80)"));
  EXPECT_TRUE(refused("(80 or 81)"));
  EXPECT_TRUE(refused("(len)"));
  EXPECT_TRUE(refused("-(1) and tcp"));
  EXPECT_TRUE(refused("(not 1) = 1"));
}

TEST(Parse, Specials) {
  EXPECT_EQ(tree("ether broadcast or ip multicast"), "or(special, special)");
  EXPECT_EQ(tree("vlan 5 and vlan (6) and vlan"), "and(special 5, special 6, special)");
  EXPECT_EQ(tree("less 100 or greater 0x10"), "or(special 100, special 16)");
  EXPECT_EQ(tree("byte 3 & 5 or byte 3 == 1"), "or(special 3 5, special 3 1)");
  EXPECT_EQ(tree("ifname en0 and on \\ifname and ruleset x"), "and(special en0, special ifname, special x)");
  EXPECT_EQ(tree("reason match or reason 9 or action BLOCK"), "or(special 0 match, special 9, special 1 BLOCK)");
  EXPECT_EQ(tree("llc or llc RR or llc rnr or llc i"), "or(special, special rr, special rnr, special i)");
  EXPECT_EQ(tree("vpi 3 or vci > 4 or sio (5 or 6)"), "or(special 3, special 4, or(special 5, special 6))");
  EXPECT_EQ(tree("metac or oamf4 or fisu or hmsu"), "or(special, special, special, special)");
  for (const char* text :
       {"vlan tcp",  "vlan (tcp)", "less",        "less (5)",      "byte 1 != 2", "byte 1",    "ifname",
        "ifname ip", "ip vlan",    "tcp inbound", "vpi (1 and 2)", "vpi ((1))",   "vpi = (1)", "sio",
        "pppoed 5",  "reason foo", "action foo",  "llc foo",       "geneve x",    "ifindex",   "vpi (1"})
    EXPECT_TRUE(refused(text)) << text;
}

TEST(Parse, Wlan) {
  EXPECT_EQ(tree("type mgt"), "special 0 12");
  EXPECT_EQ(tree("wlan type Data subtype qos-data"), "special 136 252");
  EXPECT_EQ(tree("type 4 subtype 0xb0"), "special 180 252");
  EXPECT_EQ(tree("subtype ack"), "special 212 252");
  EXPECT_EQ(tree("subtype data"), "special 8 252");
  EXPECT_EQ(tree("dir tods or direction 3"), "or(special 1, special 3)");
  for (const char* text : {"type foo", "type 1", "type mgt subtype rts", "type mgt subtype 1", "subtype 16", "dir up",
                           "type 12 subtype beacon", "type", "type mgt subtype", "dir"})
    EXPECT_TRUE(refused(text)) << text;
}

TEST(Parse, SpansOfHeirsAndParentheses) {
  const Ast ast = parse("(host a or b) and not port not 80").value();
  EXPECT_EQ(write(ast),
            "and @0-33\n"
            "  or @0-13\n"
            "    primitive protocol=default direction=default type=host name a @1-7\n"
            "    primitive protocol=default direction=default type=host name b @11-12\n"
            "  not @18-33\n"
            "    not @22-33\n"
            "      primitive protocol=default direction=default type=port number 80 @31-33\n");
  for (const Node& node : ast.nodes)
    if (node.kind == NodeKind::kPrimitive && node.id.text == "b") {
      EXPECT_EQ(node.qualifiers_span, (Span{1, 5}));
    }
}

TEST(Parse, ChildrenStandBeforeParents) {
  const Ast ast = parse("tcp and (udp or port (80 or 81)) and not tcp[0] + 1 = -2 or vpi (1 or 2)").value();
  EXPECT_EQ(ast.root, ast.nodes.size() - 1);
  for (NodeId id = 0; id < ast.nodes.size(); ++id)
    for (const NodeId child : ast[id].children) EXPECT_LT(child, id);
}

TEST(Parse, LongChainsAreOneNode) {
  std::string text = "host 10.0.0.0";
  for (int i = 1; i < 100000; ++i) text += " or 10.0.0.1";
  const Ast ast = parse(text).value();
  EXPECT_EQ(ast.nodes.size(), 100001u);
  EXPECT_EQ(ast[ast.root].children.size(), 100000u);
  EXPECT_GT(write(ast).size(), text.size());
}

TEST(Parse, LongAlternatingChainsAreDeepAndHarmless) {
  std::string text = "tcp";
  std::string sum = "1";
  for (int i = 0; i < 50000; ++i) text += " or udp and arp";
  for (int i = 0; i < 50000; ++i) sum += " + 1 * 2";
  EXPECT_EQ(parse(text).value().nodes.size(), 200001u);
  EXPECT_GT(write(parse(text).value()).size(), text.size());
  EXPECT_EQ(parse(sum + " = 1").value().nodes.size(), 200003u);
}

TEST(Parse, NestingHasALimit) {
  const auto repeat = [](std::size_t n, std::string_view piece) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += piece;
    return out;
  };
  const std::size_t most = kMaximumNesting - 1;
  EXPECT_FALSE(refused(repeat(most, "(") + "tcp" + repeat(most, ")")));
  EXPECT_FALSE(refused(repeat(most, "not ") + "tcp"));
  EXPECT_FALSE(refused("host a and " + repeat(most, "(") + "80" + repeat(most, ")")));
  for (const std::string& text :
       {repeat(kMaximumNesting + 1, "(") + "tcp" + repeat(kMaximumNesting + 1, ")"), repeat(100000, "not ") + "tcp",
        repeat(100000, "ip["), repeat(100000, "-") + " 1 = 1", repeat(100000, "1 % ") + "1 = 1"}) {
    const auto ast = parse(text);
    ASSERT_FALSE(ast.has_value());
    EXPECT_EQ(ast.error().code, ErrorCode::kLimit);
    EXPECT_TRUE(std::holds_alternative<Span>(ast.error().place));
  }
}

TEST(Parse, TakesLinearTimeOnHostileText) {
  for (const std::string_view piece : {":", "a:", "a- ", "(", "1.", "$", "::", "a:b ", "ab:", "f", "\\a ", "!"}) {
    std::string text = "host ";
    while (text.size() < 400000) text += piece;
    (void)parse(text);
  }
}

}  // namespace
}  // namespace weir::filter
