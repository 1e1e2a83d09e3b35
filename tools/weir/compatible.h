// Other names: called as bpf_asm, bpf_dbg or bpf_jit_disasm, the program takes that tool's command line.
//
// A row a name in compatible.cpp. `weir install-compat DIR` links every row's name to the program.
#pragma once

#include <span>
#include <string_view>

#include <CLI/CLI.hpp>

namespace weir::tool {

struct CompatibleProgram {
  std::string_view name;
  int (*run)(int argc, char** argv);  // the whole program: returns the exit status
};

std::span<const CompatibleProgram> compatible_programs();
// The program that `path` (argv[0]) names by its last component; null when it is weir itself.
const CompatibleProgram* find_compatible_program(std::string_view path);

int run_bpf_asm(int argc, char** argv);

void add_install_compat(CLI::App& app, int& status);

}  // namespace weir::tool
