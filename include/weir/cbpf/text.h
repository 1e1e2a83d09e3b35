// Classic programs as text: assembler language in, listings out, and every other form both ways.
//
// Sources of the forms: Documentation/networking/filter.rst (bpf_asm), tcpdump -d, -dd, -ddd, golang.org/x/net/bpf,
// <linux/filter.h>, iptables-extensions(8), tc-bpf(8). docs/program-forms.md describes each.
// Thread-safe: no state.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::cbpf {

// A program and where its instructions stand in the text that it was made from: places.size() == program.size().
struct Assembled {
  Program program;
  std::vector<Span> places;
};

// Assembler text (the language of bpf_asm and bpfc with its defects mended, and the text of golang.org/x/net/bpf) to a
// program. Errors carry a Span into the text. The result is not checked: any program that the language can say is made.
Result<Program> assemble(std::string_view text);
// The same with places, for messages of check() that point into the text.
Result<Assembled> assemble_with_places(std::string_view text);
// Every error of the text, in order, at most one a statement; empty when assemble() would succeed.
std::vector<Error> assembly_errors(std::string_view text);

// How a program is written. formats() has the names and what each is for.
enum class Format : std::uint8_t {
  kText,       // tcpdump -d:   "(000) ldh      [12]"
  kC,          // tcpdump -dd:  "{ 0x28, 0, 0, 0x0000000c },"
  kDecimal,    // tcpdump -ddd: the count, then "40 0 0 12" lines
  kAssembly,   // assembler text with labels; assemble() gives the same program back
  kBytecode,   // bpf_asm's one line: "4,40 0 0 12,21 0 1 2048,6 0 0 65535,6 0 0 0,"
  kBpfAsmC,    // bpf_asm -c:   "{ 0x28,  0,  0, 0x0000000c },"
  kCArray,     // a complete C declaration
  kXtBpf,      // the line for xt_bpf, at most 64 instructions
  kIptables,   // a match of iptables(8)
  kTc,         // a filter of tc(8)
  kHex,        // the bytes of each instruction, 16 hexadecimal digits a line
  kBinary,     // the bytes of each instruction: struct sock_filter, little-endian
  kJson,       // an object; docs/program-forms.md has the schema
  kGo,         // []bpf.Instruction of golang.org/x/net/bpf
  kGoRaw,      // []bpf.RawInstruction
  kXNet,       // the text that golang.org/x/net/bpf prints of instructions
  kRust,       // an array of libc::sock_filter
  kCFunction,  // a function in C that gives the program's verdict; of a program that check() refuses, an #error
  kDot,        // the blocks and jumps, for Graphviz
  kMermaid,    // the same, for Mermaid
};

struct FormatInfo {
  Format format;
  std::string_view name;         // as --to names it: "c-array"
  std::string_view description;  // one line, lower case
  bool exact;                    // read() gives back every field of every program, used or not
  bool readable = true;          // read() takes the form; others are for compilers and eyes
};
std::span<const FormatInfo> formats();
const FormatInfo& info(Format format);
const FormatInfo* find_format(std::string_view name);  // null when there is none
std::vector<std::string> format_names();               // of all formats, as written in formats()

// Total: any program can be written in any form. fits() says whether the form's consumer would take it.
std::string write(const Program& program, Format format);
// An error where what reads the form cannot take the program: xt_bpf more than 64 instructions, tc more than 4096, a C
// function what check() refuses.
Status fits(const Program& program, Format format);

// The function of kCFunction with a name of your choice: a C99 file that defines `name`, and says how to call it.
std::string write_c_function(const Checked& program, std::string_view name = "filter");

// One instruction as tcpdump -d prints it, without the number: "jeq      #0x800           jt 2	jf 5".
std::string write_instruction(const Instruction& instruction, std::size_t index);

struct ReadOptions {
  std::optional<Format> format = {};  // read this form; none: told from the content
};
// Reads a program in any readable format. Errors carry a Span into the text.
Result<Program> read(std::string_view text, const ReadOptions& options = {});
// The form that read() takes the text to be in; kAssembly when no other fits.
Format recognize(std::string_view text);

}  // namespace weir::cbpf
