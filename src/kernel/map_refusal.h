// Why the kernel makes no such map, in words.
#pragma once

#include <string>

#include <weir/kernel/map.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {

// What is wrong with a map that BPF_MAP_CREATE refused with this errno: what was given and what its type wants; empty
// where no rule tells. Nothing here is asked before the kernel has said no.
std::string why_no_map(const ebpf::MapDefinition& definition, const MapOptions& options, int error);

// bpf_call on an existing map; where the reason of a refusal can be told (frozen, full, not for this type), it is the
// error's hint.
Result<int> map_call(const Map& map, int command, bpf_attr& attributes, const char* name, bool writes);

}  // namespace weir::kernel
