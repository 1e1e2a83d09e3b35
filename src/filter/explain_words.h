// Words for tests with a shape of their own, and for comparisons.
#pragma once

#include <string>
#include <string_view>

#include <weir/filter/ast.h>

namespace weir::filter {

// `written`: the words of the test in the expression.
std::string special_words(const Node& node, std::string_view written, bool tests_shift);
std::string comparison_words(const Ast& ast, const Node& node);

}  // namespace weir::filter
