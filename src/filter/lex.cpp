// Text to words. Exports lex, keywords, known_words.
//
// At each place every form that can start there is measured and the longest wins; of equal lengths the order is
// keyword, MAC address, number, IPv4 address, IPv6 address, named number, identifier.
#include "filter/lex.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <arpa/inet.h>
#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::filter {
namespace {

constexpr std::uint32_t u(Protocol value) { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t u(Direction value) { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t u(Type value) { return static_cast<std::uint32_t>(value); }

constexpr Keyword kKeywords[] = {
#define WEIR_FILTER_PROTOCOL(name, text) {text, KeywordKind::kProtocol, u(Protocol::name)},
#include <weir/filter/protocols.def>
#undef WEIR_FILTER_PROTOCOL
    {"ether", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"ppp", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"slip", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"fddi", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"tr", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"wlan", KeywordKind::kProtocol, u(Protocol::kLink)},
    {"es-is", KeywordKind::kProtocol, u(Protocol::kEsis)},
    {"is-is", KeywordKind::kProtocol, u(Protocol::kIsis)},
    {"src", KeywordKind::kDirection, u(Direction::kSource)},
    {"dst", KeywordKind::kDirection, u(Direction::kDestination)},
    {"addr1", KeywordKind::kDirection, u(Direction::kAddress1)},
    {"addr2", KeywordKind::kDirection, u(Direction::kAddress2)},
    {"addr3", KeywordKind::kDirection, u(Direction::kAddress3)},
    {"addr4", KeywordKind::kDirection, u(Direction::kAddress4)},
    {"address1", KeywordKind::kDirection, u(Direction::kAddress1)},
    {"address2", KeywordKind::kDirection, u(Direction::kAddress2)},
    {"address3", KeywordKind::kDirection, u(Direction::kAddress3)},
    {"address4", KeywordKind::kDirection, u(Direction::kAddress4)},
    {"ra", KeywordKind::kDirection, u(Direction::kReceiver)},
    {"ta", KeywordKind::kDirection, u(Direction::kTransmitter)},
    {"host", KeywordKind::kType, u(Type::kHost)},
    {"net", KeywordKind::kType, u(Type::kNet)},
    {"port", KeywordKind::kType, u(Type::kPort)},
    {"portrange", KeywordKind::kType, u(Type::kPortRange)},
    {"gateway", KeywordKind::kType, u(Type::kGateway)},
    {"proto", KeywordKind::kType, u(Type::kProto)},
    {"protochain", KeywordKind::kType, u(Type::kProtoChain)},
#define WEIR_FILTER_SPECIAL(name, text) {text, KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::name)},
#include <weir/filter/specials.def>
#undef WEIR_FILTER_SPECIAL
    {"on", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kPfIfname)},
    {"rset", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kPfRuleset)},
    {"rnr", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kPfRulenum)},
    {"srnr", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kPfSubrulenum)},
    {"direction", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kWlanDirection)},
    {"lsu", KeywordKind::kSpecial, static_cast<std::uint32_t>(Special::kLssu)},
    {"subtype", KeywordKind::kSubtype},
    {"mask", KeywordKind::kMask},
    {"and", KeywordKind::kAnd},
    {"or", KeywordKind::kOr},
    {"not", KeywordKind::kNot},
    {"len", KeywordKind::kLength},
    {"length", KeywordKind::kLength},
};
constexpr Keyword kAndSign{"&&", KeywordKind::kAnd};
constexpr Keyword kOrSign{"||", KeywordKind::kOr};
constexpr Keyword kNotSign{"!", KeywordKind::kNot};

