// Expression to optimised program: any text compiles, or is refused with a message; what the optimiser makes has the
// verdicts of the code without it, on packets steered down the paths of both, whole and cut. The first byte picks the
// link type.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

#include <weir/filter/compile.h>
#include <weir/packet/link_type.h>

#include "fuzz_verdicts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  if (size == 0) return 0;
  static filter::StaticResolver names;
  filter::CompileOptions options;
  options.bind.link_type = packet::link_types()[data[0] % packet::link_types().size()].type;
  options.bind.allow_no_match = true;
  options.bind.netmask = 0xffffff00;
  options.bind.resolver = &names;
  options.bind.read_file = [](const std::string&) -> Result<std::string> {
    return fail(Error{.code = ErrorCode::kUnsupported, .message = "no files here"});
  };
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto optimised = filter::compile(text, options);
  options.optimise = false;
  const auto plain = filter::compile(text, options);
  if (!optimised || !plain) {
    const Error& error = !optimised ? optimised.error() : plain.error();
    fuzz::require(!error.message.empty());
    // Without the optimiser more scratch words may be needed than there are.
    fuzz::require(!optimised == !plain || error.code == ErrorCode::kLimit);
    return 0;
  }
  fuzz::require_equal_verdicts(plain->program.program(), optimised->program.program(), data[0] + size);
  return 0;
}
