// Source code to words. Exports lex_source.
//
// One lexer for C, Go and Rust: numbers may have C's suffixes (UL), Rust's types (u16) and underscores; 0o is octal in
// Go and Rust, a leading 0 in C and Go. A name loses its qualifiers (bpf., libc::).
#include "cbpf/source_lexer.h"

#include <fmt/format.h>

#include "cbpf/cursor.h"

namespace weir::cbpf {
namespace {

using Kind = SourceWord::Kind;

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text), cursor_(text, 0, text.size()) {}

  Result<std::vector<SourceWord>> run() {
    cursor_.take("\xef\xbb\xbf");
    for (;;) {
      const std::size_t before = cursor_.at();
      WEIR_CHECK(skip());
      blank_ = cursor_.at() != before;
      if (cursor_.done()) break;
      WEIR_CHECK(next());
    }
    push(Kind::kEnd, cursor_.at(), {});
    return std::move(words_);
  }

 private:
  Status skip() {
    for (;;) {
      cursor_.skip();
      const std::size_t start = cursor_.at();
      if (cursor_.starts("//") || (cursor_.peek() == '#' && starts_line(start))) {
        while (!cursor_.done() && cursor_.peek() != '\n') step();
      } else if (cursor_.take("/*")) {
        const std::size_t end = text_.find("*/", cursor_.at());
        if (end == std::string_view::npos)
          return fail("comment without end",
                      Span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(start + 2)},
                      "close it with */");
        cursor_.move_to(end + 2);
      } else {
        return {};
      }
    }
  }

  bool starts_line(std::size_t at) const {
    while (at > 0 && (text_[at - 1] == ' ' || text_[at - 1] == '\t')) --at;
    return at == 0 || text_[at - 1] == '\n';
  }
  void step(std::size_t count = 1) { cursor_.move_to(cursor_.at() + count); }

  void push(Kind kind, std::size_t start, std::string_view text, std::uint64_t number = 0) {
    const auto end = static_cast<std::uint32_t>(std::max(cursor_.at(), start));
    words_.push_back({kind, {static_cast<std::uint32_t>(start), end}, text, number, blank_});
  }

  Status next() {
    const std::size_t start = cursor_.at();
    const char c = cursor_.peek();
    if (is_letter(c)) {
      std::string_view name = cursor_.name();
      while ((cursor_.peek() == '.' && is_letter(cursor_.peek(1))) ||
             (cursor_.starts("::") && is_letter(cursor_.peek(2)))) {
        step(cursor_.peek() == '.' ? 1 : 2);
        name = cursor_.name();
      }
      push(Kind::kName, start, name);
      return {};
    }
    if (is_digit(c)) return number(start);
    if (c == '"' || c == '`') return quoted(start, c);
    for (const std::string_view sign : {"<<", ">>", "&^"})
      if (cursor_.take(sign)) return push(Kind::kSign, start, sign), Status{};
    if (static_cast<unsigned char>(c) < 0x21 || static_cast<unsigned char>(c) > 0x7e)
      return fail(fmt::format("unexpected byte {:#04x}", static_cast<unsigned char>(c)), cursor_.here());
    step();
    push(Kind::kSign, start, text_.substr(start, 1));
    return {};
  }

  Status quoted(std::size_t start, char quote) {
    step();
    while (!cursor_.done() && cursor_.peek() != quote && cursor_.peek() != '\n')
      step(cursor_.peek() == '\\' && quote == '"' ? 2 : 1);
    if (cursor_.peek() != quote)
      return fail("the string is not closed",
                  Span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(start + 1)});
    step();
    push(Kind::kSign, start, "\"\"");
    return {};
  }

  Status number(std::size_t start) {
    while (is_letter(cursor_.peek()) || is_digit(cursor_.peek())) step();
    const std::string_view word = text_.substr(start, cursor_.at() - start);
    std::string digits;
    for (const char c : word)
      if (c != '_') digits += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    unsigned base = 10;
    std::size_t at = 0;
    if (digits.size() > 1 && digits[0] == '0') {
      const char kind = digits[1];
      base = kind == 'x' ? 16 : kind == 'b' ? 2 : kind == 'o' || is_digit(kind) ? 8 : 10;
      at = kind == 'x' || kind == 'b' || kind == 'o' ? 2 : base == 8 ? 1 : 0;
    }
    std::uint64_t value = 0;
    bool any = false;
    for (; at < digits.size(); ++at, any = true) {
      const char c = digits[at];
      const unsigned digit = is_digit(c) ? static_cast<unsigned>(c - '0') : static_cast<unsigned>(c - 'a' + 10);
      if (digit >= base) break;
      if (value > (std::uint64_t{1} << 58))
        return fail(fmt::format("the number {} is too large", word), cursor_.since(start));
      value = value * base + digit;
    }
    const std::string_view suffix = std::string_view(digits).substr(std::min(at, digits.size()));
    bool good = any && suffix.empty();
    for (const std::string_view known :
         {"u", "l", "ul", "lu", "ll", "ull", "u8", "u16", "u32", "u64", "i32", "i64", "usize"})
      good = good || (any && suffix == known);
    if (!good) return fail(fmt::format("'{}' is not a number", word), cursor_.since(start));
    push(Kind::kNumber, start, word, value);
    return {};
  }

  std::string_view text_;
  Cursor cursor_;
  bool blank_ = false;
  std::vector<SourceWord> words_;
};

}  // namespace

Result<std::vector<SourceWord>> lex_source(std::string_view text) { return Lexer(text).run(); }

}  // namespace weir::cbpf
