// Text to words. Exports lex and tidy.
//
// At each place every form that can start there is measured and the longest wins; of equal lengths the order is
// keyword, MAC address, number, IPv4 address, IPv6 address, named number, identifier. That is how the scanner of
// libpcap decides, with consequences that are part of the language: `len-2` is one identifier, `::1or` is an address
// and `or`, twelve digits are a MAC address.
// Every form is bounded or consumed when measured, so that lexing takes linear time.
#include "filter/lex.h"

#include <algorithm>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace weir::filter {
namespace {

constexpr Keyword kAndSign{"&&", KeywordKind::kAnd};
constexpr Keyword kOrSign{"||", KeywordKind::kOr};
constexpr Keyword kNotSign{"!", KeywordKind::kNot};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_address(char c) { return is_hex(c) || c == ':' || c == '.'; }

std::size_t run_of(std::string_view text, bool (*is)(char)) {
  std::size_t n = 0;
  while (n < text.size() && is(text[n])) ++n;
  return n;
}

// Hexadecimal digits at `at`, at most `most`.
std::size_t hex_digits(std::string_view text, std::size_t at, std::size_t most) {
  return at < text.size() ? run_of(text.substr(at, most), is_hex) : 0;
}

bool has(std::string_view text, std::size_t at, char c) { return at < text.size() && text[at] == c; }

// A letter or digit, then letters, digits and . - _ but the last of them neither - nor _.
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

// Two, three or four numbers with dots between.
std::size_t dotted_length(std::string_view text, int least_parts = 2) {
  std::size_t length = 0;
  std::size_t at = 0;
  for (int parts = 1; parts <= 4; ++parts) {
    const std::size_t digits = number_length(text.substr(at));
    if (digits == 0) break;
    at += digits;
    if (parts >= least_parts) length = at;
    if (!has(text, at, '.')) break;
    ++at;
  }
  return length;
}

// Six groups of one or two digits parted by ':', '-' or '.'; three groups of four parted by '.'; twelve digits.
std::size_t mac_length(std::string_view text) {
  for (const char separator : {':', '-', '.'}) {
    std::size_t at = 0;
    for (int groups = 1; groups <= 6; ++groups) {
      const std::size_t digits = hex_digits(text, at, 2);
      if (digits == 0) break;
      at += digits;
      if (groups == 6) return at;
      if (!has(text, at, separator)) break;
      ++at;
    }
  }
  if (hex_digits(text, 0, 4) < 4) return 0;
  if (has(text, 4, '.') && hex_digits(text, 5, 4) == 4 && has(text, 9, '.') && hex_digits(text, 10, 4) == 4) return 14;
  return hex_digits(text, 0, 12) == 12 ? 12 : 0;
}

// Eight groups of up to four digits, or fewer with one `::`; the last two may be written as four dotted numbers.
// The form alone: the numbers may be too big.
std::size_t ipv6_length(std::string_view text) {
  std::size_t length = 0;
  std::size_t at = 0;
  int groups = 0;
  bool elided = false;
  if (text.substr(0, 2) == "::") {
    elided = true;
    length = at = 2;
  }
  for (;;) {
    if (elided ? groups <= 5 : groups == 6)
      if (const std::size_t quad = dotted_length(text.substr(at), 4); quad > 0) length = std::max(length, at + quad);
    const std::size_t digits = hex_digits(text, at, 4);
    if (digits == 0 || ++groups > (elided ? 7 : 8)) return length;
    at += digits;
    if (elided || groups == 8) length = std::max(length, at);
    if (!has(text, at, ':')) return length;
    ++at;
    if (!elided && groups <= 7 && has(text, at, ':')) {
      elided = true;
      length = std::max(length, ++at);
    }
  }
}

// `%` and the name or number of an interface, right behind an IPv6 address.
std::size_t scope_length(std::string_view text) {
  if (!has(text, 0, '%')) return 0;
  const std::size_t name =
      run_of(text.substr(1), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '@'; });
  return name == 0 ? 0 : 1 + name;
}

