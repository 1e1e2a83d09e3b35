// Objects whose accesses are relocated against the types of the running kernel (CO-RE), loaded by libbpf.
//
// libbpf is found when it is first needed (libbpf.so.1, Debian: libbpf1), so that weir works without it. It fits the
// program to the kernel's own types, makes the maps and gives the kernel the object's types and source lines. Programs
// and maps come back as weir's own objects; nothing of libbpf's stays. Thread-safe: one object at a time.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/kernel/map.h>
#include <weir/kernel/program.h>

namespace weir::kernel {

struct CoreOptions {
  std::string name = "object";                             // begins the names of the maps for its variables
  std::string only{};                                      // the program of this name or section; empty: all
  bool others = false;                                     // beside `only`: all that are not optional ("?xdp")
  ebpf::ProgramType type = ebpf::ProgramType::kUnspec;     // of `only`, instead of what the section's name says
  std::vector<std::pair<std::string, const Map*>> maps{};  // in place of those that the object would make
  std::uint32_t log_level = 0;  // of the verifier: 0: only of a program that it refuses; 1: how it ended; 2: everything
  std::string* log = nullptr;   // what libbpf and the verifier say
};

struct CoreObject {
  struct NamedProgram {
    std::string name{};
    std::string section{};
    Program program;
  };
  struct NamedMap {
    std::string name{};
    Map map;
  };
  std::vector<NamedProgram> programs{};
  std::vector<NamedMap> maps{};
};

// An object file's bytes. ErrorCode::kUnsupported without libbpf; else errors carry errno and libbpf's last words.
Result<CoreObject> load_core_object(ByteSpan bytes, const CoreOptions& options = {});

}  // namespace weir::kernel
