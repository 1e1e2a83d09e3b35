// Expression text to tree.
//
// The language is that of pcap-filter(7) as libpcap implements it: `and` and `or` have equal precedence and bind to the
// left, `not` binds tighter, qualifiers are inherited by the identifiers that follow. Beyond it: sets of identifiers
// (`src host {10.0.0.1, 10.0.1.0/24}`, `port {80, 8000-8100}`), identifiers from a file (`host @FILE`), ranges and sets
// after vlan, mpls, pppoes, geneve, vxlan (`vlan 100-200`). Errors carry the span of the
// first word that cannot stand there and, where one is near, what was probably meant.
// Limits: parentheses, brackets, `not` and operators that wait for their right operand nest at most kMaximumNesting
// deep together; a chain of operands has no limit. Time and memory are linear. Thread-safe: no state.
#pragma once

#include <string_view>

#include <weir/base/error.h>
#include <weir/filter/ast.h>

namespace weir::filter {

inline constexpr std::uint32_t kMaximumNesting = 5000;

struct ParseOptions {
  bool strict = false;  // refuse what libpcap's language does not have: sets, files, ranges of VLANs
};

Result<Ast> parse(std::string_view text, const ParseOptions& options = {});

// The words of an expression with their classes, one a line: for `weir compile --emit tokens`.
Result<std::string> write_tokens(std::string_view text);

}  // namespace weir::filter
