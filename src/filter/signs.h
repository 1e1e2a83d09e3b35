// The signs of operators of two values, in the order that ArithmeticOp and TermOp share.
#pragma once

#include <iterator>
#include <string_view>

#include <weir/filter/ast.h>
#include <weir/filter/formula.h>

namespace weir::filter {

inline constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"};
static_assert(static_cast<std::size_t>(ArithmeticOp::kShiftRight) - static_cast<std::size_t>(ArithmeticOp::kAdd) + 1 ==
              std::size(kSigns));
static_assert(static_cast<std::size_t>(TermOp::kShiftRight) - static_cast<std::size_t>(TermOp::kAdd) + 1 ==
              std::size(kSigns));

constexpr std::string_view sign_of(ArithmeticOp op) {
  return kSigns[static_cast<std::size_t>(op) - static_cast<std::size_t>(ArithmeticOp::kAdd)];
}
constexpr std::string_view sign_of(TermOp op) {
  return kSigns[static_cast<std::size_t>(op) - static_cast<std::size_t>(TermOp::kAdd)];
}

}  // namespace weir::filter
