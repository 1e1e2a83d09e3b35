// Messages, results and the exit status. Exports report, print and what they need to know of the terminal.
#include "terminal.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <weir/base/bytes.h>
#include <weir/base/file.h>
#include <weir/base/render.h>

namespace weir::tool {
namespace {

bool wants_color(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") return false;
  return ::isatty(descriptor) == 1;
}

}  // namespace

bool color_on_stderr() { return wants_color(STDERR_FILENO); }
bool color_on_stdout() { return wants_color(STDOUT_FILENO); }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

int report(const Diagnostic& diagnostic, std::string_view text) {
  const std::string message = render(diagnostic, text, {.color = color_on_stderr(), .program = "weir"});
  std::fwrite(message.data(), 1, message.size(), stderr);
  return diagnostic.code == ErrorCode::kUsage ? kUsage : kBadInput;
}

void report_all(const Warnings& warnings, std::string_view text) {
  for (const Diagnostic& warning : warnings) report(warning, text);
}

void say(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

int print(std::string_view text) {
  const ByteSpan bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  const Status status = write_all(STDOUT_FILENO, bytes, "-");
  if (status || status.error().system_error == EPIPE) return kYes;
  return report(status.error());
}

}  // namespace weir::tool
