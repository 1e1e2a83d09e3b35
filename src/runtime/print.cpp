// The formats of bpf_trace_printk. See print.h. Source: kernel/bpf/helpers.c, bpf_bprintf_prepare.
#include "runtime/print.h"

#include <fmt/format.h>

namespace weir::runtime {
namespace {

struct Directive {
  bool left = false;
  bool zeros = false;
  bool plus = false;
  bool prefix = false;
  std::size_t width = 0;
  int longs = 0;
  char kind = '\0';
};

Directive read_directive(std::string_view format, std::size_t& at) {
  Directive out;
  for (; at < format.size(); ++at) {
    const char c = format[at];
    if (c == '-') out.left = true;
    else if (c == '0') out.zeros = true;
    else if (c == '+') out.plus = true;
    else if (c == '#') out.prefix = true;
    else if (c != ' ') break;
  }
  for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at)
    out.width = out.width < 1000 ? out.width * 10 + static_cast<std::size_t>(format[at] - '0') : out.width;
  for (; at < format.size() && format[at] == 'l'; ++at) ++out.longs;
  if (at < format.size()) out.kind = format[at++];
  return out;
}

std::string padded(const Directive& directive, const std::string& sign, const std::string& body) {
  const std::size_t length = sign.size() + body.size();
  const std::string room(directive.width > length ? directive.width - length : 0,
                         directive.zeros && !directive.left ? '0' : ' ');
  if (directive.left) return sign + body + std::string(room.size(), ' ');
  return directive.zeros ? sign + room + body : room + sign + body;
}

std::optional<std::string> write(const Directive& directive, std::uint64_t value, const Invocation& run) {
  const std::uint64_t cut = directive.longs == 0 ? value & 0xffffffff : value;
  const std::int64_t whole = directive.longs == 0 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
  switch (directive.kind) {
    case 'd':
    case 'i': {
      const std::uint64_t size = whole < 0 ? 0 - static_cast<std::uint64_t>(whole) : static_cast<std::uint64_t>(whole);
      return padded(directive, whole < 0 ? "-" : directive.plus ? "+" : "", fmt::format("{}", size));
    }
    case 'u': return padded(directive, "", fmt::format("{}", cut));
    case 'x': return padded(directive, directive.prefix ? "0x" : "", fmt::format("{:x}", cut));
    case 'X': return padded(directive, directive.prefix ? "0X" : "", fmt::format("{:X}", cut));
    case 'o': return padded(directive, directive.prefix ? "0" : "", fmt::format("{:o}", cut));
    case 'p': return padded(directive, "", fmt::format("{:016x}", value));
    case 'c': return padded(directive, "", std::string(1, static_cast<char>(value)));
    case 's': {
      std::string text;
      for (std::uint64_t at = value; text.size() < 512; ++at) {
        if (!run.may_access(at, 1, false)) return padded(directive, "", text.empty() ? "(fault)" : text);
        const char c = *reinterpret_cast<const char*>(at);
        if (c == '\0') break;
        text += c;
      }
      return padded(directive, "", text);
    }
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> print_format(std::string_view format, const std::array<std::uint64_t, 3>& arguments,
                                        const Invocation& run) {
  const std::size_t end = format.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  format = format.substr(0, end);
  std::string out;
  std::size_t argument = 0;
  for (std::size_t at = 0; at < format.size();) {
    const char c = format[at++];
    if (c != '%') {
      out += c;
      continue;
    }
    if (at < format.size() && format[at] == '%') {
      out += '%';
      ++at;
      continue;
    }
    const Directive directive = read_directive(format, at);
    if (argument >= arguments.size()) return std::nullopt;
    const auto text = write(directive, arguments[argument++], run);
    if (!text) return std::nullopt;
    out += *text;
  }
  return out;
}

}  // namespace weir::runtime
