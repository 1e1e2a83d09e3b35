// Classic programs as text: assembler language in, listings out, and the numeric forms both ways.
//
// Source of the forms: Documentation/networking/filter.rst (bpf_asm), tcpdump -d, -dd, -ddd.
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::cbpf {

// Assembler text (the language of bpf_asm, with its defects mended) to a program. Errors carry a Span into the text.
// The result is not checked: any program that the language can say is made.
Result<Program> assemble(std::string_view text);

// How a program is written.
enum class Format : std::uint8_t {
  kText,      // tcpdump -d:   "(000) ldh      [12]"
  kC,         // tcpdump -dd:  "{ 0x28, 0, 0, 0x0000000c },"
  kDecimal,   // tcpdump -ddd: the count, then "40 0 0 12" lines
  kAssembly,  // assembler text with labels; assemble() gives the same program back
  kBytecode,  // bpf_asm's and iptables' one line: "4,40 0 0 12,21 0 1 2048,6 0 0 65535,6 0 0 0,"
};

std::string write(const Program& program, Format format);

// One instruction as tcpdump -d prints it, without the number: "jeq      #0x800           jt 2	jf 5".
std::string write_instruction(const Instruction& instruction, std::size_t index);

// Reads a program in any of the formats, recognised by content. Errors carry a Span into the text.
Result<Program> read(std::string_view text);

}  // namespace weir::cbpf
