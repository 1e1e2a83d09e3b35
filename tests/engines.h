// Every engine that this machine can run, for one program.
#pragma once

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>

namespace weir::tests {

inline std::vector<std::unique_ptr<engine::Engine>> all_engines(const cbpf::Checked& program) {
  std::vector<std::unique_ptr<engine::Engine>> engines;
  for (const engine::KindInfo& info : engine::kinds()) {
    if (info.kind == engine::Kind::kAutomatic) continue;
    auto engine = engine::load(program, {.kind = info.kind});
    if (!engine && engine.error().code == ErrorCode::kUnsupported) continue;  // another processor's
    EXPECT_TRUE(engine) << info.name << ": " << engine.error().message << "\n"
                        << cbpf::write(program.program(), cbpf::Format::kText);
    if (engine) engines.push_back(std::move(*engine));
    if (info.kind != engine::Kind::kAvx2 && info.kind != engine::Kind::kAvx512) continue;
    engine::CpuFeatures features = engine::cpu_features();
    features.fast_gather = !features.fast_gather;  // the other way to read many packets at once
    if (auto other = engine::load(program, {.kind = info.kind, .features = features}))
      engines.push_back(std::move(*other));
  }
  return engines;
}

inline bool loads_extension(const cbpf::Program& program, std::initializer_list<cbpf::Extension> extensions) {
  for (const cbpf::Instruction& instruction : program)
    for (const cbpf::Extension extension : extensions)
      if (instruction.k == cbpf::kExtensionBase + static_cast<std::uint32_t>(extension)) return true;
  return false;
}

inline bool draws_numbers(const cbpf::Program& program) { return loads_extension(program, {cbpf::Extension::kRandom}); }

// What the naive reference leaves out; engines are then compared with the interpreter.
inline bool dissects(const cbpf::Program& program) {
  return loads_extension(
      program, {cbpf::Extension::kNetlinkAttribute, cbpf::Extension::kNetlinkNested, cbpf::Extension::kPayloadOffset});
}

}  // namespace weir::tests
