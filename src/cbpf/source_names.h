// Names in source code that stand for numbers, and the literals of golang.org/x/net/bpf.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <weir/cbpf/typed.h>

namespace weir::cbpf {

// The value of a constant of <linux/bpf_common.h>, <linux/filter.h> or golang.org/x/net/bpf.
std::optional<std::int64_t> find_constant(std::string_view name);
std::span<const std::string_view> constant_names();  // for suggestions

// A field of a struct literal and its value.
struct SourceField {
  std::string_view name;
  Span span;  // of the name
  std::int64_t value = 0;
  Span value_span;
};

// Whether `name` is a type of golang.org/x/net/bpf that is an instruction: "LoadAbsolute".
bool is_go_type(std::string_view name);
std::span<const std::string_view> go_types();
// The instruction that a literal of the type is: errors for fields that the type has not, and values out of range.
Result<typed::Instruction> go_literal(std::string_view type, std::span<const SourceField> fields, Span place);

}  // namespace weir::cbpf
