// Extended programs as verbs take them and give them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <weir/convert/convert.h>
#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/ebpf/text.h>
#include <weir/object/object.h>

namespace weir::tool {

struct ExtendedInput {
  std::vector<ebpf::Program> programs;    // at least one; those of an object share their maps
  std::vector<std::string> sections;      // of each program, for objects
  bool elf = false;                       // all below is for objects
  bool native = false;                    // of this machine's byte order
  bool typed_maps = false;                // described by BTF
  std::vector<object::Needs> needs{};     // of each program
  std::vector<object::MapFacts> facts{};  // of each map
  std::vector<object::Preset> presets{};
  std::vector<std::uint8_t> types{};  // as a kernel takes them; empty: none
};

// Reads an ELF object, assembler text of either syntax, or numbers ("-": standard input). An error's place is in
// `text`.
Result<ExtendedInput> read_extended(const std::string& path, std::string& text);

// The program of this name, or of this section; the first when the name is empty.
Result<const ebpf::Program*> pick_program(const ExtendedInput& input, const std::string& name);
// Whether the object puts programs into arrays of them.
bool fills_programs(const ExtendedInput& input);

// What a program of the input needs that only libbpf and a kernel give.
object::Needs needs_of(const ExtendedInput& input, const ebpf::Program& program);
// Why code of the other byte order, or with such needs, cannot be used here: an error with the hint, or success.
Status usable_here(const ExtendedInput& input, const ebpf::Program& program, std::string hint = {});
// What is said of a program with CO-RE accesses.
Error core_error(std::string hint = {});

// The form that `--to` names: asm, ubpf, listing, c, hex; empty when there is none of this name.
std::optional<ebpf::Format> extended_format_named(std::string_view name);

// A classic program converted and written: `to` is "ebpf-asm" or "ebpf-elf", `where` xdp, tc, classifier, socket,
// memory or kernel, `returns` what results_for() gave.
Result<std::string> write_converted(const cbpf::Checked& program, const std::string& to, const std::string& where,
                                    const std::optional<convert::Returns>& returns);

// weir disasm, for extended programs: every program of the input in this form. Returns the exit status.
int disassemble_extended(const std::string& path, const std::string& to, const std::string& output);
// weir asm, for extended programs: `to` may be elf too.
int assemble_extended(const std::string& path, const std::string& to, const std::string& output);

}  // namespace weir::tool
