// An engine takes a program only with the proof that it was checked.
#include <weir/engine/engine.h>

int main() {
  const weir::cbpf::Program program{weir::cbpf::make(weir::cbpf::Opcode::kRetK, 1)};
#ifdef MUST_FAIL
  return weir::engine::load(program).has_value();
#else
  return weir::engine::load(*weir::cbpf::check(program)).has_value();
#endif
}
