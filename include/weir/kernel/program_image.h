// What the kernel's compiler made of a program: its machine code, read back through bpf(2).
//
// Needs CAP_BPF; a kernel without a compiler, or one that hides
// its code (net.core.bpf_jit_harden with kptr_restrict), gives an error that says so. Thread-safe.
// Source: kernel/bpf/syscall.c, bpf_prog_get_info_by_fd.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/ebpf/program.h>

namespace weir::kernel {

// Where the code of a source line begins.
struct CodeLine {
  std::uint64_t offset = 0;  // into ProgramImage::code
  std::uint32_t line = 0;    // ebpf::SourceLine::line of the program that was compiled; 0 for loaded ones without lines
};

struct ProgramImage {
  std::uint32_t id = 0;
  std::string name;
  std::uint32_t type = 0;     // BPF_PROG_TYPE_*
  std::uint64_t address = 0;  // where the code begins; 0 when the kernel hides it
  std::vector<std::uint8_t> code;
  std::vector<std::uint32_t> function_sizes;    // of its functions, in the order of their code
  std::vector<ebpf::Instruction> instructions;  // as the kernel runs them, after its verifier changed them
  std::vector<CodeLine> lines;                  // in order of offsets
};

// Of a loaded program, by descriptor or by its id (as `bpftool prog` lists it).
Result<ProgramImage> program_image(int descriptor);
Result<FileDescriptor> open_program(std::uint32_t id);

// Loads the program as a socket filter, reads its image and unloads it. The program's `lines` come back as places in
// the machine code. Programs with maps are refused.
Result<ProgramImage> compile(const ebpf::Program& program);

}  // namespace weir::kernel
