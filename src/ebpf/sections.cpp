// The text assembler: sections of clang -S, and what stands in them beside code.
//
// A text is one program. Sections of data hold variables, maps as BTF tells them, the licence, debug information: none
// of it is assembled, but the licence is taken, and symbols are kept, so that an instruction that needs one is refused
// with the reason. Code may stand in one section only: what the first instruction of a program with functions in a
// section of their own is, the linker knows, not the text.
#include <fmt/format.h>

#include "ebpf/text_parser.h"

namespace weir::ebpf {
namespace {

std::string_view unquoted(std::string_view text) {
  return text.size() >= 2 && text[0] == '"' ? text.substr(1, text.size() - 2) : text;
}

// Data without the flag for code: .section xdp,"ax",@progbits
bool holds_code(std::string_view name, std::string_view flags, bool has_flags) {
  if (has_flags) return flags.find('x') != std::string_view::npos;
  constexpr std::string_view kData[] = {".data", ".bss", ".rodata", ".maps", ".debug", ".BTF", ".note", "license"};
  for (const std::string_view prefix : kData)
    if (name.substr(0, prefix.size()) == prefix) return false;
  return true;
}

}  // namespace

bool TextParser::is_section_directive(std::string_view name) {
  constexpr std::string_view kNames[] = {".text", ".data", ".bss", ".section", ".comm", ".lcomm", ".local", ".set"};
  for (const std::string_view each : kNames)
    if (each == name) return true;
  return false;
}

// .text; .data; .bss; .section NAME [, "FLAGS" ...]; .comm NAME, SIZE; .local NAME; .set NAME, VALUE
void TextParser::section_directive() {
  const Word& word = next();
  if (word.text == ".section") {
    const Word& name = next();
    if (name.kind != WordKind::kName && name.kind != WordKind::kString)
      return complain("expected the section's name", name.span);
    // "cgroup/skb" and "fentry/do-it" are names of sections: all up to the comma, the blank or the end of the line.
    std::string_view text = name.text;
    while (!at_line_end() && !is(",") && !peek().blank_before) {
      const Word& more = next();
      text = std::string_view(text.data(), static_cast<std::size_t>(more.text.data() + more.text.size() - text.data()));
    }
    section_ = unquoted(text);
    const bool has_flags = take(",") && peek().kind == WordKind::kString;
    in_data_ = !holds_code(section_, has_flags ? unquoted(peek().text) : "", has_flags);
  } else if (word.text == ".text" || word.text == ".data" || word.text == ".bss") {
    section_ = word.text;
    in_data_ = word.text != ".text";
  } else if ((word.text == ".comm" || word.text == ".lcomm") && peek().kind == WordKind::kName) {
    data_.emplace(peek().text, ".bss");
  }
  while (!at_line_end()) next();
}

// .long 5, .asciz "GPL" and so on
void TextParser::skip_data() {
  const bool text = words_[at_ - 1].text == ".asciz" || words_[at_ - 1].text == ".string";
  if (section_ == "license" && text && peek().kind == WordKind::kString) license_ = unquoted(peek().text);
  while (!at_line_end()) next();
}

void TextParser::remember_code_section() {
  const std::string_view here = section_.empty() ? ".text" : section_;
  if (!code_section_set_) code_section_ = here;
  code_section_set_ = true;
  if (code_section_ != here)
    complain(fmt::format("instructions in two sections, '{}' and '{}'", code_section_, here),
             words_[statement_start_].span, "a text is one program: compile into an object (clang -c) instead");
}

std::string_view TextParser::section_of(std::string_view symbol) const {
  const auto found = data_.find(symbol);
  return found == data_.end() ? std::string_view() : found->second;
}

}  // namespace weir::ebpf
