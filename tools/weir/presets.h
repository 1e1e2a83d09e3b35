// What an object puts into its maps before its programs run: slots of maps of maps and of program arrays.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <weir/engine/ebpf.h>

#include "extended_input.h"

namespace weir::tool {

using Maps = std::vector<std::shared_ptr<runtime::Map>>;
// Loads a program of the input with these maps.
using LoadWithMaps =
    std::function<Result<engine::ExtendedEnginePointer>(const ebpf::Program& program, const Maps& maps)>;

// Fills the slots that the input presets in `maps`, which are its own in its order.
Status set_presets(const ExtendedInput& input, const Maps& maps, const LoadWithMaps& load);

}  // namespace weir::tool
