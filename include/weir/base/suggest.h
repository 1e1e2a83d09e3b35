// "Did you mean": the candidate nearest to a misspelt word.
//
// Distance is optimal string alignment (insert, delete, replace, swap neighbours), case ignored. Returns an empty view
// when nothing is near enough (more than a third of the word would have to change). Thread-safe: no state.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir {

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// "did you mean 'port'?", or empty.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace weir
