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

// Adds "entries", and "more" where there are more than may be listed.
void add_entries(runtime::Map& map, const Maps& all, nlohmann::json& row) {
  using T = ebpf::MapType;
  constexpr std::size_t kMost = 100'000;
  const T type = map.definition().type;
  row["entries"] = nullptr;
  if (type == T::kBloomFilter || runtime::needs_kernel(type)) return;
  nlohmann::json entries = nlohmann::json::array();
  std::uint64_t more = 0;
  const auto add = [&](nlohmann::json entry) {
    if (entries.size() < kMost) entries.push_back(std::move(entry));
    else ++more;
  };
  if (const auto* references = dynamic_cast<const runtime::ReferenceMap*>(&map)) {
    const char* const what = type == T::kProgArray ? "program" : "map";
    runtime::each_reference(*references,
                            [&](const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held) {
                              add({{"key", hex(key)}, {what, engine::name_of_held(map, held, all)}});
                            });
  } else if (type == T::kQueue || type == T::kStack) {
    runtime::each_value(map, [&](ByteSpan value) { add({{"value", runtime::hex_text(value.data(), value.size())}}); });
  } else {
    runtime::each_entry(
        map,
        [&](const std::vector<std::uint8_t>& key, const void* value) {
          add({{"key", hex(key)}, {"value", runtime::hex_text(value, map.value_size())}});
        },
        UINT32_MAX);
  }
  row["entries"] = std::move(entries);
  if (more > 0) row["more"] = more;
}

}  // namespace

nlohmann::json maps_as_json(const Maps& maps, std::string_view name) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& map : maps) {
    if (!name.empty() && map->definition().name != name) continue;
    nlohmann::json row = {{"name", map->definition().name}, {"type", ebpf::name_of(map->definition().type)}};
    if (const auto* ring = dynamic_cast<const runtime::RingBuffer*>(map.get())) row["bytes"] = ring->available();
    add_entries(*map, maps, row);
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace weir::tool
