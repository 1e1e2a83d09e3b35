// What the verifier's tests share: programs as text, accepted or refused for a rule.
#pragma once

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>
#include <weir/verify/verify.h>

namespace weir::verify {

using ebpf::ProgramType;

inline constexpr const char* kMaps =
    ".map hash, hash, key 4, value 16, entries 8\n"
    ".map array, array, key 4, value 24, entries 4\n"
    ".map constants, array, key 4, value 8, entries 1, flags 128\n"
    ".map variables, array, key 4, value 24, entries 1\n"
    ".map ring, ringbuf, key 0, value 0, entries 4096\n"
    ".map stack, stack, key 0, value 8, entries 4\n"
    ".map jumps, prog_array, key 4, value 4, entries 4\n"
    ".map outer, array_of_maps, key 4, value 4, entries 4, inner array\n";

inline ebpf::Program program_of(const std::string& text, bool with_maps = true) {
  const std::string whole = (with_maps ? kMaps : "") + text;
  Result<ebpf::Program> program = ebpf::assemble(whole);
  EXPECT_TRUE(program) << render(program.error(), whole);
  return program ? std::move(*program) : ebpf::Program{};
}

inline Options as(ProgramType type) { return {.premise = {.type = type}}; }

inline void accepts(const std::string& text, const Options& options = {}) {
  const Report report = examine(program_of(text), options);
  EXPECT_TRUE(report.verified) << text << "\n" << explain(*report.refusal);
  EXPECT_FALSE(report.refusal);
}

// The refusal, for tests that look closer.
inline Refusal refuses(const std::string& text, Rule rule, const Options& options = {}) {
  const Report report = examine(program_of(text), options);
  EXPECT_TRUE(report.refusal) << text << "\nwas accepted";
  if (!report.refusal) return {};
  EXPECT_EQ(name_of(report.refusal->rule), name_of(rule)) << text << "\n" << explain(*report.refusal);
  EXPECT_FALSE(report.refusal->message.empty());
  return *report.refusal;
}

// r0: a value of the map, or null.
inline const std::string kLookup = "*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[array]\ncall map_lookup_elem\n";

}  // namespace weir::verify
