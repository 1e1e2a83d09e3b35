// Makes packets that reach the paths of a program. Exports steer.
#include "reference/steered_packets.h"

#include <algorithm>

#include "reference/tracing_machine.h"

namespace weir::reference {
namespace {

Bytes random_packet(std::mt19937& random, std::uint32_t length) {
  Bytes out(length);
  // Small bytes and repeated ones are more like headers than noise is.
  const std::uint32_t style = random() % 4;
  for (std::uint8_t& byte : out) {
    const std::uint32_t bits = random();
    byte = static_cast<std::uint8_t>(style == 0 ? 0 : style == 1 ? bits & 0x0f : bits);
    if (style == 2 && (bits >> 8) % 3 == 0) byte = 0;
  }
  if (style == 3 && length > 14) out[14] = 0x45;
  return out;
}

}  // namespace

SteeredPackets steer(std::span<const cbpf::Instruction> program, std::mt19937& random, const SteerOptions& options) {
  SteeredPackets out;
  const auto run_and_keep = [&](const Bytes& bytes) {
    Trace trace = run(program, packet::make_packet({bytes.data(), bytes.size()}));
    for (const std::uint32_t edge : trace.edges) out.edges.insert(edge);
    (trace.verdict != 0 ? out.accepted : out.rejected) = true;
    out.packets.push_back(bytes);
    return trace;
  };
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    Bytes bytes = random_packet(random, options.length);
    if (!options.seeds.empty() && round % 2 == 1) {
      const Bytes& seed = options.seeds[random() % options.seeds.size()];
      std::copy_n(seed.begin(), std::min(seed.size(), bytes.size()), bytes.begin());
    }
    Trace trace = run_and_keep(bytes);
    for (std::uint32_t i = 0; i < options.turns && !trace.decisions.empty(); ++i) {
      // First a decision whose other way was never taken, the last one as a rule; else any.
      const Decision* chosen = nullptr;
      for (const Decision& decision : trace.decisions) {
        const std::uint32_t other = 2 * decision.instruction + (decision.taken ? 0 : 1);
        if (out.edges.count(other) == 0 && (chosen == nullptr || random() % 4 != 0)) chosen = &decision;
      }
      if (chosen == nullptr) chosen = &trace.decisions[random() % trace.decisions.size()];
      const Bytes before = bytes;
      if (!turn(*chosen, bytes)) continue;
      Trace next = run_and_keep(bytes);
      if (next.decisions.empty()) bytes = before;
      else trace = std::move(next);
    }
  }
  return out;
}

std::size_t edge_count(std::span<const cbpf::Instruction> program) {
  std::size_t out = 0;
  for (const cbpf::Instruction& instruction : program)
    if ((instruction.code & 7) == 5 && (instruction.code & 0xf0) != 0) out += 2;
  return out;
}

}  // namespace weir::reference
