// Source lines and maps as JSON. Exports line_as_json, maps_as_json.
#include "program_json.h"

#include <weir/engine/ebpf.h>
#include <weir/runtime/dump.h>

namespace weir::tool {

nlohmann::json line_as_json(const ebpf::SourceLine& line) {
  nlohmann::json out = {{"file", line.file}, {"line", line.line}};
  if (line.column != 0) out["column"] = line.column;
  if (!line.text.empty()) out["text"] = line.text;
  return out;
}

namespace {

using Maps = std::vector<std::shared_ptr<runtime::Map>>;

std::string hex(const std::vector<std::uint8_t>& bytes) { return runtime::hex_text(bytes.data(), bytes.size()); }

nlohmann::json entries_as_json(runtime::Map& map, const Maps& all) {
  using T = ebpf::MapType;
  const T type = map.definition().type;
  nlohmann::json entries = nlohmann::json::array();
  if (type == T::kBloomFilter || runtime::needs_kernel(type)) return nullptr;
  if (const auto* references = dynamic_cast<const runtime::ReferenceMap*>(&map)) {
    runtime::each_reference(
        *references, [&](const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held) {
          entries.push_back(
              {{"key", hex(key)}, {type == T::kProgArray ? "program" : "map", engine::name_of_held(map, held, all)}});
        });
  } else if (type == T::kQueue || type == T::kStack) {
    runtime::each_value(map, [&](ByteSpan value) {
      entries.push_back({{"value", runtime::hex_text(value.data(), value.size())}});
    });
  } else {
    runtime::each_entry(map, [&](const std::vector<std::uint8_t>& key, const void* value) {
      entries.push_back({{"key", hex(key)}, {"value", runtime::hex_text(value, map.value_size())}});
    });
  }
  return entries;
}

}  // namespace

nlohmann::json maps_as_json(const Maps& maps, std::string_view name) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& map : maps) {
    if (!name.empty() && map->definition().name != name) continue;
    nlohmann::json row = {{"name", map->definition().name}, {"type", ebpf::name_of(map->definition().type)}};
    if (const auto* ring = dynamic_cast<const runtime::RingBuffer*>(map.get())) row["bytes"] = ring->available();
    row["entries"] = entries_as_json(*map, maps);
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace weir::tool
