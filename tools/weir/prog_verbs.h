// The parts of `weir prog`, one file each, and what they share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <weir/base/error.h>
#include <weir/kernel/ebpf.h>

#include "extended_input.h"

namespace weir::tool {

void add_prog_dump(CLI::App& prog, int& status);
void add_prog_run(CLI::App& prog, int& status);
void add_prog_load(CLI::App& prog, int& status);    // load
void add_prog_attach(CLI::App& prog, int& status);  // attach, detach
void add_prog_features(CLI::App& prog, int& status);

// Programs of a file in the kernel, with their maps.
struct FileLoadOptions {
  std::string only{};  // the program of this name or section, optional or not; empty: the first, or with `all` all
  bool all = false;
  std::string type{};               // instead of what the file says
  std::vector<std::string> maps{};  // NAME=MAP: in place of those that would be made
  std::string loader = "auto";      // auto, weir, libbpf
  std::uint32_t log_level = 1;
  std::string* log = nullptr;
};
struct LoadedPrograms {
  struct Program {
    std::string name{};
    std::string section{};
    kernel::Program program;
  };
  struct Map {
    std::string name{};
    kernel::Map map;
  };
  std::vector<Program> programs{};
  std::vector<Map> maps{};
  std::string loader{};  // "weir" or "libbpf"
};
// `text` gets the file's text, for errors with a place.
Result<LoadedPrograms> load_programs(const std::string& file, const FileLoadOptions& options, std::string& text);

// The same for what was read already.
Result<LoadedPrograms> load_input(const std::string& file, const ExtendedInput& input, const std::string& text,
                                  const FileLoadOptions& options);

// A program that the kernel has, or else one of a file. Keeps its maps.
Result<LoadedPrograms> find_or_load(const std::string& program, const FileLoadOptions& options, std::string& text);

// Puts a program or map into a slot of an array of them.
Status set_slot(kernel::Map& map, std::uint32_t slot, int descriptor);

// Prints it on one line, with "version": 1.
int print_prog_json(nlohmann::json out);

}  // namespace weir::tool
