// Amounts as people write them (64M, 1.5G, 10s, 2min), and bytes in hexadecimal digits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/base/error.h>

namespace weir::tool {

// Bytes: a number with K, M or G (powers of 1024), an optional B behind.
Result<std::uint64_t> parse_bytes(const std::string& text);
// Seconds: a number with ms, s, min or h; a bare number is seconds.
Result<double> parse_seconds(const std::string& text);
// Pairs of hexadecimal digits; blanks and colons may stand anywhere. `option` is the source of errors.
Result<std::vector<std::uint8_t>> parse_hex(const std::string& text, const char* option);

// For options that count something: refuses 0, and says so.
CLI::Validator at_least_one();

}  // namespace weir::tool
