// Parts of extended programs as JSON, the same in every verb.
#pragma once

#include <nlohmann/json.hpp>

#include <weir/ebpf/program.h>

namespace weir::tool {

// "file", "line", and where they are known "column" and "text".
nlohmann::json line_as_json(const ebpf::SourceLine& line);

}  // namespace weir::tool
