// The run of an extended program over one packet, as a table: each instruction, the registers that it changed, the
// memory that it touched, the source line that it comes from.
//
//   ExtendedTrace trace = trace_packet(*session);      // from where the session is to the end of the packet
//   puts(trace_text(trace).c_str());
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <weir/debug/extended_session.h>

namespace weir::debug {

struct RegisterChange {
  std::uint8_t number = 0;
  std::uint64_t value = 0;
  std::string place{};  // what an address points to: "packet+14"; empty for numbers
};
struct MemoryTouch {
  std::string place{};  // "fp-8", "packet+12", "counts[07 00 00 00]"; empty where nothing is known there
  std::uint32_t size = 0;
  bool write = false;
  std::uint64_t value = 0;    // what was read, or what was written
  std::string value_place{};  // what that points to, where it is an address
};
struct ExtendedRow {
  std::uint32_t instruction = 0;
  std::uint32_t depth = 0;  // functions that wait
  std::string text{};
  std::string function{};
  std::optional<ebpf::SourceLine> line{};
  std::vector<RegisterChange> changes{};
  std::optional<MemoryTouch> memory{};
  std::optional<bool> taken{};  // conditional jumps
};
struct ExtendedTrace {
  std::vector<ExtendedRow> rows{};
  bool ended = false;  // else there were more instructions than rows wanted
  engine::Outcome outcome{};
  std::vector<std::string> printed{};  // bpf_trace_printk
};

// Steps the session to the end of its packet, or `most` instructions far.
ExtendedTrace trace_packet(ExtendedSession& session, std::size_t most = 100'000);
// The rows as lines, a source line before those that come from it.
std::string trace_text(const ExtendedTrace& trace);

// An instruction with the names of its maps; "FILE:LINE: TEXT"; the function that holds a slot, or empty.
std::string instruction_text(const ebpf::Program& program, std::uint32_t slot);
std::string source_text(const ebpf::SourceLine& line);
std::string function_of(const ebpf::Program& program, std::uint32_t slot);

}  // namespace weir::debug
