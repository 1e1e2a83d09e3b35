// Extended programs as text: two assembler languages in and out, listings, numbers.
//
// assemble() takes the kernel's and LLVM's syntax (`r0 = *(u32 *)(r1 + 4)`) and uBPF's (`ldxw r0, [r1+4]`), also mixed,
// also as bpftool, the verifier's log, llvm-objdump and clang -S print it; weir-ebpf(7) says what of these is left out
// and what is refused. Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/ebpf/program.h>

namespace weir::ebpf {

// Errors carry a Span into the text. The result is not checked: any program that the language can say is made.
Result<Program> assemble(std::string_view text);

enum class Format : std::uint8_t {
  kKernel,   // r0 = *(u32 *)(r1 + 4), with labels; assemble() gives the same slots back
  kUbpf,     // ldxw r0, [r1+4], with labels; likewise
  kListing,  // 12: (61) r0 = *(u32 *)(r1 +4), as the kernel's verifier and bpftool number it; likewise, without names
             // of functions
  kC,        // { 0x61, 0, 1, 4, 0x00000000 },
  kHex,      // 6110040000000000, one slot a line; as kC the slots alone: no maps, no names, no type
};
std::string write(const Program& program, Format format);

// One instruction, without labels: distances are numbers. `next` is the slot after it, needed for 64-bit constants.
// What is no instruction is written as ".raw code, dst, src, offset, constant".
std::string write_instruction(const Instruction& instruction, const Instruction& next, Format format = Format::kKernel);

// The slots as bytes of a little-endian machine, or of the given order, and back.
std::vector<std::uint8_t> to_bytes(const Program& program, std::endian order = std::endian::little);
Result<Program> from_bytes(ByteSpan bytes, std::endian order = std::endian::little);

// A program as text in any of the formats above, or as hexadecimal digits with or without blanks, told by content.
// Errors carry a Span into the text.
Result<Program> read(std::string_view text);

}  // namespace weir::ebpf
