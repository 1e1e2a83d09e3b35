// The interpreter: runs on every machine, costs nothing to load.
#pragma once

#include <memory>

#include <weir/cbpf/program.h>
#include <weir/engine/engine.h>

namespace weir::engine {

std::unique_ptr<Engine> make_interpreter(const cbpf::Checked& program);

}  // namespace weir::engine
