// The formats of bpf_trace_printk. Exports print_format.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include <weir/runtime/helpers.h>

namespace weir::runtime {

// The text, or nothing where the format is bad: it must end with a zero byte, and knows %d %i %u %x %X %o %c %p %s %%
// with flags, a width and l or ll; %s follows a pointer only where the program may read.
std::optional<std::string> print_format(std::string_view format, const std::array<std::uint64_t, 3>& arguments,
                                        const Invocation& run);

}  // namespace weir::runtime
