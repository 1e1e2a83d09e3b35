// Amounts with units, and bytes. Exports parse_bytes, parse_seconds, parse_hex, at_least_one.
#include "quantity.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace weir::tool {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

template <std::size_t N>
Result<double> parse(const std::string& text, const Unit (&units)[N], const char* example) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  if (error == std::errc() && value >= 0)
    for (const Unit& known : units)
      if (known.name == unit) return value * known.factor;
  return fail(Error{.code = ErrorCode::kUsage,
                    .message = "'" + text + "' is no amount",
                    .hint = std::string("write it like ") + example});
}

}  // namespace

Result<std::uint64_t> parse_bytes(const std::string& text) {
  static constexpr Unit kUnits[] = {{"", 1},          {"B", 1},        {"K", 1024.0},       {"KB", 1024.0},
                                    {"M", 1048576.0}, {"MB", 1048576}, {"G", 1073741824.0}, {"GB", 1073741824.0}};
  WEIR_TRY(const double bytes, parse(text, kUnits, "64M"));
  if (bytes > 1e15) return fail(Error{.code = ErrorCode::kUsage, .message = "'" + text + "' is too much"});
  return static_cast<std::uint64_t>(std::llround(bytes));
}

Result<double> parse_seconds(const std::string& text) {
  static constexpr Unit kUnits[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"min", 60}, {"h", 3600}};
  WEIR_TRY(const double seconds, parse(text, kUnits, "10s"));
  if (seconds > 1e9) return fail(Error{.code = ErrorCode::kUsage, .message = "'" + text + "' is too much"});
  return seconds;
}

Result<std::vector<std::uint8_t>> parse_hex(const std::string& text, const char* option) {
  const auto wrong = [&](std::string message) {
    return fail(Error{.code = ErrorCode::kUsage, .message = std::move(message), .source = option});
  };
  std::vector<std::uint8_t> bytes;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == ':') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return wrong(std::string("'") + c + "' is not a hexadecimal digit");
    if (high >= 0) bytes.push_back(static_cast<std::uint8_t>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  if (high >= 0) return wrong("an odd number of hexadecimal digits");
  return bytes;
}

CLI::Validator at_least_one() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        const bool zero = digits && text.find_first_not_of('0') == std::string::npos;
        return digits && !zero ? std::string() : "'" + text + "' is not a number of 1 or more";
      },
      "1...");
}

}  // namespace weir::tool
