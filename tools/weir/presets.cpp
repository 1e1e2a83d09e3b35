// Slots of maps that an object fills itself, in user space. Exports set_presets; kernel_load.cpp does it in the kernel.
#include "presets.h"

#include <algorithm>

#include <fmt/format.h>

namespace weir::tool {

Status set_presets(const ExtendedInput& input, const Maps& maps, const LoadWithMaps& load) {
  for (const object::Preset& preset : input.presets) {
    if (preset.map >= maps.size() || preset.inner >= maps.size()) continue;
    runtime::Map& map = *maps[preset.map];
    if (!preset.program.empty()) {
      WEIR_TRY(const ebpf::Program* const program, pick_program(input, preset.program));
      WEIR_TRY(engine::ExtendedEnginePointer loaded, load(*program, maps));
      WEIR_CHECK(engine::set_tail_call(map, preset.slot, std::move(loaded)));
      continue;
    }
    // Programs rely on the map that shows what the inner ones are like.
    const ebpf::MapDefinition& inner = maps[preset.inner]->definition();
    const auto shown = std::find_if(
        maps.begin(), maps.end(), [&](const auto& each) { return each->definition().name == map.definition().inner; });
    auto* references = dynamic_cast<runtime::ReferenceMap*>(&map);
    if (references == nullptr || shown == maps.end() || !runtime::are_alike((*shown)->definition(), inner))
      return fail(fmt::format("map '{}' is not like those that map '{}' holds", inner.name, map.definition().name));
    if (map.key_size() != 4 || references->set_reference(&preset.slot, maps[preset.inner]) != 0)
      return fail(fmt::format("map '{}' has no slot {}", map.definition().name, preset.slot));
  }
  return {};
}

}  // namespace weir::tool
