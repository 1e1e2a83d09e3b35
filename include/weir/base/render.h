// Diagnostics as text for people.
//
//   weir: error: unknown word 'pot'
//     host 10.0.0.1 and pot 80
//                       ^^^ did you mean 'port'?
//
// The one renderer: every message of every module passes here, so all look alike. Columns are counted in characters
// (UTF-8 code points), tabs are kept so that the caret stays under its word, and a long line is cut around the place.
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

#include <weir/base/error.h>

namespace weir {

struct RenderStyle {
  bool color = false;             // ANSI colours
  std::string_view program = {};  // printed first when not empty: "weir: "
  std::size_t width = 120;        // longest source line shown before it is cut around the place, in characters
};

// A line and column, both from 1; the column counts characters.
struct LineColumn {
  std::size_t line = 1;
  std::size_t column = 1;
};
LineColumn locate(std::string_view text, std::size_t offset);

// The message, its place, and, if the place is a Span and `text` is what it points into, the line with a caret.
// Ends with a newline.
std::string render(const Diagnostic& diagnostic, std::string_view text = {}, const RenderStyle& style = {});

// Text with '?' for all that is not printable: what a terminal would obey, or what makes text look like other text.
std::string printable(std::string_view text);

// The message and its place on one line without the text: "3:7: unknown word 'pot' (did you mean 'port'?)".
std::string one_line(const Diagnostic& diagnostic, std::string_view text = {});

}  // namespace weir
