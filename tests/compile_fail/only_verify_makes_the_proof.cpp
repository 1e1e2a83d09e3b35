// The proof of the verifier cannot be made by hand.
#include <weir/ebpf/text.h>
#include <weir/verify/verify.h>

int main() {
  const weir::ebpf::Checked checked = *weir::ebpf::check(*weir::ebpf::assemble("r0 = 0\nexit"));
#ifdef MUST_FAIL
  const weir::ebpf::Verified verified(checked, weir::ebpf::Premise{});
#else
  const weir::ebpf::Verified verified = *weir::verify::verify(checked);
#endif
  return static_cast<int>(verified.program().size());
}
