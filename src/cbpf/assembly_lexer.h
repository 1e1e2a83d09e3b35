// Words of assembler text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/base/error.h>

namespace weir::cbpf {

enum class WordKind : std::uint8_t { kEnd, kName, kNumber, kSign };

struct Word {
  WordKind kind = WordKind::kEnd;
  Span span{};
  std::string_view text{};
  std::uint32_t number = 0;  // kNumber; kSign: the character
  bool first_on_line = false;
};

// The last word is kEnd. Errors are what is no word: it is left out of `words`. Comments are gone: /* */, ; to the end
// of the line, and # in the first column.
struct Words {
  std::vector<Word> words;
  std::vector<Error> errors;
};
Words lex_assembly(std::string_view text);

}  // namespace weir::cbpf
