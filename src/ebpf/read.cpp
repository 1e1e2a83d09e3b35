// Programs from numbers. Exports from_bytes and read.
//
// read() tells the form by its first character that is no blank: '{' begins C, eight pairs of hexadecimal digits and
// nothing else are slots, all else is assembler text.
#include <fmt/format.h>

#include <weir/ebpf/text.h>

#include "ebpf/text_lexer.h"

namespace weir::ebpf {
namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_hex(std::string_view text) {
  std::size_t digits = 0;
  for (const char c : text) {
    if (is_blank(c)) continue;
    if (digit_value(c) < 0) return false;
    ++digits;
  }
  return digits > 0;
}

Result<Program> read_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  std::size_t digits = 0;
  for (const char c : text) {
    if (is_blank(c)) continue;
    if (digits++ % 2 == 0) bytes.push_back(0);
    bytes.back() = static_cast<std::uint8_t>(bytes.back() << 4 | digit_value(c));
  }
  const auto end = static_cast<std::uint32_t>(text.size());
  if (digits % 16 != 0)
    return fail(fmt::format("{} hexadecimal digits are not a whole number of slots", digits), Span{end, end},
                "a slot has 16 digits");
  return from_bytes(bytes);
}

// { code, dst, src, offset, constant }, ...
Result<Program> read_c(std::string_view text) {
  WEIR_TRY(const std::vector<Word> words, lex(text));
  Program program;
  std::size_t at = 0;
  const auto skip_lines = [&] {
    while (words[at].kind == WordKind::kLineEnd) ++at;
  };
  const auto take = [&](std::string_view sign) {
    skip_lines();
    if (words[at].kind != WordKind::kSign || words[at].text != sign) return false;
    ++at;
    return true;
  };
  for (skip_lines(); words[at].kind != WordKind::kEnd; skip_lines()) {
    if (!take("{")) return fail("expected '{'", words[at].span);
    constexpr std::int64_t kLow[] = {0, 0, 0, INT16_MIN, INT32_MIN};
    constexpr std::int64_t kHigh[] = {255, 15, 15, INT16_MAX, UINT32_MAX};
    std::int64_t fields[5] = {};
    for (int i = 0; i < 5; ++i) {
      if (i > 0 && !take(",")) return fail("expected ','", words[at].span);
      const bool negative = take("-");
      skip_lines();
      if (words[at].kind != WordKind::kNumber) return fail("expected a number", words[at].span);
      const std::uint64_t number = words[at].number;
      const std::int64_t value = number > UINT32_MAX ? INT64_MAX
                                 : negative          ? -static_cast<std::int64_t>(number)
                                                     : static_cast<std::int64_t>(number);
      if (value < kLow[i] || value > kHigh[i])
        return fail(fmt::format("the number must be from {} to {}", kLow[i], kHigh[i]), words[at].span);
      fields[i] = value;
      ++at;
    }
    if (!take("}")) return fail("expected '}'", words[at].span);
    take(",");
    program.instructions.push_back(make(static_cast<std::uint8_t>(fields[0]), static_cast<unsigned>(fields[1]),
                                        static_cast<unsigned>(fields[2]), static_cast<std::int32_t>(fields[3]),
                                        static_cast<std::int32_t>(static_cast<std::uint32_t>(fields[4]))));
  }
  return program;
}

}  // namespace

Result<Program> from_bytes(ByteSpan bytes, std::endian order) {
  if (bytes.size() % 8 != 0)
    return fail(fmt::format("{} bytes are not a whole number of slots", bytes.size()), OffsetPlace{bytes.size()},
                "a slot has 8 bytes");
  Program program;
  program.instructions.reserve(bytes.size() / 8);
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const std::uint8_t* at = bytes.data() + i;
    const unsigned low = at[1] & 15u;
    const unsigned high = at[1] >> 4;
    const bool little = order == std::endian::little;
    program.instructions.push_back(make(at[0], little ? low : high, little ? high : low,
                                        load<std::int16_t>(at + 2, order), load<std::int32_t>(at + 4, order)));
  }
  return program;
}

Result<Program> read(std::string_view text) {
  if (is_hex(text)) return read_hex(text);
  std::size_t start = 0;
  while (start < text.size() && is_blank(text[start])) ++start;
  if (start < text.size() && text[start] == '{') return read_c(text);
  return assemble(text);
}

}  // namespace weir::ebpf
