// Assembler text to words. Exports lex_assembly.
//
// Source: Documentation/networking/filter.rst and the language that bpf_asm really takes. Numbers are decimal, 0 octal,
// 0x hexadecimal, 0b binary; one that does not fit into 32 bits is an error. Line ends, tabs, form feeds and a byte
// order mark are white space. A # in the first column starts a comment, unless the rest of the line is the name of an
// extension and a load waits for its operand: bpf_asm takes that as the operand.
#include "cbpf/assembly_lexer.h"

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr std::size_t kMostErrors = 100;  // a text of other things is not read to its end

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Words run() {
    constexpr std::size_t kLongestText = 64u << 20;
    if (text_.size() > kLongestText) {
      out_.errors.push_back(
          {.code = ErrorCode::kLimit, .message = fmt::format("the text is longer than {} bytes", kLongestText)});
      text_ = {};
    }
    if (text_.substr(0, 3) == "\xef\xbb\xbf") line_begin_ = at_ = 3;
    for (;;) {
      skip();
      if (at_ >= text_.size() || out_.errors.size() >= kMostErrors) break;
      next();
    }
    push(WordKind::kEnd, 0);
    return std::move(out_);
  }

 private:
  Span span(std::size_t length) const {
    return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + length)};
  }

  void push(WordKind kind, std::size_t length, std::uint32_t number = 0) {
    out_.words.push_back({kind, span(length), text_.substr(at_, length), number, line_start_});
    line_start_ = false;
    at_ += length;
  }
  void complain(std::string message, std::size_t length, std::string hint = {}) {
    out_.errors.push_back({.message = std::move(message), .place = span(length), .hint = std::move(hint)});
    at_ += length;
  }

  bool starts(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  void skip_line() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  // White space and comments.
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        line_start_ = true;
        line_begin_ = at_ + 1;
      }
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
        ++at_;
      } else if (c == ';' || (c == '#' && at_ == line_begin_ && !is_operand_line())) {
        skip_line();
      } else if (starts("/*")) {
        const std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) {
          complain("comment without end", 2, "close it with */");
          at_ = text_.size();
          return;
        }
        at_ = end + 2;
      } else {
        return;
      }
    }
  }

  // Whether the line is `#extension` and nothing else, after a word that loads.
  bool is_operand_line() const {
    if (out_.words.empty() || out_.words.back().kind != WordKind::kName) return false;
    const std::string_view before = out_.words.back().text;
    if (before.size() < 2 || before.size() > 3 || (before[0] | 0x20) != 'l' || (before[1] | 0x20) != 'd') return false;
    std::string_view line = text_.substr(at_ + 1, text_.find('\n', at_) - at_ - 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    std::string name(line);
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    if (name == "len" || name == "vlan_pr") return true;
    for (const ExtensionInfo& row : extensions())
      if (row.text == name) return true;
    return false;
  }

  void next() {
    const char c = text_[at_];
    if (is_digit(c)) return number();
    if (is_letter(c)) {
      std::size_t length = 1;
      while (at_ + length < text_.size() && (is_letter(text_[at_ + length]) || is_digit(text_[at_ + length]))) ++length;
      return push(WordKind::kName, length);
    }
    if (std::string_view("#[](),:+-*&%").find(c) != std::string_view::npos)
      return push(WordKind::kSign, 1, static_cast<unsigned char>(c));
    unexpected();
  }

  void unexpected() {
    if (starts("//")) {
      complain("'//' does not start a comment", 2, "comments are /* this */ and ; that");
      return skip_line();
    }
    std::size_t length = 1;
    while (at_ + length < text_.size() && (static_cast<unsigned char>(text_[at_ + length]) & 0xc0) == 0x80) ++length;
    const auto byte = static_cast<unsigned char>(text_[at_]);
    const std::size_t proper = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (byte >= 0x20 && byte != 0x7f && (byte < 0x80 || byte >= 0xc2) && byte <= 0xf4 && length == proper)
      return complain(fmt::format("unexpected character '{}'", text_.substr(at_, length)), length);
    complain(fmt::format("unexpected byte {:#04x}", byte), 1);
  }

  void number() {
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
    bool good = !digits.empty();
    for (const char d : digits) {
      const unsigned digit = is_digit(d)                ? static_cast<unsigned>(d - '0')
                             : is_letter(d) && d != '.' ? static_cast<unsigned>((d | 0x20) - 'a' + 10)
                                                        : 99;
      good = good && digit < base;
      value = value > 0xffffffff ? value : value * base + digit;
    }
    if (!good)
      return complain(fmt::format("'{}' is not a number", word), length,
                      base == 8 ? "a number that starts with 0 is octal" : "");
    if (value > 0xffffffff) return complain(fmt::format("the number {} does not fit into 32 bits", word), length);
    push(WordKind::kNumber, length, static_cast<std::uint32_t>(value));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
  bool line_start_ = true;
  Words out_;
};

}  // namespace

Words lex_assembly(std::string_view text) { return Lexer(text).run(); }

}  // namespace weir::cbpf
