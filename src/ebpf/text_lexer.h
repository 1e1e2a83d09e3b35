// Words of extended assembler text. Exports Word, lex, arrange_listing. See text_lexer.cpp and listing.cpp.
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
  // The first word of an instruction of a listing that shows the code: what the listing says, else -1.
  std::int64_t slot = -1;
  int code = -1;
};

Result<std::vector<Word>> lex(std::string_view text);

// The line is no instruction, but what a verifier's log or llvm-objdump says beside. `in_listing`: instructions with
// their codes stand before it.
bool is_remark_of_listing(std::string_view line, bool in_listing);

// Puts the lines of a listing into the order of their numbers, each once: a verifier's log follows paths, and comes to
// an instruction again or late. Fails when a number stands for two instructions, or when some are missing.
Status arrange_listing(std::vector<Word>& words);

}  // namespace weir::ebpf
