// weir asm, weir disasm, weir check: classic programs from text, to text, and whether the kernel would take them.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>

#include "json_text.h"
#include "program_input.h"
#include "program_output.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string file = "-";
  std::string from;
  std::string to;
  std::string output = "-";
  std::string target = "socket";
  bool strict = false;
  bool json = false;
};

cbpf::Target target_named(const std::string& name) {
  if (name == "seccomp") return cbpf::Target::kSeccomp;
  if (name == "user") return cbpf::Target::kUser;
  return cbpf::Target::kSocket;
}

void add_target_option(CLI::App& verb, std::string& target) {
  verb.add_option("--target", target, "who would run it: socket, seccomp or user (weir itself)")
      ->check(CLI::IsMember({"socket", "seccomp", "user"}))
      ->capture_default_str();
}

// What is wrong with a text of assembler language: all of it, but where it is an extended program.
int report_unreadable(const Error& first, const std::string& text, const std::string& file) {
  const Error error = in_program(first, text, file);
  if (error.message == first.message && cbpf::assembly_errors(text).size() > 1)
    return report_assembly_errors(text, file), kBadInput;
  return report(error, text);
}

// Assembles, writes what the kernel would refuse as warnings (with --strict: as errors), then the program.
int assemble(const Options& options) {
  const Result<std::string> text = read_whole_file(options.file, 64u << 20);
  if (!text) return report(text.error());
  const Result<cbpf::Assembled> assembled = cbpf::assemble_with_places(*text);
  if (!assembled) return report_unreadable(assembled.error(), *text, options.file);
  const Severity severity = options.strict ? Severity::kError : Severity::kWarning;
  const std::size_t found = report_violations(*assembled, target_named(options.target), *text, options.file, severity);
  if (options.strict && found > 0) return kBadInput;
  return write_program(assembled->program, *format_named(options.to), options.output);
}

// Reads a program in the form that --from names, or in any, and hands it on, or reports what is wrong with the text.
// `use` gets the places of the instructions, too, where the text is assembler language.
template <typename Use>
int with_program(const Options& options, Use use) {
  const Result<std::string> text = read_whole_file(options.file, 64u << 20);
  if (!text) return report(text.error());
  cbpf::ReadOptions read;
  if (!options.from.empty()) read.format = format_named(options.from);
  const cbpf::Format format = read.format.value_or(cbpf::recognize(*text));
  const Result<cbpf::Program> program = cbpf::read(*text, read);
  if (program) {
    std::vector<Span> places;
    if (format == cbpf::Format::kAssembly)
      if (Result<cbpf::Assembled> assembled = cbpf::assemble_with_places(*text)) places = std::move(assembled->places);
    return use(cbpf::Assembled{*program, std::move(places)}, *text);
  }
  if (format == cbpf::Format::kAssembly) return report_unreadable(program.error(), *text, options.file);
  return report(in_program(program.error(), *text, options.file), *text);
}

std::vector<std::string> readable_formats() {
  std::vector<std::string> names;
  for (const cbpf::FormatInfo& format : cbpf::formats())
    if (format.readable) names.emplace_back(format.name);
  return names;
}

void add_from_option(CLI::App& verb, std::string& from) {
  verb.add_option("--from", from, "the form of the program; without it, told from the content")
      ->check(CLI::IsMember(readable_formats()))
      ->type_name("FORM");
}

int check(const Options& options, const cbpf::Assembled& read, const std::string& text) {
  const cbpf::Program& program = read.program;
  const std::vector<Error> errors = cbpf::violations(program, {.target = target_named(options.target)});
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Error& error : errors) {
      nlohmann::json one = {{"message", error.message}, {"hint", error.hint}};
      if (const auto* place = std::get_if<InstructionPlace>(&error.place)) one["instruction"] = place->index;
      list.push_back(std::move(one));
    }
    const nlohmann::json out = {{"version", 1},
                                {"target", options.target},
                                {"instructions", program.size()},
                                {"valid", errors.empty()},
                                {"violations", list}};
    const int printed = print(json_line(out));
    return printed != kYes ? printed : errors.empty() ? kYes : kBadInput;
  }
  if (report_violations(read, target_named(options.target), text, options.file, Severity::kError) > 0) return kBadInput;
  return print(fmt::format("ok: {} instruction{}\n", program.size(), program.size() == 1 ? "" : "s"));
}

}  // namespace

void add_program_verbs(CLI::App& app, int& status) {
  {
    const auto options = std::make_shared<Options>();
    options->to = "bytecode";
    CLI::App* verb = app.add_subcommand("asm", "assemble a program, classic or (-x) extended");
    verb->add_option("file", options->file, "assembler text ('-': standard input)")->capture_default_str();
    add_format_option(*verb, options->to);
    add_target_option(*verb, options->target);
    verb->add_flag("--strict", options->strict, "what the target would refuse is an error, not a warning");
    verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
    verb->callback([options, &status] { status = assemble(*options); });
  }
  {
    const auto options = std::make_shared<Options>();
    options->to = "asm";
    CLI::App* verb = app.add_subcommand("disasm", "disassemble a program given in any form, classic or extended");
    verb->add_option("file", options->file, "the program, in any form ('-': standard input)")->capture_default_str();
    add_from_option(*verb, options->from);
    add_format_option(*verb, options->to);
    verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
    verb->callback([options, &status] {
      status = with_program(*options, [&](const cbpf::Assembled& read, const std::string&) {
        return write_program(read.program, *format_named(options->to), options->output);
      });
    });
  }
  {
    const auto options = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("check", "tell whether the kernel would take a classic program");
    verb->add_option("file", options->file, "the program, in any form ('-': standard input)")->capture_default_str();
    add_from_option(*verb, options->from);
    add_target_option(*verb, options->target);
    verb->add_flag("--json", options->json, "print the findings as JSON");
    verb->callback([options, &status] {
      status = with_program(
          *options, [&](const cbpf::Assembled& read, const std::string& text) { return check(*options, read, text); });
    });
  }
}

}  // namespace weir::tool
