// Words of a filter expression.
//
// Source: pcap-filter(7) and libpcap's scanner for which forms exist: the longest form at a place wins, so `len-2` and
// `10.0.0.1-x` are single identifiers. Keywords are case-sensitive.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/filter/ast.h>

namespace weir::filter {

enum class TokenKind : std::uint8_t {
  kEnd,
  kName,    // an identifier that is no keyword; text without a leading backslash
  kNumber,  // value
  kIpv4,    // 10.0.0.1, 10.1
  kIpv6,
  kMac48,
  kMac8,
  kKeyword,
  kSymbol,  // value is a Symbol
};

enum class Symbol : std::uint32_t {
  kOpen, kClose, kOpenBracket, kCloseBracket, kColon, kSlash,
  kPlus, kMinus, kStar, kPercent, kAmpersand, kBar, kCaret, kShiftLeft, kShiftRight,
  kEqual, kNotEqual, kGreater, kGreaterOrEqual, kLess, kLessOrEqual,
};

enum class KeywordKind : std::uint8_t {
  kProtocol,   // value: Protocol
  kDirection,  // value: Direction
  kType,       // value: Type
  kSpecial,    // value: Special
  kAnd, kOr, kNot, kLength, kMask, kSubtype,
};

struct Keyword {
  std::string_view text;
  KeywordKind kind;
  std::uint32_t value = 0;
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Span span{};
  std::string_view text{};           // points into the expression
  std::uint32_t value = 0;           // kNumber, kSymbol
  const Keyword* keyword = nullptr;  // kKeyword
};

// The last token is kEnd, at the end of the text.
Result<std::vector<Token>> lex(std::string_view text);

std::span<const Keyword> keywords();
// Keywords and named numbers, for suggestions.
std::span<const std::string_view> known_words();

}  // namespace weir::filter