// Two or more groups of one or two digits, colons after each: taken for a broken MAC address.
std::size_t broken_mac_length(std::string_view text) {
  std::size_t at = 0;
  for (int groups = 0;; ++groups) {
    const std::size_t digits = hex_digits(text, at, 2);
    const std::size_t colons = digits == 0 ? 0 : run_of(text.substr(at + digits), [](char c) { return c == ':'; });
    if (colons == 0) return groups >= 2 ? at : 0;
    at += digits + colons;
  }
}

class Lexer {
 public:
  Lexer(std::string_view text, bool strict) : text_(text), strict_(strict) {}

  Words run() {
    if (text_.size() > kLongestExpression) {
      bad(fmt::format("the expression is longer than {} bytes", kLongestExpression), 0);
      words_.error->code = ErrorCode::kLimit;
    }
    words_.tokens.reserve(std::min<std::size_t>(text_.size() / 4 + 4, 1u << 20));
    while (!words_.error) {
      while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
      if (at_ == text_.size()) {
        push({.kind = TokenKind::kEnd}, 0);
        break;
      }
      next();
    }
    return std::move(words_);
  }

 private:
  // Places are 32 bits wide; 256 MiB leaves room.
  static constexpr std::size_t kLongestExpression = 256u << 20;

  void push(Token token, std::size_t length) {
    token.span = {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
    if (token.text.empty()) token.text = text_.substr(at_, length);
    words_.tokens.push_back(token);
    at_ += length;
  }

  void bad(std::string message, std::size_t length, std::string hint = {}) {
    push({.kind = TokenKind::kBad}, length);
    words_.error =
        Error{.message = tidy(std::move(message)), .place = words_.tokens.back().span, .hint = std::move(hint)};
  }

  // A word that can be nothing but an identifier: a digit that no hexadecimal number has comes before what could make
  // it a number or an address. Most keywords and names are such.
  static bool is_plain_identifier(std::string_view rest, std::size_t identifier) {
    if (is_digit(rest[0]) || identifier >= rest.size() || rest[identifier] == ':') return false;
    const std::size_t hex = hex_digits(rest, 0, 12);
    return hex < 12 && hex < identifier && is_alnum(rest[hex]);
  }

  void next() {
    const std::string_view rest = text_.substr(at_);
    if (!is_hex(rest[0]) && rest[0] != ':' && !is_alnum(rest[0])) return next_sign(rest);
    const std::size_t identifier = identifier_length(rest);
    if (identifier > 0 && is_plain_identifier(rest, identifier)) return push_word(rest.substr(0, identifier));
    const std::size_t number = number_length(rest);
    const std::size_t dotted = dotted_length(rest);
    const std::size_t mac = mac_length(rest);
    const std::size_t ipv6 = ipv6_length(rest);
    const std::size_t longest = std::max({identifier, number, dotted, mac, ipv6});
    if (broken_mac_length(rest) > longest) {
      const std::size_t length = run_of(rest, is_address);
      return bad(fmt::format("'{}' is neither a MAC nor an IPv6 address", rest.substr(0, length)), length,
                 "a MAC address has six groups, as in 00:11:22:33:44:55");
    }
    if (longest == 0) return next_sign(rest);
    const std::string_view word = rest.substr(0, longest);
    if (const Keyword* keyword = find_keyword(word)) push({.kind = TokenKind::kKeyword, .keyword = keyword}, longest);
    else if (mac == longest) push({.kind = TokenKind::kMac48}, longest);
    else if (number == longest) push_number(word);
    else if (dotted == longest) push({.kind = TokenKind::kIpv4}, longest);
    else if (ipv6 == longest) push_ipv6(word);
    else push_word(word);
  }

  void push_word(std::string_view word) {
    if (const Keyword* keyword = find_keyword(word))
      push({.kind = TokenKind::kKeyword, .keyword = keyword}, word.size());
    else if (const auto named = find_number(word)) push({.kind = TokenKind::kNumber, .value = *named}, word.size());
    else push({.kind = TokenKind::kName}, word.size());
  }

  void push_ipv6(std::string_view word) {
    unsigned char bytes[16];
    if (::inet_pton(AF_INET6, std::string(word).c_str(), bytes) == 1)
      return push({.kind = TokenKind::kIpv6},
                  word.size() + (strict_ ? 0 : scope_length(text_.substr(at_ + word.size()))));
    const std::size_t run = run_of(text_.substr(at_), is_address);
    bad(fmt::format("'{}' is no IPv6 address", text_.substr(at_, run)), run);
  }

  void push_number(std::string_view word) {
    std::uint64_t base = 10;
    std::string_view digits = word;
    if (word.size() > 1 && word[0] == '0') {
      const bool hexadecimal = word[1] == 'x' || word[1] == 'X';
      base = hexadecimal ? 16 : 8;
      digits.remove_prefix(hexadecimal ? 2 : 1);
    }
    std::uint64_t value = 0;
    for (const char c : digits) {
      const std::uint64_t digit = static_cast<std::uint64_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      if (digit >= base)
        return bad(fmt::format("'{}' is not an octal number", word), word.size(),
                   "a number that starts with 0 is octal");
      value = value * base + digit;
      if (value > 0xffffffff)
        return bad(fmt::format("the number {} does not fit into 32 bits", word), word.size(),
                   "the greatest is 4294967295, which is 0xffffffff");
    }
    push({.kind = TokenKind::kNumber, .value = static_cast<std::uint32_t>(value)}, word.size());
  }

  void next_sign(std::string_view rest) {
    const char second = rest.size() > 1 ? rest[1] : '\0';
    const auto sign = [&](Symbol symbol, std::size_t length) {
      push({.kind = TokenKind::kSymbol, .value = static_cast<std::uint32_t>(symbol)}, length);
    };
    switch (rest[0]) {
      case '(': return sign(Symbol::kOpen, 1);
      case ')': return sign(Symbol::kClose, 1);
      case '[': return sign(Symbol::kOpenBracket, 1);
      case ']': return sign(Symbol::kCloseBracket, 1);
      case ':': return sign(Symbol::kColon, 1);
      case '/': return sign(Symbol::kSlash, 1);
      case '+': return sign(Symbol::kPlus, 1);
      case '-': return sign(Symbol::kMinus, 1);
      case '*': return sign(Symbol::kStar, 1);
      case '%': return sign(Symbol::kPercent, 1);
      case '^': return sign(Symbol::kCaret, 1);
      case '&':
        if (second == '&') return push({.kind = TokenKind::kKeyword, .keyword = &kAndSign}, 2);
        return sign(Symbol::kAmpersand, 1);
      case '|':
        if (second == '|') return push({.kind = TokenKind::kKeyword, .keyword = &kOrSign}, 2);
        return sign(Symbol::kBar, 1);
      case '=': return sign(Symbol::kEqual, second == '=' ? 2 : 1);
      case '>':
        if (second == '=') return sign(Symbol::kGreaterOrEqual, 2);
        return second == '>' ? sign(Symbol::kShiftRight, 2) : sign(Symbol::kGreater, 1);
      case '<':
        if (second == '=') return sign(Symbol::kLessOrEqual, 2);
        return second == '<' ? sign(Symbol::kShiftLeft, 2) : sign(Symbol::kLess, 1);
      case '!':
        if (second == '=') return sign(Symbol::kNotEqual, 2);
        return push({.kind = TokenKind::kKeyword, .keyword = &kNotSign}, 1);
      case '{':
      case '}':
      case ',':
      case '@': return next_of_set(rest);
      case '$': return next_mac8(rest);
      case '\\': return next_escaped(rest);
      default: return unexpected_character(rest);
    }
  }

  // Sets: `{80, 443}`, `@file`.
  void next_of_set(std::string_view rest) {
    const bool brace = rest[0] == '{' || rest[0] == '}';
    if ((rest[0] == ',' && braces_ == 0) || (strict_ && rest[0] == ',')) return unexpected_character(rest);
    if (strict_)
      return bad(fmt::format("unexpected character '{}'", rest[0]), 1,
                 "sets are an extension of libpcap's language, which --strict refuses");
    if (rest[0] == '@') {
      const auto in_name = [](char c) { return !is_blank(c) && c != ',' && c != '}' && c != ')'; };
      const std::size_t length = run_of(rest.substr(1), in_name);
      if (length == 0) return bad("the name of a file must follow '@'", 1, "as in 'host @addresses.txt'");
      return push({.kind = TokenKind::kFile, .text = rest.substr(1, length)}, 1 + length);
    }
    if (brace) braces_ += rest[0] == '{' ? 1 : braces_ > 0 ? -1 : 0;
    const Symbol symbol = rest[0] == '{' ? Symbol::kOpenBrace : rest[0] == '}' ? Symbol::kCloseBrace : Symbol::kComma;
    push({.kind = TokenKind::kSymbol, .value = static_cast<std::uint32_t>(symbol)}, 1);
  }

  void next_mac8(std::string_view rest) {
    const std::size_t digits = hex_digits(rest, 1, 2);
    if (digits == 0) return bad("'$' needs one or two hexadecimal digits", 1, "as in 'ether host $2a'");
    push({.kind = TokenKind::kMac8}, 1 + digits);
  }

  // \name: a name even where it is a keyword.
  void next_escaped(std::string_view rest) {
    // libpcap takes ',' and braces into the name, which no name has.
    const std::size_t length = std::min(rest.find_first_of(" !()\n\t,{}", 1), rest.size()) - 1;
    if (length == 0) return bad("a name must follow '\\'", 1, "as in 'ip proto \\tcp'");
    push({.kind = TokenKind::kName, .text = rest.substr(1, length)}, 1 + length);
  }

  void unexpected_character(std::string_view rest) {
    const auto byte = static_cast<unsigned char>(rest[0]);
    std::size_t length = 1;
    while (length < rest.size() && length < 4 && (static_cast<unsigned char>(rest[length]) & 0xc0) == 0x80) ++length;
    std::string hint;
    if (rest[0] == ',') hint = "write 'or' between alternatives, or a set in braces: port {80, 443}";
    if (rest[0] == '"' || rest[0] == '\'') hint = "quotes are for the shell, not for the expression";
    if (rest[0] == '~') hint = "there is no such operator; 'x ^ 0xffffffff' inverts all bits of x";
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && byte < 0xc0))
      return bad(fmt::format("unexpected byte 0x{:02x}", byte), 1, std::move(hint));
    bad(fmt::format("unexpected character '{}'", rest.substr(0, length)), length, std::move(hint));
  }

  std::string_view text_;
  bool strict_;
  int braces_ = 0;  // open
  std::size_t at_ = 0;
  Words words_;
};

}  // namespace

std::string tidy(std::string message) {
  constexpr std::size_t kLongest = 160;
  constexpr std::size_t kKept = 70;                                                                     // at each end
  const auto within_character = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };  // of UTF-8
  for (char& c : message)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (message.size() <= kLongest) return message;
  std::size_t begin = kKept;
  std::size_t end = message.size() - kKept;
  while (begin > 0 && within_character(message[begin])) --begin;
  while (end < message.size() && within_character(message[end])) ++end;
  return message.substr(0, begin) + "..." + message.substr(end);
}

Words lex(std::string_view text, bool strict) { return Lexer(text, strict).run(); }

}  // namespace weir::filter
