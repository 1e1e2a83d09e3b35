// One reader a family of forms. Places are offsets in the whole text.
#pragma once

#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::cbpf {

// tcpdump -ddd, bpf_asm, xt_bpf, bpfc: a count and instructions of four numbers; text[begin, end).
Result<Program> read_decimal(std::string_view text, std::size_t begin, std::size_t end);
// A command line of iptables or tc that has --bytecode "..." or bytecode '...'.
Result<Program> read_quoted(std::string_view text);
// 16 hexadecimal digits an instruction.
Result<Program> read_hex(std::string_view text);
// 8 bytes an instruction.
Result<Program> read_binary(std::string_view bytes);
// tcpdump -d.
Result<Program> read_listing(std::string_view text);
// Arrays in C, Go and Rust, BPF_STMT and BPF_JUMP, struct literals of golang.org/x/net/bpf.
Result<Program> read_source(std::string_view text);
// docs/program-forms.md has the schema.
Result<Program> read_json(std::string_view text);

// Where the numbers of read_quoted() start; npos when the text has none.
std::size_t find_quoted(std::string_view text);

}  // namespace weir::cbpf
