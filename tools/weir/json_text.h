// JSON as the program prints it: one line, and always UTF-8. Names of files and of the kernel's things are any bytes;
// what is no UTF-8 in them becomes U+FFFD.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace weir::tool {

// `indent`: blanks a level, or -1 for one line. No line break at the end.
inline std::string json_text(const nlohmann::json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}
inline std::string json_line(const nlohmann::json& json) { return json_text(json) + "\n"; }

// The lines of a text, as an array of strings.
inline nlohmann::json lines_of(std::string_view text) {
  nlohmann::json lines = nlohmann::json::array();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(std::string(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace weir::tool
