// Forms of plain numbers. Exports read_decimal, read_quoted, read_hex and read_binary.
//
// They are read strictly: the count must be right, every field in its range, nothing may follow. bpfc's form without a
// count is known by its first line, which holds a whole instruction.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <weir/base/bytes.h>

#include "cbpf/cursor.h"
#include "cbpf/readers.h"

namespace weir::cbpf {
namespace {

bool has_count(Cursor cursor) {
  if (!cursor.number()) return true;  // the error shows it
  cursor.skip_blanks();
  return cursor.peek() == ',' || cursor.at_line_end();
}

Result<std::vector<Instruction>> rows(Cursor& cursor, std::size_t most) {
  std::vector<Instruction> program;
  for (;;) {
    while (!cursor.done() && (is_blank(cursor.peek()) || cursor.peek() == ',')) cursor.move_to(cursor.at() + 1);
    if (cursor.done()) return program;
    if (program.size() == most)
      return fail(fmt::format("more instructions than the {} announced", most), cursor.here(),
                  "the first number is the count");
    WEIR_TRY(const Instruction instruction, cursor.fields());
    program.push_back(instruction);
    cursor.skip_blanks();
    if (!cursor.at_line_end() && cursor.peek() != ',')
      return fail("expected ',' or the end of the line", cursor.here());
  }
}

}  // namespace

Result<Program> read_decimal(std::string_view text, std::size_t begin, std::size_t end) {
  Cursor cursor(text, begin, end);
  cursor.skip();
  const std::size_t start = cursor.at();
  if (!has_count(cursor)) {
    WEIR_TRY(std::vector<Instruction> program, rows(cursor, kUserMaximumLength));
    return Program(std::move(program));
  }
  WEIR_TRY(const std::uint32_t count, cursor.number(kUserMaximumLength));
  const Span count_span = cursor.since(start);
  WEIR_TRY(std::vector<Instruction> program, rows(cursor, count));
  if (program.size() != count)
    return fail(fmt::format("{} instructions, but {} announced", program.size(), count), count_span);
  if (program.empty()) return fail("the program is empty", count_span);
  return Program(std::move(program));
}

std::size_t find_quoted(std::string_view text) {
  static constexpr std::string_view kWord = "bytecode";
  for (std::size_t at = text.find(kWord); at != std::string_view::npos; at = text.find(kWord, at + 1)) {
    std::size_t next = at + kWord.size();
    if (at > 0 && text[at - 1] != ' ' && text[at - 1] != '-' && text[at - 1] != '\t') continue;
    while (next < text.size() && (text[next] == ' ' || text[next] == '\t' || text[next] == '=')) ++next;
    if (next < text.size() && (text[next] == '"' || text[next] == '\'')) return next;
  }
  return std::string_view::npos;
}

Result<Program> read_quoted(std::string_view text) {
  const std::size_t open = find_quoted(text);
  if (open == std::string_view::npos)
    return fail("there is no bytecode '...' in the text", Span{}, "expected the command line of iptables or tc");
  const std::size_t close = text.find(text[open], open + 1);
  const auto at = static_cast<std::uint32_t>(open);
  if (close == std::string_view::npos) return fail("the quotation is not closed", Span{at, at + 1});
  return read_decimal(text, open + 1, close);
}

Result<Program> read_hex(std::string_view text) {
  Cursor cursor(text, 0, text.size());
  std::vector<Instruction> program;
  for (cursor.skip(); !cursor.done(); cursor.skip()) {
    std::uint8_t bytes[8] = {};
    const std::size_t start = cursor.at();
    for (std::size_t digit = 0; digit < 16; ++digit) {
      const char c = cursor.peek();
      const char small = static_cast<char>(c | 0x20);
      if (!is_digit(c) && (small < 'a' || small > 'f')) {
        if (cursor.done() || is_blank(c))
          return fail(fmt::format("{} hexadecimal digits, an instruction has 16", digit), cursor.since(start));
        return fail("expected a hexadecimal digit", cursor.here());
      }
      const int value = is_digit(c) ? c - '0' : small - 'a' + 10;
      bytes[digit / 2] = static_cast<std::uint8_t>(bytes[digit / 2] << 4 | value);
      cursor.move_to(cursor.at() + 1);
    }
    program.push_back({load<std::uint16_t>(bytes, std::endian::little), bytes[2], bytes[3],
                       load<std::uint32_t>(bytes + 4, std::endian::little)});
  }
  if (program.empty()) return fail("the text holds no program", cursor.here());
  return Program(std::move(program));
}

Result<Program> read_binary(std::string_view text) {
  if (text.size() % 8 != 0)
    return fail(fmt::format("{} bytes: an instruction has 8, and {} are left over", text.size(), text.size() % 8),
                OffsetPlace{text.size() - text.size() % 8},
                "a NUL byte makes this a binary program: text forms have none");
  std::vector<Instruction> program;
  program.reserve(text.size() / 8);
  for (std::size_t at = 0; at < text.size(); at += 8) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data()) + at;
    program.push_back({load<std::uint16_t>(bytes, std::endian::little), bytes[2], bytes[3],
                       load<std::uint32_t>(bytes + 4, std::endian::little)});
  }
  if (program.empty()) return fail("the program is empty");
  return Program(std::move(program));
}

}  // namespace weir::cbpf
