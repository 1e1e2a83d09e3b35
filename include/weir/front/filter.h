// A compiled filter, ready to run.
//
// Compiled once from an expression or a classic program, to the engine that the processor runs best (or the one asked
// for). A Filter is immutable: any number of threads may use one at the same time. Moving is cheap; copies share the
// engine. Packets are borrowed for the call only, and nothing outside of their bytes is read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/packet/columns.h>
#include <weir/packet/packet.h>

namespace weir::front {

struct FilterOptions {
  filter::CompileOptions compile{};  // link type (Ethernet unless said), names, snap length
  engine::LoadOptions load{};        // engine, processor features, how many packets to expect
};

class Filter {
 public:
  // Errors carry a Span into the expression.
  static Result<Filter> compile(std::string_view expression, const FilterOptions& options = {});
  // A program that was checked, whoever made it. options.compile is not used.
  static Result<Filter> load(cbpf::Checked program, const FilterOptions& options = {});

  bool matches(const packet::Packet& packet) const { return engine_->run(packet) != 0; }
  bool matches(ByteSpan packet) const { return matches(packet::make_packet(packet)); }

  // One bit a packet: bit i % 64 of bits[i / 64] is set when packet i matches; bits of no packet are 0.
  // bits.size() == (number of packets + 63) / 64. Returns how many match.
  std::size_t matches(packet::Batch batch, std::span<std::uint64_t> bits) const;
  std::size_t matches(const packet::Columns& columns, std::span<std::uint64_t> bits) const {
    return engine_->match(columns, bits);
  }

  const cbpf::Checked& program() const { return program_; }
  const Warnings& warnings() const { return warnings_; }
  const engine::Engine& engine() const { return *engine_; }

 private:
  Filter(cbpf::Checked program, Warnings warnings, std::shared_ptr<const engine::Engine> engine)
      : program_(std::move(program)), warnings_(std::move(warnings)), engine_(std::move(engine)) {}

  cbpf::Checked program_;
  Warnings warnings_;
  std::shared_ptr<const engine::Engine> engine_;
};

}  // namespace weir::front
