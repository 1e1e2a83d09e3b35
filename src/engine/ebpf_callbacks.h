// bpf_loop and bpf_for_each_map_elem: the helpers that call functions of the program. Exports run_loop, run_each.
//
// Both engines share what the helpers do; how a function is run is theirs: `call(address, arguments, result)` says
// whether it came to its end. A function that is called back has its arguments, zeros in all other registers, and a
// stack frame of its own. Source for results and errors: kernel/bpf/bpf_iter.c, bpf_loop; kernel/bpf/hashtab.c and
// kernel/bpf/arraymap.c, bpf_for_each_*.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "engine/ebpf_code.h"

namespace weir::engine {

using CallbackArguments = std::array<std::uint64_t, 5>;

// bpf_loop(count, function, context, flags): function(index, context) until it gives something else than 0. False
// where a call did not come to its end. `registers` are r0 to r5 at the start.
template <typename Call>
bool run_loop(const std::uint64_t* registers, std::uint64_t& done, Call call) {
  constexpr std::uint64_t kMost = 1u << 23;  // BPF_MAX_LOOPS
  const std::uint64_t count = registers[1] & 0xffffffff;
  const std::uint64_t function = registers[2];
  const std::uint64_t context = registers[3];
  done = 0;
  if (registers[4] != 0) done = static_cast<std::uint64_t>(-EINVAL);
  else if (count > kMost) done = static_cast<std::uint64_t>(-E2BIG);
  else
    while (done < count) {
      std::uint64_t stop = 0;
      if (!call(function, CallbackArguments{done, context}, stop)) return false;
      ++done;
      if (stop != 0) break;
    }
  return true;
}

// bpf_for_each_map_elem(map, function, context, flags): function(map, key, value, context) until it gives something
// else than 0. The keys are those of the beginning; one that was deleted meanwhile is passed over.
template <typename Call>
bool run_each(runtime::Map& map, const std::uint64_t* registers, runtime::Invocation& run, std::uint64_t& done,
              Call call) {
  const std::uint64_t function = registers[2];
  const std::uint64_t context = registers[3];
  done = 0;
  if (registers[4] != 0 || map.key_size() == 0 || dynamic_cast<runtime::ReferenceMap*>(&map) != nullptr) {
    done = static_cast<std::uint64_t>(-EINVAL);
    return true;
  }
  std::vector<std::vector<std::uint8_t>> keys;
  std::vector<std::uint8_t> next(map.key_size());
  for (int more = map.next_key(nullptr, next.data()); more == 0 && keys.size() < map.definition().max_entries;
       more = map.next_key(keys.back().data(), next.data()))
    keys.push_back(next);
  for (std::vector<std::uint8_t>& key : keys) {
    const auto value = reinterpret_cast<std::uint64_t>(map.lookup(key.data(), run.cpu));
    if (value == 0) continue;
    const auto at = reinterpret_cast<std::uint64_t>(key.data());
    run.regions.push_back({at, key.size(), false});
    std::uint64_t stop = 0;
    const bool good =
        call(function, CallbackArguments{reinterpret_cast<std::uint64_t>(&map), at, value, context}, stop);
    run.regions.pop_back();
    if (!good) return false;
    ++done;
    if (stop != 0) break;
  }
  return true;
}

}  // namespace weir::engine
