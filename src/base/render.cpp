// The one renderer of messages. Exports render, one_line and locate.
//
// Text is cut at line breaks and shown with the place underlined: one '^' a character. What is not printable is shown
// as '?' so that bytes of a hostile file never reach the terminal; a byte that is no UTF-8 is a character of its own.
// Widths count code points, which is right for the texts met here (expressions, assembler); wide East Asian characters
// shift the caret by one each.
#include <weir/base/render.h>

#include <algorithm>
#include <vector>

namespace weir {
namespace {

// The bytes of the character at `at`: a whole UTF-8 sequence, or one byte that begins none.
std::size_t length_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t size = byte(0) < 0xc2 ? 1 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : byte(0) < 0xf5 ? 4 : 1;
  if (size > text.size() - at) return 1;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 1;
  const bool too_long = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  const bool none = (byte(0) == 0xed && byte(1) >= 0xa0) || (byte(0) == 0xf4 && byte(1) >= 0x90);
  return size > 1 && (too_long || none) ? 1 : size;
}

// Controls of one byte and of two, and those that turn the direction of writing, move what a reader sees.
bool is_shown(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return (byte(0) >= 0x20 && byte(0) < 0x7f) || byte(0) == '\t';
  if (character.size() == 2) return byte(0) != 0xc2 || byte(1) >= 0xa0;
  if (character.size() == 3 && byte(0) == 0xe2)
    return !(byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae) &&
           !(byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);
  return true;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); at += length_at(text, at)) ++count;
  return count;
}

struct Colors {
  const char* bold = "";
  const char* severity = "";
  const char* caret = "";
  const char* hint = "";
  const char* off = "";
};

Colors colors_for(Severity severity, bool color) {
  if (!color) return {};
  return {"\x1b[1m", severity == Severity::kError ? "\x1b[1;31m" : "\x1b[1;35m", "\x1b[1;32m", "\x1b[36m", "\x1b[0m"};
}

// The part of a line around [begin, end) that fits into width characters, and where the place lies in it.
struct Window {
  std::string_view line;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool cut_left = false;
  bool cut_right = false;
};

Window window_of(std::string_view line, std::size_t begin, std::size_t end, std::size_t width) {
  std::vector<std::size_t> starts;  // of each character, and the line's end
  for (std::size_t at = 0; at < line.size(); at += length_at(line, at)) starts.push_back(at);
  const std::size_t count = starts.size();
  starts.push_back(line.size());
  Window window{line, begin, std::min(end, line.size())};
  if (count <= width) return window;
  // The character that `begin` lies in stays inside: what stands before it is a third of the width at most.
  const auto character =
      static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), begin) - starts.begin()) - 1;
  const std::size_t from = character > width / 3 ? character - width / 3 : 0;
  const std::size_t to = std::min(count, from + std::max<std::size_t>(width, 1));
  const std::size_t left = starts[from];
  const std::size_t right = starts[to];
  window.line = line.substr(left, right - left);
  window.begin = begin - left;
  window.end = std::max(begin, std::min(window.end, right)) - left;
  window.cut_left = from > 0;
  window.cut_right = to < count;
  return window;
}

std::string place_text(const Diagnostic& diagnostic, std::string_view text) {
  std::string out = diagnostic.source;
  if (const auto* span = std::get_if<Span>(&diagnostic.place)) {
    if (text.empty() || (out.empty() && text.find('\n') == std::string_view::npos)) return out;
    const LineColumn at = locate(text, span->begin);
    if (!out.empty()) out += ':';
    return out + std::to_string(at.line) + ':' + std::to_string(at.column);
  }
  if (const auto* instruction = std::get_if<InstructionPlace>(&diagnostic.place)) {
    if (!out.empty()) out += ": ";
    return out + "instruction " + std::to_string(instruction->index);
  }
  if (const auto* offset = std::get_if<OffsetPlace>(&diagnostic.place)) {
    if (!out.empty()) out += ": ";
    return out + "byte " + std::to_string(offset->offset);
  }
  return out;
}

void append_caret(std::string& out, const Diagnostic& diagnostic, Span span, std::string_view text,
                  const RenderStyle& style, const Colors& colors) {
  const std::size_t begin = std::min<std::size_t>(span.begin, text.size());
  const std::size_t line_break = begin == 0 ? std::string_view::npos : text.rfind('\n', begin - 1);
  const std::size_t line_begin = line_break == std::string_view::npos ? 0 : line_break + 1;
  const std::size_t line_end = std::min(text.find('\n', begin), text.size());
  std::string_view line = text.substr(line_begin, line_end - line_begin);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const std::size_t at = std::min(begin - line_begin, line.size());
  const std::size_t stop =
      std::max<std::size_t>(at, std::min<std::size_t>(std::max(span.end, span.begin), line_end) - line_begin);
  const Window window = window_of(line, at, stop, style.width);

  const std::string_view left = window.cut_left ? "..." : "";
  out += "  ";
  out += left;
  out += printable(window.line);
  out += window.cut_right ? "...\n  " : "\n  ";
  out.append(left.size(), ' ');
  for (std::size_t i = 0, size = 0; i < window.begin; i += size) {
    size = length_at(window.line, i);
    if (i + size <= window.begin) out += window.line[i] == '\t' ? '\t' : ' ';
  }
  const std::size_t marks = count_characters(window.line.substr(window.begin, window.end - window.begin));
  out += colors.caret;
  out.append(std::max<std::size_t>(marks, 1), '^');
  out += colors.off;
  if (!diagnostic.hint.empty()) out += std::string(" ") + colors.hint + diagnostic.hint + colors.off;
  out += '\n';
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0, size = 0; at < text.size(); at += size) {
    size = length_at(text, at);
    const std::string_view character = text.substr(at, size);
    if (is_shown(character)) out += character;
    else out += '?';
  }
  return out;
}

LineColumn locate(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto lines = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t line_break = before.rfind('\n');
  const std::string_view line = line_break == std::string_view::npos ? before : before.substr(line_break + 1);
  return {lines + 1, count_characters(line) + 1};
}

std::string render(const Diagnostic& diagnostic, std::string_view text, const RenderStyle& style) {
  const Colors colors = colors_for(diagnostic.severity, style.color);
  std::string out;
  if (!style.program.empty()) out += std::string(style.program) + ": ";
  if (const std::string place = place_text(diagnostic, text); !place.empty())
    out += colors.bold + printable(place) + colors.off + ": ";
  out += colors.severity;
  out += diagnostic.severity == Severity::kError ? "error: " : "warning: ";
  out += colors.off;
  out += printable(diagnostic.message);
  out += '\n';
  const auto* span = std::get_if<Span>(&diagnostic.place);
  if (span != nullptr && !text.empty()) append_caret(out, diagnostic, *span, text, style, colors);
  else if (!diagnostic.hint.empty()) out += std::string("  ") + colors.hint + diagnostic.hint + colors.off + '\n';
  return out;
}

std::string one_line(const Diagnostic& diagnostic, std::string_view text) {
  std::string out = diagnostic.source;
  if (const auto* span = std::get_if<Span>(&diagnostic.place)) {
    const LineColumn at = locate(text, span->begin);
    if (!out.empty()) out += ':';
    out += std::to_string(at.line) + ':' + std::to_string(at.column);
  } else {
    out = place_text(diagnostic, text);
  }
  if (!out.empty()) out += ": ";
  out += diagnostic.message;
  if (!diagnostic.hint.empty()) out += " (" + diagnostic.hint + ")";
  return out;
}

}  // namespace weir
