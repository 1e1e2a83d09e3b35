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
  }
  return engines;
}

inline bool draws_numbers(const cbpf::Program& program) {
  for (const cbpf::Instruction& instruction : program)
    if (instruction.k == cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kRandom)) return true;
  return false;
}

}  // namespace weir::tests