struct NamedNumber {
  std::string_view text;
  std::uint32_t value;
};
// Field offsets and values with names. Sources: RFC 792, RFC 4443 and its IANA registry, RFC 9293.
constexpr NamedNumber kNamedNumbers[] = {
    {"icmptype", 0}, {"icmpcode", 1}, {"icmp-echoreply", 0}, {"icmp-unreach", 3}, {"icmp-sourcequench", 4},
    {"icmp-redirect", 5}, {"icmp-echo", 8}, {"icmp-routeradvert", 9}, {"icmp-routersolicit", 10},
    {"icmp-timxceed", 11}, {"icmp-paramprob", 12}, {"icmp-tstamp", 13}, {"icmp-tstampreply", 14}, {"icmp-ireq", 15},
    {"icmp-ireqreply", 16}, {"icmp-maskreq", 17}, {"icmp-maskreply", 18}, {"icmp6type", 0}, {"icmp6code", 1},
    {"icmp6-destinationunreach", 1}, {"icmp6-packettoobig", 2}, {"icmp6-timeexceeded", 3},
    {"icmp6-parameterproblem", 4}, {"icmp6-echo", 128}, {"icmp6-echoreply", 129},
    {"icmp6-multicastlistenerquery", 130}, {"icmp6-multicastlistenerreportv1", 131},
    {"icmp6-multicastlistenerdone", 132}, {"icmp6-routersolicit", 133}, {"icmp6-routeradvert", 134},
    {"icmp6-neighborsolicit", 135}, {"icmp6-neighboradvert", 136}, {"icmp6-redirect", 137},
    {"icmp6-routerrenum", 138}, {"icmp6-nodeinformationquery", 139}, {"icmp6-nodeinformationresponse", 140},
    {"icmp6-ineighbordiscoverysolicit", 141}, {"icmp6-ineighbordiscoveryadvert", 142},
    {"icmp6-multicastlistenerreportv2", 143}, {"icmp6-homeagentdiscoveryrequest", 144},
    {"icmp6-homeagentdiscoveryreply", 145}, {"icmp6-mobileprefixsolicit", 146}, {"icmp6-mobileprefixadvert", 147},
    {"icmp6-certpathsolicit", 148}, {"icmp6-certpathadvert", 149}, {"icmp6-multicastrouteradvert", 151},
    {"icmp6-multicastroutersolicit", 152}, {"icmp6-multicastrouterterm", 153}, {"tcpflags", 13}, {"tcp-fin", 0x01},
    {"tcp-syn", 0x02}, {"tcp-rst", 0x04}, {"tcp-push", 0x08}, {"tcp-ack", 0x10}, {"tcp-urg", 0x20},
    {"tcp-ece", 0x40}, {"tcp-cwr", 0x80},
};

const std::unordered_map<std::string_view, const Keyword*>& keyword_index() {
  static const auto index = [] {
    std::unordered_map<std::string_view, const Keyword*> map;
    for (const Keyword& keyword : kKeywords) map.emplace(keyword.text, &keyword);
    return map;
  }();
  return index;
}

const std::unordered_map<std::string_view, std::uint32_t>& number_index() {
  static const auto index = [] {
    std::unordered_map<std::string_view, std::uint32_t> map;
    for (const NamedNumber& number : kNamedNumbers) map.emplace(number.text, number.value);
    return map;
  }();
  return index;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::size_t run_of(std::string_view text, bool (*is)(char)) {
  std::size_t n = 0;
  while (n < text.size() && is(text[n])) ++n;
  return n;
}

// [A-Za-z0-9]([-_.A-Za-z0-9]*[.A-Za-z0-9])?
std::size_t identifier_length(std::string_view text) {
  if (text.empty() || !is_alnum(text[0])) return 0;
  std::size_t n = run_of(text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
  while (n > 1 && (text[n - 1] == '-' || text[n - 1] == '_')) --n;
  return n;
}

std::size_t number_length(std::string_view text) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    if (const std::size_t digits = run_of(text.substr(2), is_hex); digits > 0) return 2 + digits;
  return run_of(text, is_digit);
}

// N.N, N.N.N or N.N.N.N
std::size_t dotted_length(std::string_view text) {
  std::size_t length = 0;
  std::size_t at = 0;
  for (int parts = 1; parts <= 4; ++parts) {
    const std::size_t digits = number_length(text.substr(at));
    if (digits == 0) break;
    at += digits;
    if (parts >= 2) length = at;
    if (at == text.size() || text[at] != '.') break;
    ++at;
  }
  return length;
}

// Six groups of one or two digits parted by ':', '-' or '.'; three groups of four parted by '.'; twelve digits.
std::size_t mac_length(std::string_view text) {
  std::size_t longest = 0;
  for (const char separator : {':', '-', '.'}) {
    std::size_t at = 0;
    int groups = 0;
    while (groups < 6) {
      const std::size_t digits = std::min<std::size_t>(run_of(text.substr(at), is_hex), 2);
      if (digits == 0) break;
      at += digits;
      ++groups;
      if (groups == 6) longest = std::max(longest, at);
      if (groups == 6 || at == text.size() || text[at] != separator) break;
      ++at;
    }
  }
  const auto four = [&](std::size_t at) { return run_of(text.substr(std::min(at, text.size())), is_hex) >= 4; };
  if (four(0) && text.size() >= 14 && text[4] == '.' && four(5) && text[9] == '.' && four(10))
    longest = std::max<std::size_t>(longest, 14);
  if (run_of(text, is_hex) >= 12) longest = std::max<std::size_t>(longest, 12);
  return longest;
}

bool is_ipv6(std::string_view text) {
  unsigned char bytes[16];
  return text.size() < INET6_ADDRSTRLEN && ::inet_pton(AF_INET6, std::string(text).c_str(), bytes) == 1;
}

// The longest prefix of the run that is an address.
std::size_t ipv6_length(std::string_view text) {
  text = text.substr(0, INET6_ADDRSTRLEN);
  const std::size_t run = run_of(text, [](char c) { return is_hex(c) || c == ':' || c == '.'; });
  if (std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(run), ':') < 2) return 0;
  for (std::size_t n = run; n >= 2; --n)
    if (is_ipv6(text.substr(0, n))) return n;
  return 0;
}

