// Listings of the kernel's verifier, bpftool and llvm-objdump. Exports is_remark_of_listing and arrange_listing.
//
// A verifier's log tells instructions in the order in which it goes through the program: some twice, some late, some
// never. So lines that show a number and a code are put into the order of their numbers, each once, and a gap is an
// error: nothing is guessed. Lines without a number (labels, directives) stay before the line that they stood before.
// A listing may begin with any number, since distances in it are relative.
#include <algorithm>

#include <fmt/format.h>

#include "ebpf/text_lexer.h"

namespace weir::ebpf {
namespace {

// How lines begin that say something about a program (kernel/bpf/verifier.c, kernel/bpf/log.c, libbpf). '0' stands for
// a digit.
constexpr std::string_view kEverywhere[] = {
    "func#0", "from 0", "processed 0", "Live regs before insn:", "-- BEGIN PROG LOAD LOG", "-- END PROG LOAD LOG"};
// These only after an instruction with its number and code, lest a label or a mistake is taken for one.
constexpr std::string_view kInListing[] = {"mark_precise:",
                                           "last_idx ",
                                           "verification time ",
                                           "stack depth ",
                                           "regs=",
                                           "parent ",
                                           "refs=",
                                           "libbpf: ",
                                           "Validating ",
                                           "Func#0",
                                           "caller:",
                                           "callee:",
                                           "returning from ",
                                           "to caller at ",
                                           "propagating ",
                                           "frame0:",
                                           "fp-0",
                                           "cb ",
                                           "async_cb ",
                                           "safe",
                                           "invalid ",
                                           "misaligned ",
                                           "unreachable insn ",
                                           "back-edge ",
                                           "infinite loop ",
                                           "math between ",
                                           "At program exit ",
                                           "At callback return ",
                                           "arg#0",
                                           "cannot ",
                                           "jump out of range ",
                                           "last insn is not ",
                                           "BPF program is too large"};

bool starts_as(std::string_view line, std::string_view pattern) {
  if (line.size() < pattern.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool same = pattern[i] == '0' ? line[i] >= '0' && line[i] <= '9' : line[i] == pattern[i];
    if (!same) return false;
  }
  return true;
}

bool same_instruction(const std::vector<Word>& words, std::size_t a, std::size_t b) {
  while (words[a].kind != WordKind::kLineEnd && words[a].kind == words[b].kind && words[a].text == words[b].text)
    ++a, ++b;
  return words[a].kind == WordKind::kLineEnd && words[b].kind == WordKind::kLineEnd;
}

// Takes two slots; a half of a constant stands as ".raw".
bool is_wide(const Word& word) { return word.code == 0x18 && word.text != ".raw"; }

// The words from `begin` to `end`, of which `listed` begins the instruction with its number.
struct Line {
  std::size_t begin, listed, end;
};

std::vector<Line> lines_of(const std::vector<Word>& words, std::size_t& rest) {
  std::vector<Line> lines;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].slot < 0) continue;
    std::size_t end = i;
    while (words[end].kind != WordKind::kLineEnd && words[end].kind != WordKind::kEnd) ++end;
    if (words[end].kind == WordKind::kLineEnd) ++end;
    lines.push_back({begin, i, end});
    begin = end;
    i = end - 1;
  }
  rest = begin;
  return lines;
}

}  // namespace

bool is_remark_of_listing(std::string_view line, bool in_listing) {
  for (const std::string_view pattern : kEverywhere)
    if (starts_as(line, pattern)) return true;
  for (const std::string_view pattern : kInListing)
    if (in_listing && starts_as(line, pattern)) return true;
  // "R1=ctx() R10=fp0", "R3 invalid mem access"; "R1 = 5" is an instruction, with a mistake.
  if (starts_as(line, "R0") && (in_listing || line.find(" R10=") != std::string_view::npos)) {
    const std::size_t blank = std::min(line.find(' '), line.size());
    const std::string_view after = line.substr(blank).substr(0, 2);
    return after.size() < 2 || std::string_view("=+-*/%&|^<>").find(after[1]) == std::string_view::npos;
  }
  return line.find(":\tfile format ") != std::string_view::npos;
}

Status arrange_listing(std::vector<Word>& words) {
  std::size_t rest = 0;
  std::vector<Line> lines = lines_of(words, rest);
  if (lines.empty()) return {};
  const auto slot = [&words](const Line& line) { return words[line.listed].slot; };
  std::stable_sort(lines.begin(), lines.end(), [&](const Line& a, const Line& b) { return slot(a) < slot(b); });
  std::vector<Word> out;
  out.reserve(words.size());
  const Line* last = nullptr;
  for (const Line& line : lines) {
    const Span span = words[line.listed].span;
    if (last != nullptr && slot(*last) == slot(line)) {
      if (!same_instruction(words, last->listed, line.listed))
        return fail(fmt::format("the listing has two instructions with the number {}", slot(line)), span);
      continue;
    }
    const std::int64_t taken = last != nullptr && is_wide(words[last->listed]) ? 2 : 1;
    const std::int64_t expected = last != nullptr ? slot(*last) + taken : slot(line);
    if (slot(line) > expected)
      return fail(fmt::format("the listing goes from instruction {} to {}", slot(*last), slot(line)), span,
                  "what is between is missing: a verifier's log shows only what it went through");
    if (slot(line) < expected)
      return fail(fmt::format("instruction {} is in the middle of the 64-bit constant before it", slot(line)), span);
    out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(line.begin),
               words.begin() + static_cast<std::ptrdiff_t>(line.end));
    last = &line;
  }
  out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(rest), words.end());
  words = std::move(out);
  return {};
}

}  // namespace weir::ebpf
