// The one renderer of messages. Exports render, one_line and locate.
//
// Text is cut at line breaks and shown with the place underlined: one '^' a character. What is not printable is shown
// as '?' so that bytes of a hostile file never reach the terminal. Widths count code points, which is right for the
// texts met here (expressions, assembler); wide East Asian characters shift the caret by one each.
#include <weir/base/render.h>

#include <algorithm>

namespace weir {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string printable(std::string_view text) {
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte >= 0x20 && byte != 0x7f) || c == '\t' ? c : '?';
  }
  return out;
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
  Window window{line, begin, std::min(end, line.size())};
  if (count_characters(line) <= width) return window;
  const std::size_t before = width / 3;
  std::size_t from = begin > before ? begin - before : 0;
  while (from > 0 && continues(line[from])) --from;
  std::size_t to = std::min(line.size(), from + width);
  while (to < line.size() && continues(line[to])) ++to;
  window.line = line.substr(from, to - from);
  window.begin = begin - from;
  window.end = std::min(window.end, to) - from;
  window.cut_left = from > 0;
  window.cut_right = to < line.size();
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
  for (char c : window.line.substr(0, window.begin))
    if (!continues(c)) out += c == '\t' ? '\t' : ' ';
  const std::size_t marks = count_characters(window.line.substr(window.begin, window.end - window.begin));
  out += colors.caret;
  out.append(std::max<std::size_t>(marks, 1), '^');
  out += colors.off;
  if (!diagnostic.hint.empty()) out += std::string(" ") + colors.hint + diagnostic.hint + colors.off;
  out += '\n';
}

}  // namespace

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
