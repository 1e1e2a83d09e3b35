// Extended assembler text to words. Exports lex.
//
// A line is a statement; so is what ';' separates. Comments: '#', '//', '/* */', and ';' as the first of a line, as
// disassemblers print source lines. '#' with a digit right after a name belongs to the name: "bpf_ktime_get_ns#5".
// What listings put before an instruction is no word: "12: (b7)" of the kernel, "12: b7 00 .. 00" of llvm-objdump; the
// number and the code are kept with the word that follows. "0000000000000000 <name>:" is the label `name`, and
// bpftool's "int name(struct xdp_md * ctx):" is "func name:". What a verifier's log says beside instructions is
// skipped; see listing.cpp. Numbers are decimal, 0x hexadecimal or 0b binary, of 64 bits at most.
#include "ebpf/text_lexer.h"

#include <algorithm>

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
    WEIR_CHECK(begin_line());
    while (at_ < text_.size()) WEIR_CHECK(next());
    push(WordKind::kLineEnd, 0);
    push(WordKind::kEnd, 0);
    WEIR_CHECK(arrange_listing(words_));
    return std::move(words_);
  }

 private:
  Span span(std::size_t length) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
  }
  void push(WordKind kind, std::size_t length, std::uint64_t number = 0) {
    words_.push_back({kind, span(length), text_.substr(at_, length), number, blank_, slot_, code_});
    slot_ = code_ = -1;
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
      slot_ = code_ = -1;
      push(WordKind::kLineEnd, 1);
      return begin_line();
    } else if (is_blank(c)) {
      ++at_;
      blank_ = true;
    } else if (c == '#' || starts("//") || (c == ';' && (line_start_ || (listed_ && state_follows())))) {
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
      std::size_t end = at_ + 1;
      while (end < text_.size() && text_[end] != '"' && text_[end] != '\n') end += text_[end] == '\\' ? 2 : 1;
      if (end >= text_.size() || text_[end] == '\n') return fail("text without closing quote", span(1));
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

  bool hex_pair(std::size_t from) const { return digit_value(peek(from)) < 16 && digit_value(peek(from + 1)) < 16; }

  // After the ';' here stands what the verifier knows: "; R1=ctx()", "; frame1: R0=0".
  bool state_follows() const {
    std::size_t from = at_ + 1;
    while (is_blank(peek(from))) ++from;
    return is_remark_of_listing(text_.substr(from, text_.find('\n', from) - from), true);
  }

  // Skips a line that holds no words, or what stands before them. ".file" of clang -S has a number of 128 bits.
  Status begin_line() {
    listed_ = false;
    std::size_t from = at_;
    while (is_blank(peek(from))) ++from;
    std::string_view line = text_.substr(from, text_.find('\n', from) - from);
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    if (line.substr(0, 23) == "Disassembly of section ") {
      if (codes_seen_)
        return fail("the listing holds a second section",
                    Span{static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(from + line.size())},
                    "take one: llvm-objdump -d --section=NAME, or read the object itself");
      skip_line();
    } else if (line.substr(0, 5) == ".file" || is_remark_of_listing(line, codes_seen_) ||
               (codes_seen_ && is_dump_of_bytes(line))) {
      skip_line();
    } else if (line.size() > 2 && line.substr(line.size() - 2) == "):" && is_letter(line[0])) {
      signature(from, line);
    } else {
      listing_prefix();
    }
    return {};
  }

  // "b7 00 00 00 05 00 00 00", as bpftool adds below an instruction.
  static bool is_dump_of_bytes(std::string_view line) {
    if (line.size() != 23 && line.size() != 47) return false;
    for (std::size_t i = 0; i < line.size(); ++i)
      if (i % 3 == 2 ? line[i] != ' ' : digit_value(line[i]) >= 16) return false;
    return true;
  }

  // "int name(struct xdp_md * ctx):"
  void signature(std::size_t from, std::string_view line) {
    const std::size_t end = line.find('(');
    if (end == std::string_view::npos) return;
    std::size_t start = end;
    while (start > 0 && (is_letter(line[start - 1]) || is_digit(line[start - 1]))) --start;
    if (start == 0 || start == end) return;
    at_ = from;
    words_.push_back({WordKind::kName, span(start), "func"});
    at_ = from + start;
    push(WordKind::kName, end - start);
    at_ = from + line.size() - 1;
    push(WordKind::kSign, 1);
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
      words_.push_back({WordKind::kName, span(close - at_), text_.substr(at_, close - at_)});
      at_ = close + 1;
      return;
    }
    std::int64_t number = 0;
    for (std::size_t i = from; i < end; ++i) {
      if (!is_digit(text_[i])) return;
      number = std::min<std::int64_t>(number * 10 + (text_[i] - '0'), INT32_MAX);
    }
    if (peek(end) != ':') return;
    ++end;
    const std::size_t bytes = hex_bytes(end);
    if (bytes >= 8) {
      listed(number, end + 1);
      at_ = end + (bytes >= 16 ? 16 : 8) * 3;
      return;
    }
    while (is_blank(peek(end))) ++end;
    const std::size_t code = end + live_registers(end);
    if (peek(code) == '(' && hex_pair(code + 1) && peek(code + 3) == ')') {
      listed(number, code + 1);
      end = code + 4;
    }
    at_ = end;
    if (is_remark_of_listing(text_.substr(end, text_.find('\n', end) - end), codes_seen_))
      skip_line();  // "0: R1=ctx() R10=fp0"
  }

  // The number and the code that a listing shows; `from`: the two digits of the code.
  void listed(std::int64_t number, std::size_t from) {
    slot_ = number;
    code_ = digit_value(text_[from]) * 16 + digit_value(text_[from + 1]);
    listed_ = codes_seen_ = true;
  }

  // The length of "..2.....89 ": the registers that are still read, before the code.
  std::size_t live_registers(std::size_t from) const {
    for (std::size_t i = 0; i < 10; ++i)
      if (peek(from + i) != '.' && peek(from + i) != static_cast<char>('0' + i)) return 0;
    return peek(from + 10) == ' ' ? 11 : 0;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool blank_ = false;
  bool line_start_ = true;
  bool listed_ = false;      // this line is an instruction of a listing
  bool codes_seen_ = false;  // such a line was seen
  std::int64_t slot_ = -1;   // for the next word
  int code_ = -1;
  std::vector<Word> words_;
};

}  // namespace

Result<std::vector<Word>> lex(std::string_view text) { return Lexer(text).run(); }

}  // namespace weir::ebpf
