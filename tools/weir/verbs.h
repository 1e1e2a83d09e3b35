// The verbs: each adds its subcommand to the command line and, when chosen, stores its exit status in `status`.
#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <weir/base/error.h>
#include <weir/cbpf/text.h>

namespace weir::tool {

void add_filter(CLI::App& app, int& status);
void add_info(CLI::App& app, int& status);
void add_compile(CLI::App& app, int& status);
void add_debug(CLI::App& app, int& status);
void add_diff(CLI::App& app, int& status);
void add_optimize(CLI::App& app, int& status);
void add_explain(CLI::App& app, int& status);
void add_trace(CLI::App& app, int& status);
void add_jit(CLI::App& app, int& status);
void add_program_verbs(CLI::App& app, int& status);   // asm, disasm, check
void add_extended_forms(CLI::App& app, int& status);  // extended programs in asm and disasm; after those
void add_run(CLI::App& app, int& status);
void add_verdict(CLI::App& app, int& status);  // verdict, compare
void add_verify(CLI::App& app, int& status);
void add_capture(CLI::App& app, int& status);
void add_inject(CLI::App& app, int& status);
void add_seccomp(CLI::App& app, int& status);
void add_map(CLI::App& app, int& status);
void add_prog(CLI::App& app, int& status);

// Whole programs under other names: return the exit status.
int run_bpf_dbg(int argc, char** argv);
int run_bpf_jit_disasm(int argc, char** argv);

// The form of a program that `--to` names; empty when there is none of this name.
std::optional<cbpf::Format> format_named(const std::string& name);

// A network mask as 255.255.255.0, in host byte order; none for the empty text.
Result<std::optional<std::uint32_t>> parse_netmask(const std::string& text);

}  // namespace weir::tool
