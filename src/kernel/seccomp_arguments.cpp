// Arguments of 32 bits. Exports is_int_argument and has_wide_registers.
//
// The widths are those of the kernel's own definitions of the calls, not of the C library's: ioctl's request is an
// `unsigned int` there, and clone's flags are cut to 32 bits.
#include "seccomp_arguments.h"

#include <algorithm>
#include <iterator>

namespace weir::kernel {
namespace {

struct Widths {
  std::string_view name;
  std::string_view arguments;  // i: 32 bits or less; -: a long or a pointer
};
constexpr Widths kWidths[] = {
#define WEIR_WIDTHS(name, arguments) {#name, arguments},
#include "seccomp_arguments.def"
#undef WEIR_WIDTHS
};

}  // namespace

bool is_int_argument(std::string_view syscall, unsigned argument) {
  const auto* const found =
      std::find_if(std::begin(kWidths), std::end(kWidths), [&](const Widths& one) { return one.name == syscall; });
  return found != std::end(kWidths) && argument < found->arguments.size() && found->arguments[argument] == 'i';
}

bool has_wide_registers(Architecture architecture) {
  return architecture != Architecture::kI386 && architecture != Architecture::kArm;
}

}  // namespace weir::kernel
