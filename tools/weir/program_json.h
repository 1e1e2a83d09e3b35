// Parts of extended programs as JSON, the same in every verb.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <weir/ebpf/program.h>
#include <weir/runtime/map.h>

namespace weir::tool {

// "file", "line", and where they are known "column" and "text".
nlohmann::json line_as_json(const ebpf::SourceLine& line);

// Objects with "name", "type" and "entries"; only those of `name` where it is not empty. Nothing is taken out: of ring
// buffers "bytes" says how many wait.
nlohmann::json maps_as_json(const std::vector<std::shared_ptr<runtime::Map>>& maps, std::string_view name);

}  // namespace weir::tool
