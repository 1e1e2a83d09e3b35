// Assembler text to words. Exports lex_assembly.
//
// Source: Documentation/networking/filter.rst and the language that bpf_asm really takes. Numbers are decimal, 0 octal,
// 0x hexadecimal, 0b binary; one that does not fit into 32 bits is an error. Line ends, tabs, form feeds and a byte
// order mark are white space.
#include "cbpf/assembly_lexer.h"

#include <fmt/format.h>

namespace weir::cbpf {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Word>> run() {
    constexpr std::size_t kLongestText = 64u << 20;
    if (text_.size() > kLongestText)
      return fail(
          Error{.code = ErrorCode::kLimit, .message = fmt::format("the text is longer than {} bytes", kLongestText)});
    if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
    for (;;) {
      WEIR_CHECK(skip());
      if (at_ >= text_.size()) break;
      WEIR_CHECK(next());
    }
    push(WordKind::kEnd, 0);
    return std::move(words_);
  }

 private:
  Span span(std::size_t length) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
  }

  void push(WordKind kind, std::size_t length, std::uint32_t number = 0) {
    words_.push_back({kind, span(length), text_.substr(at_, length), number, line_start_});
    line_start_ = false;
    at_ += length;
  }

  bool starts(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  void skip_line() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  // White space and comments.
  Status skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') line_start_ = true;
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
        ++at_;
      } else if (c == ';' || starts("//") || (c == '#' && line_start_)) {
        skip_line();
      } else if (starts("/*")) {
        const std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return fail("comment without end", span(2), "close it with */");
        at_ = end + 2;
      } else {
        return {};
      }
    }
    return {};
  }

  Status next() {
    const char c = text_[at_];
    if (is_digit(c)) return number();
    if (is_letter(c)) {
      std::size_t length = 1;
      while (at_ + length < text_.size() && (is_letter(text_[at_ + length]) || is_digit(text_[at_ + length]))) ++length;
      push(WordKind::kName, length);
      return {};
    }
    if (std::string_view("#[](),:+-*&%{}").find(c) != std::string_view::npos) {
      push(WordKind::kSign, 1, static_cast<unsigned char>(c));
      return {};
    }
    std::size_t length = 1;
    while (at_ + length < text_.size() && (static_cast<unsigned char>(text_[at_ + length]) & 0xc0) == 0x80) ++length;
    return fail(fmt::format("unexpected character '{}'", text_.substr(at_, length)), span(length));
  }

  Status number() {
    std::size_t length = 1;
    while (at_ + length < text_.size() && (is_digit(text_[at_ + length]) || is_letter(text_[at_ + length]))) ++length;
    const std::string_view word = text_.substr(at_, length);
    std::string_view digits = word;
    unsigned base = 10;
    if (word.size() > 1 && word[0] == '0') {
      const char kind = static_cast<char>(word[1] | 0x20);
      base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
      digits.remove_prefix(base == 8 ? 1 : 2);
    }
    std::uint64_t value = 0;
    for (const char d : digits) {
      const unsigned digit = is_digit(d)    ? static_cast<unsigned>(d - '0')
                             : is_letter(d) ? static_cast<unsigned>((d | 0x20) - 'a' + 10)
                                            : 99;
      if (digit >= base || digits.empty())
        return fail(fmt::format("'{}' is not a number", word), span(length),
                    base == 8 ? "a number that starts with 0 is octal" : "");
      value = value * base + digit;
      if (value > 0xffffffff) return fail(fmt::format("the number {} does not fit into 32 bits", word), span(length));
    }
    if (digits.empty()) return fail(fmt::format("'{}' is not a number", word), span(length));
    push(WordKind::kNumber, length, static_cast<std::uint32_t>(value));
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool line_start_ = true;
  std::vector<Word> words_;
};

}  // namespace

Result<std::vector<Word>> lex_assembly(std::string_view text) { return Lexer(text).run(); }

}  // namespace weir::cbpf
