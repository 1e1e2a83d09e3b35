// A place in a text that is read: what the readers of numeric forms share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/instruction.h>

namespace weir::cbpf {

inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Cursor {
 public:
  // Reads text[begin, end); places are offsets in the whole text.
  Cursor(std::string_view text, std::size_t begin, std::size_t end) : text_(text.substr(0, end)), at_(begin) {}

  std::size_t at() const { return at_; }
  void move_to(std::size_t at) { at_ = at; }
  bool done() const { return at_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool starts(std::string_view what) const { return text_.substr(std::min(at_, text_.size()), what.size()) == what; }
  bool at_line_end() const { return done() || peek() == '\n' || peek() == '\r'; }

  bool take(std::string_view what) {
    if (!starts(what)) return false;
    at_ += what.size();
    return true;
  }
  void skip() {
    while (!done() && is_blank(peek())) ++at_;
  }
  void skip_blanks() {  // within the line
    while (!done() && (peek() == ' ' || peek() == '\t')) ++at_;
  }
  std::string_view name() {
    const std::size_t start = at_;
    while (!done() && (is_letter(peek()) || is_digit(peek()))) ++at_;
    return text_.substr(start, at_ - start);
  }

  Span here(std::size_t length = 1) const { return since(at_, at_ + length); }
  Span since(std::size_t start) const { return since(start, std::max(at_, start + 1)); }

  // Decimal or 0x hexadecimal, perhaps negative (its two's complement).
  Result<std::uint32_t> number(std::uint32_t most = 0xffffffff);
  // Four numbers, with blanks between them: an instruction.
  Result<Instruction> fields();

 private:
  Span since(std::size_t start, std::size_t end) const {
    return {static_cast<std::uint32_t>(std::min(start, text_.size())),
            static_cast<std::uint32_t>(std::min(end, text_.size()))};
  }
  std::string_view text_;
  std::size_t at_;
};

}  // namespace weir::cbpf
