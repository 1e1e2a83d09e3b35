// What verified programs see, by name.
#pragma once

#include <string>
#include <vector>

#include <weir/ebpf/names.h>

namespace weir::tool {

// The names that `--type` takes.
std::vector<std::string> premise_names();

// What such a name stands for; "auto" is the program's own type. kUnspec: memory and its length.
ebpf::ProgramType premise_type(const std::string& name, ebpf::ProgramType of_program);

}  // namespace weir::tool
