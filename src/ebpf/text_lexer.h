// Words of extended assembler text. Exports Word, lex. See text_lexer.cpp.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/base/error.h>

namespace weir::ebpf {

enum class WordKind : std::uint8_t { kName, kNumber, kSign, kString, kLineEnd, kEnd };

struct Word {
  WordKind kind = WordKind::kEnd;
  Span span{};
  std::string_view text{};
  std::uint64_t number = 0;   // kNumber
  bool blank_before = false;  // white space stands before it
};

Result<std::vector<Word>> lex(std::string_view text);

}  // namespace weir::ebpf
