// Extended assembler text to words. Exports lex.
//
// A line is a statement; so is what ';' separates. Comments: '#', '//', '/* */', and ';' as the first of a line, as
// disassemblers print source lines. '#' with a digit right after a name belongs to the name: "bpf_ktime_get_ns#5".
// What listings put before an instruction is skipped: "12: (b7)" of the kernel, "12: b7 00 .. 00" of llvm-objdump;
// "0000000000000000 <name>:" is the label `name`. Numbers are decimal, 0x hexadecimal or 0b binary, of 64 bits at most.
#include "ebpf/text_lexer.h"

#include <fmt/format.h>

namespace weir::ebpf {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

constexpr std::string_view kLongSigns[] = {
    "<<=", ">>=", "+=", "-=", "*=", "/=", "|=", "&=", "%=", "^=", "==", "!=", "<=", ">="};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Word>> run() {
    constexpr std::size_t kLongestText = 64u << 20;
    if (text_.size() > kLongestText)
      return fail(
          Error{.code = ErrorCode::kLimit, .message = fmt::format("the text is longer than {} bytes", kLongestText)});
    if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
    listing_prefix();
    while (at_ < text_.size()) WEIR_CHECK(next());
    push(WordKind::kLineEnd, 0);
    push(WordKind::kEnd, 0);
    return std::move(words_);
  }

 private:
  Span span(std::size_t length) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
  }
  void push(WordKind kind, std::size_t length, std::uint64_t number = 0) {
    words_.push_back({kind, span(length), text_.substr(at_, length), number, blank_});
    blank_ = false;
    line_start_ = kind == WordKind::kLineEnd;
    at_ += length;
  }
  bool starts(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  char peek(std::size_t from) const { return from < text_.size() ? text_[from] : '\0'; }
  void skip_line() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  Status next() {
    const char c = text_[at_];
    if (c == '\n') {
      push(WordKind::kLineEnd, 1);
      listing_prefix();
    } else if (is_blank(c)) {
      ++at_;
      blank_ = true;
    } else if (c == '#' || starts("//") || (c == ';' && line_start_)) {
      skip_line();
    } else if (c == ';') {
      push(WordKind::kLineEnd, 1);
      line_start_ = false;
    } else if (starts("/*")) {
      const std::size_t end = text_.find("*/", at_ + 2);
      if (end == std::string_view::npos) return fail("comment without end", span(2), "close it with */");
      at_ = end + 2;
      blank_ = true;
    } else if (c == '"') {
      const std::size_t end = text_.find_first_of("\"\n", at_ + 1);
      if (end == std::string_view::npos || text_[end] == '\n') return fail("text without closing quote", span(1));
      push(WordKind::kString, end + 1 - at_);
    } else if (is_letter(c)) {
      name();
    } else if (is_digit(c)) {
      return number();
    } else if (static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f) {
      sign();
    } else {
      return fail(fmt::format("unexpected byte 0x{:02x}", static_cast<unsigned char>(c)), span(1));
    }
    return {};
  }

  void name() {
    std::size_t end = at_;
    while (is_letter(peek(end)) || is_digit(peek(end))) ++end;
    if (peek(end) == '#' && is_digit(peek(end + 1)))
      for (++end; is_digit(peek(end));) ++end;
    push(WordKind::kName, end - at_);
  }

  void sign() {
    for (const std::string_view sign : kLongSigns)
      if (starts(sign)) return push(WordKind::kSign, sign.size());
    push(WordKind::kSign, 1);
  }

  Status number() {
    std::size_t end = at_;
    while (is_digit(peek(end)) || is_letter(peek(end))) ++end;
    const std::size_t length = end - at_;
    std::string_view digits = text_.substr(at_, length);
    unsigned base = 10;
    if (digits.size() > 1 && digits[0] == '0') {
      if (digits[1] == 'x' || digits[1] == 'X') base = 16;
      else if (digits[1] == 'b' || digits[1] == 'B') base = 2;
      if (base != 10) digits.remove_prefix(2);
    }
    std::uint64_t value = 0;
    bool good = !digits.empty();
    for (const char c : digits) {
      const auto digit = static_cast<unsigned>(digit_value(c));
      if (digit >= base) good = false;
      if (!good) break;
      if (value > (UINT64_MAX - digit) / base) return fail("the number does not fit into 64 bits", span(length));
      value = value * base + digit;
    }
    if (!good) return fail(fmt::format("'{}' is not a number", text_.substr(at_, length)), span(length));
    push(WordKind::kNumber, length, value);
    return {};
  }

  // How many pairs of hexadecimal digits, each after one blank, stand at `from`.
  std::size_t hex_bytes(std::size_t from) const {
    std::size_t count = 0;
    while (is_blank(peek(from)) && digit_value(peek(from + 1)) < 16 && digit_value(peek(from + 2)) < 16 &&
           !is_letter(peek(from + 3)) && !is_digit(peek(from + 3))) {
      from += 3;
      ++count;
    }
    return count;
  }

  // Skips what a listing puts before the instruction of this line.
  void listing_prefix() {
    std::size_t from = at_;
    while (is_blank(peek(from))) ++from;
    std::size_t end = from;
    while (digit_value(peek(end)) < 16) ++end;
    if (end == from) return;
    if (end - from == 16 && peek(end) == ' ' && peek(end + 1) == '<') {  // 0000000000000000 <name>:
      at_ = end + 2;
      const std::size_t close = text_.find_first_of(">\n", at_);
      if (close == std::string_view::npos || text_[close] == '\n') return;
      words_.push_back({WordKind::kName, span(close - at_), text_.substr(at_, close - at_), 0, false});
      at_ = close + 1;
      return;
    }
    for (std::size_t i = from; i < end; ++i)
      if (!is_digit(text_[i])) return;
    if (peek(end) != ':') return;
    ++end;
    const std::size_t bytes = hex_bytes(end);
    if (bytes >= 8) {
      at_ = end + (bytes >= 16 ? 16 : 8) * 3;
      return;
    }
    while (is_blank(peek(end))) ++end;
    if (peek(end) == '(' && digit_value(peek(end + 1)) < 16 && digit_value(peek(end + 2)) < 16 && peek(end + 3) == ')')
      end += 4;
    at_ = end;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool blank_ = false;
  bool line_start_ = true;
  std::vector<Word> words_;
};

}  // namespace

Result<std::vector<Word>> lex(std::string_view text) { return Lexer(text).run(); }

}  // namespace weir::ebpf
