// Engines: what runs checked classic programs over packets.
//
// One contract, several engines behind it; all give the same 32-bit verdict for the same program and packet. load()
// picks one (or the one asked for). An Engine is immutable after load and may be run from many threads at once.
// Meaning: net/core/filter.c; see docs/semantics.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/packet/packet.h>

namespace weir::engine {

enum class Kind : std::uint8_t {
  kAutomatic,
  kInterpreter,
};

struct LoadOptions {
  Kind kind = Kind::kAutomatic;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;

  // The program's verdict: 0 drops, anything else is how many bytes to keep.
  virtual std::uint32_t run(const packet::Packet& packet) const = 0;

  // One verdict a packet. verdicts.size() == batch.size().
  virtual void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const = 0;
};

Result<std::unique_ptr<Engine>> load(const cbpf::Checked& program, const LoadOptions& options = {});

}  // namespace weir::engine
