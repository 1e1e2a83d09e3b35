// Source lines and maps as JSON. Exports line_as_json, maps_as_json.
#include "program_json.h"

#include <weir/runtime/dump.h>

namespace weir::tool {

nlohmann::json line_as_json(const ebpf::SourceLine& line) {
  nlohmann::json out = {{"file", line.file}, {"line", line.line}};
  if (line.column != 0) out["column"] = line.column;
  if (!line.text.empty()) out["text"] = line.text;
  return out;
}

nlohmann::json maps_as_json(const std::vector<std::shared_ptr<runtime::Map>>& maps, std::string_view name) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& map : maps) {
    if (!name.empty() && map->definition().name != name) continue;
    nlohmann::json entries = nlohmann::json::array();
    runtime::each_entry(*map, [&](const std::vector<std::uint8_t>& key, const void* value) {
      entries.push_back(
          {{"key", runtime::hex_text(key.data(), key.size())}, {"value", runtime::hex_text(value, map->value_size())}});
    });
    nlohmann::json row = {{"name", map->definition().name}, {"type", ebpf::name_of(map->definition().type)}};
    if (const auto* ring = dynamic_cast<const runtime::RingBuffer*>(map.get())) row["bytes"] = ring->available();
    row["entries"] = std::move(entries);
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace weir::tool
