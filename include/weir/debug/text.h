// What a session shows, as text: instructions, registers, packets, the run as a table, the reason of a verdict.
//
// Two styles: that of bpf_dbg, byte for byte, and weir's own, which adds to it. Each function returns whole lines.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <weir/debug/fields.h>
#include <weir/debug/session.h>

namespace weir::debug {

enum class Style : std::uint8_t { kOwn, kBpfDbg };

// "l3:\tjeq #0x6, l4, l12", without a newline; any instruction, legal or not.
std::string instruction_text(const cbpf::Program& program, std::uint32_t index);
std::string disassembly(const cbpf::Program& program);
// bpf_dbg's `dump`: the program as lines of C.
std::string c_dump(const cbpf::Program& program);

std::string registers_text(const cbpf::Program& program, const State& state, Style style);
// The bytes, 16 a row. In weir's own style, the bytes in `marked` are underlined.
std::string packet_text(const packet::Packet& packet, Style style, const std::vector<ByteRange>& marked = {});
// One field a line: offset, size, name and value; those that touch `marked` have a '*'.
std::string fields_text(const packet::Packet& packet, packet::LinkType link_type,
                        const std::vector<ByteRange>& marked = {});

// The bytes that the instructions loaded, in order of offset, each range once.
std::vector<ByteRange> loaded(const std::vector<Executed>& run);

// "verdict 96: passes, 60 of 60 bytes kept".
std::string verdict_text(const State& end, const packet::Packet& packet);

// A run as a table, one instruction a row: what it was, A and X after it, what it read or decided. `current` marks the
// row that is next.
std::string trace_text(const cbpf::Program& program, const std::vector<Executed>& run, const packet::Packet& packet,
                       packet::LinkType link_type, std::optional<std::size_t> current = {});

// Why a run ended as it did.
struct Why {
  State end;
  // The last conditional jump on the way that decided: had it gone the other way, the packet would have passed instead
  // of failed, or the other way round. An index into the run; none when no jump alone decides.
  std::optional<std::size_t> decided_by{};
  State otherwise{};  // how the packet would have ended
  // Where no jump alone decides: the last one that led away from every way to the other fate. An index into the run.
  std::optional<std::size_t> sealed_by{};
};
Why explain(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings,
            const std::vector<Executed>& run);
std::string why_text(const cbpf::Program& program, const std::vector<Executed>& run, const Why& why,
                     const packet::Packet& packet, packet::LinkType link_type);

}  // namespace weir::debug