// Hexadecimal groups with colons that are no address: at least two groups, each followed by colons.
std::size_t broken_address_length(std::string_view text) {
  std::size_t at = 0;
  int groups = 0;
  std::size_t length = 0;
  for (;;) {
    const std::size_t digits = run_of(text.substr(at), is_hex);
    if (digits == 0 || digits > 4) break;
    const std::size_t colons = run_of(text.substr(at + digits), [](char c) { return c == ':'; });
    if (++groups; colons == 0) break;
    at += digits + colons;
    if (groups >= 2) length = at + std::min<std::size_t>(run_of(text.substr(at), is_hex), 4);
  }
  return length;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> run() {
    if (text_.size() > kLongestExpression)
      return fail(Error{.code = ErrorCode::kLimit,
                        .message = fmt::format("the expression is longer than {} bytes", kLongestExpression)});
    for (;;) {
      while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
      if (at_ == text_.size()) break;
      WEIR_CHECK(next());
    }
    push({.kind = TokenKind::kEnd}, 0);
    return std::move(tokens_);
  }

 private:
  static constexpr std::size_t kLongestExpression = 256u << 20;

  Span span(std::size_t length) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
  }

  void push(Token token, std::size_t length) {
    token.span = span(length);
    if (token.text.empty()) token.text = text_.substr(at_, length);
    tokens_.push_back(token);
    at_ += length;
  }

  void push_symbol(Symbol symbol, std::size_t length) {
    push({.kind = TokenKind::kSymbol, .value = static_cast<std::uint32_t>(symbol)}, length);
  }

  Status next() {
    const std::string_view rest = text_.substr(at_);
    const std::size_t identifier = identifier_length(rest);
    const std::size_t number = number_length(rest);
    const std::size_t dotted = dotted_length(rest);
    const std::size_t mac = mac_length(rest);
    const std::size_t ipv6 = ipv6_length(rest);
    const std::size_t longest = std::max({identifier, number, dotted, mac, ipv6});
    if (longest == 0) return next_sign(rest);
    if (const std::size_t broken = broken_address_length(rest); broken > longest && !in_brackets())
      return fail(fmt::format("'{}' is neither a MAC nor an IPv6 address", rest.substr(0, broken)), span(broken),
                  "a MAC address has six groups, as in 00:11:22:33:44:55");
    const std::string_view word = rest.substr(0, longest);
    if (const auto keyword = keyword_index().find(word); identifier == longest && keyword != keyword_index().end())
      push({.kind = TokenKind::kKeyword, .keyword = keyword->second}, longest);
    else if (mac == longest) push({.kind = TokenKind::kMac48}, longest);
    else if (number == longest) return push_number(word);
    else if (dotted == longest) push({.kind = TokenKind::kIpv4}, longest);
    else if (ipv6 == longest) push({.kind = TokenKind::kIpv6}, longest);
    else if (const auto named = number_index().find(word); named != number_index().end())
      push({.kind = TokenKind::kNumber, .value = named->second}, longest);
    else push({.kind = TokenKind::kName}, longest);
    return {};
  }

  // Inside of `[a:b]` colons part offset and size.
  bool in_brackets() const { return brackets_ > 0; }

  Status push_number(std::string_view word) {
    unsigned base = 10;
    std::string_view digits = word;
    if (word.size() > 1 && word[0] == '0') {
      const bool hexadecimal = word[1] == 'x' || word[1] == 'X';
      base = hexadecimal ? 16 : 8;
      digits.remove_prefix(hexadecimal ? 2 : 1);
    }
    std::uint64_t value = 0;
    for (const char c : digits) {
      const unsigned digit = is_digit(c) ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a' + 10);
      if (digit >= base)
        return fail(fmt::format("'{}' is not an octal number", word), span(word.size()),
                    "a number that starts with 0 is octal");
      value = value * base + digit;
      if (value > 0xffffffff)
        return fail(fmt::format("the number {} does not fit into 32 bits", word), span(word.size()));
    }
    push({.kind = TokenKind::kNumber, .value = static_cast<std::uint32_t>(value)}, word.size());
    return {};
  }

  Status next_sign(std::string_view rest) {
    struct Sign {
      std::string_view text;
      Symbol symbol;
    };
    static constexpr Sign kSigns[] = {
        {">=", Symbol::kGreaterOrEqual}, {"<=", Symbol::kLessOrEqual}, {"!=", Symbol::kNotEqual},
        {"==", Symbol::kEqual}, {"<<", Symbol::kShiftLeft}, {">>", Symbol::kShiftRight},
        {"(", Symbol::kOpen}, {")", Symbol::kClose}, {"[", Symbol::kOpenBracket}, {"]", Symbol::kCloseBracket},
        {":", Symbol::kColon}, {"/", Symbol::kSlash}, {"+", Symbol::kPlus}, {"-", Symbol::kMinus},
        {"*", Symbol::kStar}, {"%", Symbol::kPercent}, {"&", Symbol::kAmpersand}, {"|", Symbol::kBar},
        {"^", Symbol::kCaret}, {"=", Symbol::kEqual}, {">", Symbol::kGreater}, {"<", Symbol::kLess},
    };
    for (const Keyword* keyword : {&kAndSign, &kOrSign}) {
      if (rest.substr(0, 2) != keyword->text) continue;
      push({.kind = TokenKind::kKeyword, .keyword = keyword}, 2);
      return {};
    }
    for (const Sign& sign : kSigns) {
      if (rest.substr(0, sign.text.size()) != sign.text) continue;
      if (sign.symbol == Symbol::kOpenBracket) ++brackets_;
      if (sign.symbol == Symbol::kCloseBracket && brackets_ > 0) --brackets_;
      push_symbol(sign.symbol, sign.text.size());
      return {};
    }
    if (rest[0] == '!') {
      push({.kind = TokenKind::kKeyword, .keyword = &kNotSign}, 1);
      return {};
    }
    if (rest[0] == '$') {
      const std::size_t digits = std::min<std::size_t>(run_of(rest.substr(1), is_hex), 2);
      if (digits == 0) return fail("'$' needs one or two hexadecimal digits", span(1), "as in $2a");
      push({.kind = TokenKind::kMac8}, 1 + digits);
      return {};
    }
    if (rest[0] == '\\') return next_escaped(rest);
    std::size_t length = 1;
    while (length < rest.size() && (static_cast<unsigned char>(rest[length]) & 0xc0) == 0x80) ++length;
    return fail(fmt::format("unexpected character '{}'", rest.substr(0, length)), span(length));
  }

  // \name: a name even where it is a keyword.
  Status next_escaped(std::string_view rest) {
    const std::size_t length = run_of(rest.substr(1), [](char c) {
      return c != ' ' && c != '!' && c != '(' && c != ')' && c != '\n' && c != '\t';
    });
    if (length == 0) return fail("a name must follow '\\'", span(1), "as in 'ip proto \\tcp'");
    push({.kind = TokenKind::kName, .text = rest.substr(1, length)}, 1 + length);
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t brackets_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> lex(std::string_view text) { return Lexer(text).run(); }

std::span<const Keyword> keywords() { return kKeywords; }

std::span<const std::string_view> known_words() {
  static const std::vector<std::string_view> words = [] {
    std::vector<std::string_view> all;
    for (const Keyword& keyword : kKeywords) all.push_back(keyword.text);
    for (const NamedNumber& number : kNamedNumbers) all.push_back(number.text);
    return all;
  }();
  return words;
}

}  // namespace weir::filter
