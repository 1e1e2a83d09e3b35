// The choice of an engine. Exports load.
#include <weir/engine/engine.h>

#include "engine/interpreter.h"

namespace weir::engine {

Result<std::unique_ptr<Engine>> load(const cbpf::Checked& program, const LoadOptions& options) {
  switch (options.kind) {
    case Kind::kAutomatic:
    case Kind::kInterpreter: return make_interpreter(program);
  }
  return fail("no such engine");
}

}  // namespace weir::engine
