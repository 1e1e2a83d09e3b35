// The proof cannot be made by hand.
#include <weir/cbpf/program.h>

int main() {
  weir::cbpf::Program program{weir::cbpf::make(weir::cbpf::Opcode::kRetK, 1)};
#ifdef MUST_FAIL
  const weir::cbpf::Checked checked(std::move(program), weir::cbpf::Target::kSocket);
#else
  const weir::cbpf::Checked checked = *weir::cbpf::check(std::move(program));
#endif
  return checked.program().empty();
}
