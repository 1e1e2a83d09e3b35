// Programs from text in any form. Exports read and recognize.
//
// The form is told by how the text begins, after blanks and comments: '(' starts a listing (tcpdump -d), a number the
// decimal forms, 16 hexadecimal digits the hexadecimal one, a brace JSON or an array in C. Of what starts with a word,
// a brace or BPF_STMT makes it source code; anything else is assembler language. What begins as assembler language may
// have braces and quotations in its comments, behind ';'. A NUL byte makes it binary.
#include <weir/cbpf/text.h>

#include <fmt/format.h>

#include "cbpf/cursor.h"
#include "cbpf/mnemonics.h"
#include "cbpf/readers.h"

namespace weir::cbpf {
namespace {

bool is_hex_digit(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

// Passes over blanks, a byte order mark, and the comments of all languages, or of those in which ';' starts none. `[`
// of Go's printed slices stays.
void skip_comments(Cursor& cursor, bool semicolon = true) {
  cursor.take("\xef\xbb\xbf");
  for (;;) {
    cursor.skip();
    if (cursor.take("/*")) {
      while (!cursor.done() && !cursor.take("*/")) cursor.move_to(cursor.at() + 1);
    } else if (cursor.starts("//") || cursor.starts("#") || (semicolon && cursor.starts(";"))) {
      while (!cursor.done() && cursor.peek() != '\n') cursor.move_to(cursor.at() + 1);
    } else {
      return;
    }
  }
}

// A brace or a macro of <linux/filter.h> outside of comments.
bool is_source(std::string_view text, std::size_t begin, bool semicolon) {
  Cursor cursor(text, begin, text.size());
  for (skip_comments(cursor, semicolon); !cursor.done(); skip_comments(cursor, semicolon)) {
    if (cursor.peek() == '{' || cursor.starts("BPF_STMT") || cursor.starts("BPF_JUMP")) return true;
    cursor.move_to(cursor.at() + 1);
  }
  return false;
}

// A mnemonic or a label; or a word that is neither, a slip of the pen, with the operand of a mnemonic.
bool starts_as_assembly(Cursor cursor) {
  const std::string_view word = cursor.name();
  if (word.empty()) return false;
  cursor.skip_blanks();
  const char after = cursor.peek();
  return find_mnemonic(lower_case(word)) != nullptr || after == '[' || after == '#' ||
         (after == ':' && cursor.peek(1) != ':');
}

bool starts_with_hex_row(const Cursor& cursor) {
  for (std::size_t i = 0; i < 16; ++i)
    if (!is_hex_digit(cursor.peek(i))) return false;
  const char after = cursor.peek(16);
  return after == '\0' || is_blank(after);
}

// Text of golang.org/x/net/bpf as Go prints a slice: "[ldh [12] jneq #2054,1 ret #4096 ret #0]".
Result<Program> read_printed_slice(std::string_view text) {
  const std::size_t open = text.find('[');
  const std::size_t close = text.rfind(']');
  if (close == std::string_view::npos || close <= open) return fail("the list is not closed", Span{});
  const std::string_view rest = text.substr(close + 1);
  if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos)
    return fail("more text after the list",
                Span{static_cast<std::uint32_t>(close + 1), static_cast<std::uint32_t>(text.size())});
  // Blanks in place of the brackets keep every offset.
  std::string inside(text.substr(0, close));
  inside[open] = ' ';
  return assemble(inside);
}

// A NUL byte alone does not make a program of a capture or a picture: opcodes fit into one byte.
Result<Program> read_unnamed_binary(std::string_view bytes) {
  if (bytes.starts_with("\x7f"
                        "ELF"))
    return fail(Error{.message = "this is an ELF object, whose programs are extended",
                      .hint = "weir disasm, verify and run take it"});
  WEIR_TRY(Program program, read_binary(bytes));
  for (std::size_t at = 0; at < program.size(); ++at)
    if (program[at].code > 0xff)
      return fail(fmt::format("this is neither text nor a binary program: instruction {} would have the opcode {:#06x}",
                              at, program[at].code),
                  OffsetPlace{at * 8}, "weir disasm --from binary reads it nevertheless");
  return program;
}

Result<Program> read_words(std::string_view text) {
  Cursor cursor(text, 0, text.size());
  skip_comments(cursor);
  if (cursor.peek() == '[') return read_printed_slice(text);
  return assemble(text);
}

}  // namespace

Format recognize(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return Format::kBinary;
  Cursor cursor(text, 0, text.size());
  skip_comments(cursor);
  if (starts_with_hex_row(cursor)) return Format::kHex;
  const char first = cursor.peek();
  if (first == '(') return Format::kText;
  if (is_digit(first)) return Format::kDecimal;
  if (first == '{' || first == '[') {
    Cursor next(text, cursor.at() + 1, text.size());
    next.skip();
    if (first == '{') return next.peek() == '"' || next.peek() == '}' ? Format::kJson : Format::kC;
    if (next.peek() == '[' || (next.peek() == '{' && (next.move_to(next.at() + 1), next.skip(), next.peek() == '"')))
      return Format::kJson;
  }
  const bool assembly = starts_as_assembly(cursor);
  if (!assembly && find_quoted(text) != std::string_view::npos) return Format::kIptables;
  if (is_source(text, cursor.at(), assembly)) return Format::kCArray;
  return first == '[' ? Format::kXNet : Format::kAssembly;
}

Result<Program> read(std::string_view text, const ReadOptions& options) {
  constexpr std::size_t kLongestText = 256u << 20;
  if (text.size() > kLongestText)
    return fail(
        Error{.code = ErrorCode::kLimit, .message = fmt::format("the text is longer than {} bytes", kLongestText)});
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return fail("the text holds no program",
                Span{0, static_cast<std::uint32_t>(std::min<std::size_t>(text.size(), 1))});
  switch (options.format.value_or(recognize(text))) {
    case Format::kText: return read_listing(text);
    case Format::kDecimal:
    case Format::kBytecode:
    case Format::kXtBpf: {
      Cursor cursor(text, 0, text.size());
      skip_comments(cursor);
      return read_decimal(text, cursor.at(), text.size());
    }
    case Format::kIptables:
    case Format::kTc: return read_quoted(text);
    case Format::kHex: return read_hex(text);
    case Format::kBinary: return options.format ? read_binary(text) : read_unnamed_binary(text);
    case Format::kJson: return read_json(text);
    case Format::kC:
    case Format::kBpfAsmC:
    case Format::kCArray:
    case Format::kGo:
    case Format::kGoRaw:
    case Format::kRust: return read_source(text);
    case Format::kAssembly:
    case Format::kXNet: return read_words(text);
    case Format::kCFunction:
    case Format::kDot:
    case Format::kMermaid:
      return fail(
          Error{.code = ErrorCode::kUsage,
                .message = fmt::format("programs are not read from the form '{}'", info(*options.format).name)});
  }
  return read_words(text);
}

}  // namespace weir::cbpf
