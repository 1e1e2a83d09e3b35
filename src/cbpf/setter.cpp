// Handing programs over. Exports set_filter.
#include <weir/cbpf/setter.h>

namespace weir::cbpf {

Status set_filter(Setter& setter, Program program, const CheckOptions& options) {
  WEIR_TRY(const Checked checked, check(std::move(program), options));
  return setter.set_filter(checked);
}

Status set_filter(Setter& setter, std::span<const typed::Instruction> instructions, const CheckOptions& options) {
  WEIR_TRY(Program program, typed::assemble(instructions));
  return set_filter(setter, std::move(program), options);
}

}  // namespace weir::cbpf
