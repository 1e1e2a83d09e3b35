// The words of the language: keywords and named numbers. Exports find_keyword, find_number and lists of both.
//
// Source: pcap-filter(7) for the names; RFC 792, RFC 4443 with its IANA registry, and RFC 9293 for the numbers.
#include <algorithm>
#include <array>

#include "filter/lex.h"

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

struct NamedNumber {
  std::string_view text;
  std::uint32_t value;
};
constexpr NamedNumber kNamedNumbers[] = {
    {"icmptype", 0},
    {"icmpcode", 1},
    {"icmp-echoreply", 0},
    {"icmp-unreach", 3},
    {"icmp-sourcequench", 4},
    {"icmp-redirect", 5},
    {"icmp-echo", 8},
    {"icmp-routeradvert", 9},
    {"icmp-routersolicit", 10},
    {"icmp-timxceed", 11},
    {"icmp-paramprob", 12},
    {"icmp-tstamp", 13},
    {"icmp-tstampreply", 14},
    {"icmp-ireq", 15},
    {"icmp-ireqreply", 16},
    {"icmp-maskreq", 17},
    {"icmp-maskreply", 18},
    {"icmp6type", 0},
    {"icmp6code", 1},
    {"icmp6-destinationunreach", 1},
    {"icmp6-packettoobig", 2},
    {"icmp6-timeexceeded", 3},
    {"icmp6-parameterproblem", 4},
    {"icmp6-echo", 128},
    {"icmp6-echoreply", 129},
    {"icmp6-multicastlistenerquery", 130},
    {"icmp6-multicastlistenerreportv1", 131},
    {"icmp6-multicastlistenerdone", 132},
    {"icmp6-routersolicit", 133},
    {"icmp6-routeradvert", 134},
    {"icmp6-neighborsolicit", 135},
    {"icmp6-neighboradvert", 136},
    {"icmp6-redirect", 137},
    {"icmp6-routerrenum", 138},
    {"icmp6-nodeinformationquery", 139},
    {"icmp6-nodeinformationresponse", 140},
    {"icmp6-ineighbordiscoverysolicit", 141},
    {"icmp6-ineighbordiscoveryadvert", 142},
    {"icmp6-multicastlistenerreportv2", 143},
    {"icmp6-homeagentdiscoveryrequest", 144},
    {"icmp6-homeagentdiscoveryreply", 145},
    {"icmp6-mobileprefixsolicit", 146},
    {"icmp6-mobileprefixadvert", 147},
    {"icmp6-certpathsolicit", 148},
    {"icmp6-certpathadvert", 149},
    {"icmp6-multicastrouteradvert", 151},
    {"icmp6-multicastroutersolicit", 152},
    {"icmp6-multicastrouterterm", 153},
    {"tcpflags", 13},
    {"tcp-fin", 0x01},
    {"tcp-syn", 0x02},
    {"tcp-rst", 0x04},
    {"tcp-push", 0x08},
    {"tcp-ack", 0x10},
    {"tcp-urg", 0x20},
    {"tcp-ece", 0x40},
    {"tcp-cwr", 0x80},
};

// Words by a hash of their length, first and last letters; a bucket holds a few words. Made once.
template <typename Row, std::size_t N>
class Index {
 public:
  explicit Index(const Row (&rows)[N]) {
    for (const Row& row : rows) {
      Bucket& bucket = buckets_[slot(row.text)];
      bucket.push_back(&row);
    }
  }
  const Row* find(std::string_view word) const {
    if (word.empty()) return nullptr;
    for (const Row* row : buckets_[slot(word)])
      if (row->text == word) return row;
    return nullptr;
  }

 private:
  using Bucket = std::vector<const Row*>;
  static std::size_t slot(std::string_view word) {
    const auto letter = [&](std::size_t at) { return static_cast<unsigned char>(word[at]); };
    return (letter(0) * 7u + letter(word.size() - 1) * 31u + letter(word.size() / 2) * 3u + word.size() * 13u) % 512;
  }
  std::array<Bucket, 512> buckets_;
};

const Index<Keyword, std::size(kKeywords)>& keyword_index() {
  static const Index<Keyword, std::size(kKeywords)> index(kKeywords);
  return index;
}

const Index<NamedNumber, std::size(kNamedNumbers)>& number_index() {
  static const Index<NamedNumber, std::size(kNamedNumbers)> index(kNamedNumbers);
  return index;
}

}  // namespace

const Keyword* find_keyword(std::string_view word) { return keyword_index().find(word); }

std::optional<std::uint32_t> find_number(std::string_view word) {
  const NamedNumber* found = number_index().find(word);
  if (found == nullptr) return std::nullopt;
  return found->value;
}

std::span<const Keyword> keywords() { return kKeywords; }

std::span<const std::string_view> number_names() {
  static const std::vector<std::string_view> words = [] {
    std::vector<std::string_view> all;
    for (const NamedNumber& number : kNamedNumbers) all.push_back(number.text);
    return all;
  }();
  return words;
}

// Qualifiers come first and the words of rare link types last, since of two words equally near the first is suggested.
std::span<const std::string_view> known_words() {
  static const std::vector<std::string_view> words = [] {
    static constexpr KeywordKind kOrder[] = {KeywordKind::kType,   KeywordKind::kDirection, KeywordKind::kAnd,
                                             KeywordKind::kOr,     KeywordKind::kNot,       KeywordKind::kProtocol,
                                             KeywordKind::kLength, KeywordKind::kMask,      KeywordKind::kSpecial,
                                             KeywordKind::kSubtype};
    std::vector<std::string_view> all;
    for (const KeywordKind kind : kOrder)
      for (const Keyword& keyword : kKeywords)
        if (keyword.kind == kind) all.push_back(keyword.text);
    all.insert(all.end(), number_names().begin(), number_names().end());
    return all;
  }();
  return words;
}

}  // namespace weir::filter
