// Typed instructions to a running engine. Exports Vm::make.
#include <weir/engine/vm.h>

namespace weir::engine {

Result<Vm> Vm::make(std::span<const cbpf::typed::Instruction> instructions, const LoadOptions& options) {
  WEIR_TRY(cbpf::Program program, cbpf::typed::assemble(instructions));
  WEIR_TRY(const cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
  WEIR_TRY(std::unique_ptr<Engine> engine, load(checked, options));
  return Vm(std::move(engine));
}

}  // namespace weir::engine
