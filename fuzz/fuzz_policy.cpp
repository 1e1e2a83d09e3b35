// Any text as a seccomp policy: what is read is written and read back the same, compiles or says why not, and the
// program takes every call to an action. Input: the policy's text.
#include <cstdlib>
#include <string_view>

#include <weir/kernel/seccomp.h>
#include <weir/kernel/seccomp_analysis.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::kernel;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto policy = parse_policy(text);
  if (!policy) return 0;
  const auto again = parse_policy(write_policy(*policy));
  if (!again || !(*again == *policy)) std::abort();
  const auto compiled = compile_policy(*policy);
  if (!compiled) return 0;
  for (const ArchitectureInfo& one : architectures())
    for (const std::uint32_t number : {0u, 1u, 59u, 0xffffffffu})
      (void)run_filter(compiled->program, {.number = number | one.number_bits, .architecture = one.audit});
  return 0;
}
