// Words of a filter expression.
//
// Source: pcap-filter(7) and libpcap's scanner for which forms exist: the longest form at a place wins, so `len-2` and
// `10.0.0.1-x` are single identifiers. Keywords are case-sensitive.
// Lexing stops at the first place where no word can be read; the error is kept with the words before it, so that the
// parser can report what is wrong first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/filter/ast.h>

namespace weir::filter {

enum class TokenKind : std::uint8_t {
  kEnd,
  kBad,     // no word: Words::error says why
  kName,    // an identifier that is no keyword; text without a leading backslash
  kNumber,  // value
  kIpv4,    // 10.0.0.1, 10.1
  kIpv6,
  kMac48,
  kMac8,
  kFile,  // @name: text without the @
  kKeyword,
  kSymbol,  // value is a Symbol
};

enum class Symbol : std::uint32_t {
  kOpen,
  kClose,
  kOpenBracket,
  kCloseBracket,
  kOpenBrace,
  kCloseBrace,
  kComma,  // in braces only
  kColon,
  kSlash,
  kPlus,
  kMinus,
  kStar,
  kPercent,
  kAmpersand,
  kBar,
  kCaret,
  kShiftLeft,
  kShiftRight,
  kEqual,
  kNotEqual,
  kGreater,
  kGreaterOrEqual,
  kLess,
  kLessOrEqual,
};

enum class KeywordKind : std::uint8_t {
  kProtocol,   // value: Protocol
  kDirection,  // value: Direction
  kType,       // value: Type
  kSpecial,    // value: Special
  kAnd,
  kOr,
  kNot,
  kLength,
  kMask,
  kSubtype,
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

struct Words {
  std::vector<Token> tokens;   // the last is kEnd, at the end of the text, or kBad
  std::optional<Error> error;  // set if the last is kBad
};
// `strict`: sets and files, which libpcap does not have, are no words.
Words lex(std::string_view text, bool strict = false);

// A message that quotes words, fit for one line: without control characters and not longer than needed to recognise it.
std::string tidy(std::string message);

inline bool is_symbol(const Token& token, Symbol symbol) {
  return token.kind == TokenKind::kSymbol && token.value == static_cast<std::uint32_t>(symbol);
}
inline bool is_keyword(const Token& token, KeywordKind kind) {
  return token.kind == TokenKind::kKeyword && token.keyword->kind == kind;
}

const Keyword* find_keyword(std::string_view word);  // null: no keyword
std::optional<std::uint32_t> find_number(std::string_view word);

// Keywords, without the signs for and, or, not.
std::span<const Keyword> keywords();
// Named numbers such as tcp-syn, for suggestions.
std::span<const std::string_view> number_names();
// Keywords and named numbers, for suggestions: the likelier first.
std::span<const std::string_view> known_words();

}  // namespace weir::filter
