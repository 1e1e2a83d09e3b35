// Numbers in policies. Exports read_policy_number and read_number.
//
// Only constants that have one value on every architecture of the table are here: O_DIRECTORY, O_LARGEFILE, MAP_LOCKED
// and others are missing because arm's or x86's value is not everyone's. Values: the kernel's user-space headers.
#include "seccomp_number.h"

#include <charconv>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/kernel/seccomp.h>

namespace weir::kernel {
namespace {

struct Constant {
  std::string_view name;
  std::int64_t value;
};
constexpr Constant kConstants[] = {
#define WEIR_CONSTANT(name, value) {#name, value},
#include "seccomp_constants.def"
#undef WEIR_CONSTANT
};

}  // namespace

Result<PolicyNumber> read_policy_number(std::string_view text) {
  for (const Constant& one : kConstants)
    if (one.name == text) return PolicyNumber{static_cast<std::uint64_t>(one.value), one.value < 0};
  const bool negative = text.starts_with('-');
  std::string_view digits = negative ? text.substr(1) : text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits.front() == '0') {
    base = 8;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error == std::errc() && end == digits.data() + digits.size() && !digits.empty()) {
    if (!negative) return PolicyNumber{value, false};
    if (value <= std::uint64_t{1} << 63) return PolicyNumber{0 - value, value != 0};
  }
  if (base == 8 && digits.find_first_not_of("0123456789") == std::string_view::npos)
    return fail(fmt::format("'{}' is no octal number", text), {}, "a leading 0 means octal, as in C");
  std::vector<std::string_view> names;
  for (const Constant& one : kConstants) names.push_back(one.name);
  std::string hint = did_you_mean(text, names);
  return fail(fmt::format("'{}' is no number of 64 bits", text), {},
              hint.empty() ? "decimal, 0x..., 0... (octal), or a name such as AF_INET" : std::move(hint));
}

Result<std::uint64_t> read_number(std::string_view text) {
  WEIR_TRY(const PolicyNumber number, read_policy_number(text));
  return number.value;
}

}  // namespace weir::kernel
