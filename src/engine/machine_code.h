// Machine code that filters columns, and the engine around it. Exports MachineCode and make_machine_engine.
//
// All code generators make a function of one shape: a loop over the columns that writes a verdict a packet, and ends
// early at a packet that it does not run. Packets that come one by one or as a batch are gathered into columns first.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <weir/engine/engine.h>

#include "engine/code_memory.h"
#include "engine/set_table.h"

namespace weir::engine {

// Returns the first packet that it did not run.
using FilterFunction = std::uint64_t (*)(const packet::Columns* columns, std::uint32_t* verdicts);

struct MachineCode {
  CodeMemory memory;
  std::size_t size = 0;          // bytes of code
  std::vector<CodeMark> marks;   // see CodeListing
  std::vector<SetTable> tables;  // the code holds their addresses
  FilterFunction filter = nullptr;
};

// What there is to read of code in memory.
inline CodeListing listing_of(const CodeMemory& memory, std::size_t size, std::span<const CodeMark> marks) {
  return {{static_cast<const std::uint8_t*>(memory.start()), size}, marks};
}

// rest: runs the packets that the code does not; null where it runs all.
std::unique_ptr<Engine> make_machine_engine(std::string_view name, MachineCode code, std::unique_ptr<Engine> rest);

inline packet::Columns part_of(packet::Columns columns, std::size_t begin, std::size_t count) {
  columns.offsets += begin;
  columns.lengths += begin;
  if (columns.wire_lengths != nullptr) columns.wire_lengths += begin;
  if (columns.metadata != nullptr) columns.metadata += begin;
  columns.count = count;
  return columns;
}

// Runs an engine that takes columns over packets that lie anywhere. A packet that no column reaches the end of is run
// alone.
template <typename Run>
void run_as_columns(const Engine& engine, packet::Batch batch, std::span<std::uint32_t> verdicts, const Run& run) {
  constexpr std::size_t kChunk = 256;
  std::uint32_t offsets[kChunk];
  std::uint32_t lengths[kChunk];
  std::uint32_t wire_lengths[kChunk];
  const packet::Metadata* metadata[kChunk];
  std::size_t begin = 0;
  while (begin < batch.size()) {
    // Packets up to a gigabyte before and after the first one of the chunk that has bytes. Empty packets may have no
    // address at all: they are said to lie where that one does.
    static constexpr std::uint8_t kNoBytes = 0;
    constexpr std::uint32_t kMiddle = 1u << 30;
    const std::uint8_t* middle = &kNoBytes;
    for (std::size_t i = begin; i < batch.size() && i < begin + kChunk && middle == &kNoBytes; ++i)
      if (batch[i].length != 0) middle = batch[i].data;
    const std::uintptr_t base = reinterpret_cast<std::uintptr_t>(middle) - kMiddle;
    std::size_t count = 0;
    bool any_metadata = false;
    while (count < kChunk && begin + count < batch.size()) {
      const packet::Packet& packet = batch[begin + count];
      const std::uintptr_t offset =
          packet.length != 0 ? reinterpret_cast<std::uintptr_t>(packet.data) - base : std::uintptr_t{kMiddle};
      if (offset > packet::kColumnBytes || packet.length > packet::kColumnBytes - offset) break;
      offsets[count] = static_cast<std::uint32_t>(offset);
      lengths[count] = packet.length;
      wire_lengths[count] = packet.wire_length;
      metadata[count] = packet.metadata;
      any_metadata |= packet.metadata != nullptr;
      ++count;
    }
    const packet::Columns columns{reinterpret_cast<const std::uint8_t*>(base), offsets, lengths, wire_lengths,
                                  any_metadata ? metadata : nullptr,           count};
    run(columns, verdicts.data() + begin);
    begin += count;
    if (count == 0) {
      verdicts[begin] = engine.run(batch[begin]);
      ++begin;
    }
  }
}

}  // namespace weir::engine
