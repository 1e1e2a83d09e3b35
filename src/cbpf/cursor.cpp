// Numbers in a text. Exports the larger functions of Cursor.
#include "cbpf/cursor.h"

#include <fmt/format.h>

namespace weir::cbpf {

Result<std::uint32_t> Cursor::number(std::uint32_t most) {
  const std::size_t start = at_;
  const bool negative = take("-");
  const bool hexadecimal = take("0x") || take("0X");
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; !done(); ++at_, ++digits) {
    const char c = peek();
    unsigned digit = 0;
    if (is_digit(c)) digit = static_cast<unsigned>(c - '0');
    else if (hexadecimal && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      digit = static_cast<unsigned>((c | 0x20) - 'a' + 10);
    else break;
    value = value * (hexadecimal ? 16 : 10) + digit;
    if (value > 0xffffffff) value = 0x1ffffffff;
  }
  if (digits == 0) {
    at_ = start;
    return fail("expected a number", here());
  }
  if (value > most || (negative && most != 0xffffffff))
    return fail(fmt::format("the number is not between 0 and {}", most), since(start));
  return negative ? 0u - static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value);
}

Result<Instruction> Cursor::fields() {
  static constexpr std::uint32_t kLimits[] = {0xffff, 0xff, 0xff, 0xffffffff};
  std::uint32_t values[4] = {};
  for (int i = 0; i < 4; ++i) {
    skip_blanks();
    WEIR_TRY(values[i], number(kLimits[i]));
  }
  return Instruction{static_cast<std::uint16_t>(values[0]), static_cast<std::uint8_t>(values[1]),
                     static_cast<std::uint8_t>(values[2]), values[3]};
}

}  // namespace weir::cbpf
