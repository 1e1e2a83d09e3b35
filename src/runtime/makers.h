// One function for each family of maps; make_map() in map.cpp picks by type and has checked the sizes.
#pragma once

#include <weir/runtime/map.h>

namespace weir::runtime {

using MadeMap = Result<std::shared_ptr<Map>>;

MadeMap make_array(const ebpf::MapDefinition& definition, const MapOptions& options);  // array, per-CPU array
MadeMap make_hash(const ebpf::MapDefinition& definition, const MapOptions& options);   // hash, LRU and per-CPU forms
MadeMap make_trie(const ebpf::MapDefinition& definition, const MapOptions& options);   // LPM trie
MadeMap make_queue(const ebpf::MapDefinition& definition, const MapOptions& options);  // queue, stack, bloom filter
MadeMap make_ring_buffer(const ebpf::MapDefinition& definition, const MapOptions& options);
MadeMap make_reference(const ebpf::MapDefinition& definition,
                       const MapOptions& options);  // program array, maps of maps

inline tl::unexpected<Error> no_memory(const ebpf::MapDefinition& definition) {
  return fail(
      Error{.code = ErrorCode::kLimit, .message = "there is not enough memory for map '" + definition.name + "'"});
}

}  // namespace weir::runtime
