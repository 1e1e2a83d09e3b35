// Words of C, Go and Rust: as much of them as arrays of instructions need.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/base/error.h>

namespace weir::cbpf {

struct SourceWord {
  enum class Kind : std::uint8_t { kEnd, kName, kNumber, kSign };
  Kind kind = Kind::kEnd;
  Span span{};
  std::string_view text{};  // a name without what qualifies it: "LoadAbsolute" of "bpf.LoadAbsolute"
  std::uint64_t number = 0;
  bool blank_before = false;

  bool is(std::string_view sign) const { return kind == Kind::kSign && text == sign; }
};

// The last word is kEnd. Comments, preprocessor lines and string literals are passed over.
Result<std::vector<SourceWord>> lex_source(std::string_view text);

}  // namespace weir::cbpf
