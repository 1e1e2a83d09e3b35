// Programs and messages about them, written. Exports what program_output.h declares.
#include "program_output.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <weir/base/file.h>

#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

// As many messages as a person reads at once.
constexpr std::size_t kMostMessages = 20;

std::size_t report_list(const std::vector<Error>& errors, std::string_view text) {
  for (std::size_t i = 0; i < std::min(errors.size(), kMostMessages); ++i) report(errors[i], text);
  if (errors.size() > kMostMessages) say(fmt::format("weir: and {} more\n", errors.size() - kMostMessages));
  return errors.size();
}

}  // namespace

std::optional<cbpf::Format> format_named(const std::string& name) {
  const cbpf::FormatInfo* found = cbpf::find_format(name);
  return found != nullptr ? std::optional(found->format) : std::nullopt;
}

CLI::Option* add_format_option(CLI::App& verb, std::string& format, const std::vector<std::string>& more) {
  std::vector<std::string> all = cbpf::format_names();
  all.insert(all.end(), more.begin(), more.end());
  std::string names;
  for (const std::string& name : all) names += (names.empty() ? "" : ", ") + name;
  return verb.add_option("--to", format, "the form: " + names)
      ->check(CLI::IsMember(all))
      ->capture_default_str()
      ->type_name("FORM");
}

int write_text(std::string_view text, const std::string& path) {
  if (path == "-" && text.find('\0') != std::string_view::npos && ::isatty(STDOUT_FILENO) == 1)
    return report({.code = ErrorCode::kUsage,
                   .message = "a binary program does not go to a terminal",
                   .hint = "write it to a file with -o, or into a pipe"});
  if (path == "-") return print(text);
  Result<ReplacingFile> file = ReplacingFile::create(path);
  if (!file) return report(file.error());
  const ByteSpan bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  if (const Status status = write_all(file->descriptor(), bytes, path); !status) return report(status.error());
  if (const Status status = file->commit(); !status) return report(status.error());
  return kYes;
}

int write_program(const cbpf::Program& program, cbpf::Format format, const std::string& path) {
  if (const Status status = cbpf::fits(program, format); !status) return report(status.error());
  return write_text(cbpf::write(program, format), path);
}

Error in_source(Error error, const std::string& file) {
  error.source = file == "-" ? "standard input" : file;
  return error;
}

void report_assembly_errors(std::string_view text, const std::string& file) {
  std::vector<Error> errors = cbpf::assembly_errors(text);
  for (Error& error : errors) error = in_source(std::move(error), file);
  report_list(errors, text);
}

std::size_t report_violations(const cbpf::Assembled& assembled, cbpf::Target target, std::string_view text,
                              const std::string& file, Severity severity) {
  std::vector<Error> errors = cbpf::violations(assembled.program, {.target = target});
  for (Error& error : errors) {
    error = in_source(std::move(error), file);
    error.severity = severity;
    const auto* place = std::get_if<InstructionPlace>(&error.place);
    if (place != nullptr && !assembled.places.empty())
      error.place = assembled.places[std::min<std::size_t>(place->index, assembled.places.size() - 1)];
  }
  return report_list(errors, text);
}

}  // namespace weir::tool
