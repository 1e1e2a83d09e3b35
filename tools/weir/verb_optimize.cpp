// weir optimize: a classic program, whoever compiled it, made shorter with the same verdicts.
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/flow/optimise.h>

#include "json_text.h"
#include "pass_printing.h"
#include "program_input.h"
#include "program_output.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string program = "-";
  std::string to = "text";
  std::string output = "-";
  std::string target = "socket";
  std::vector<std::string> print_after{};
  bool quiet = false;
  bool json = false;
};

// A file of this name; or, where there is none, the program itself.
Result<std::string> text_of(const Options& options, std::string& source) {
  const bool file = options.program == "-" || ::access(options.program.c_str(), F_OK) == 0;
  source = options.program == "-" ? "standard input" : file ? options.program : "";
  if (!file && options.program.find_first_of(" \n,") != std::string::npos) return options.program;
  return read_whole_file(options.program, 64u << 20);
}

cbpf::Target target_named(const std::string& name) {
  return name == "seccomp" ? cbpf::Target::kSeccomp : name == "user" ? cbpf::Target::kUser : cbpf::Target::kSocket;
}

std::string saving(std::size_t before, std::size_t after) {
  if (before == after) return fmt::format("weir: {} instructions, none could be saved\n", before);
  return fmt::format("weir: {} instructions instead of {}: {} fewer ({:.0f} %)\n", after, before, before - after,
                     100.0 * static_cast<double>(before - after) / static_cast<double>(before));
}

int optimize(const Options& options) {
  std::string source;
  const Result<std::string> text = text_of(options, source);
  if (!text) return report(text.error());
  const auto refuse = [&](Error error) {
    error.source = source;
    return report(error, *text);
  };
  Result<cbpf::Program> program = cbpf::read(*text);
  if (!program) return report(in_program(program.error(), *text, source), *text);
  const Result<cbpf::Checked> checked = cbpf::check(std::move(*program), {.target = target_named(options.target)});
  if (!checked) return refuse(checked.error());
  const cbpf::Program made = flow::optimise(*checked, printing_after(options.print_after));
  const std::size_t before = checked->program().size();
  if (options.json) {
    nlohmann::json instructions = nlohmann::json::array();
    for (const cbpf::Instruction& i : made) instructions.push_back({i.code, i.jt, i.jf, i.k});
    const nlohmann::json out = {
        {"version", 1}, {"before", before}, {"after", made.size()}, {"instructions", instructions}};
    return write_text(json_line(out), options.output);
  }
  const int status = write_program(made, *format_named(options.to), options.output);
  if (status == kYes && !options.quiet) say(saving(before, made.size()));
  return status;
}

}  // namespace

void add_optimize(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("optimize", "make a classic program shorter; its verdicts stay the same");
  verb->add_option("program", options->program,
                   "a file with the program in any form ('-': standard input), or the program itself")
      ->capture_default_str();
  add_format_option(*verb, options->to);
  verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
  verb->add_option("--target", options->target, "who will run it: socket, seccomp or user (weir itself)")
      ->check(CLI::IsMember({"socket", "seccomp", "user"}))
      ->capture_default_str();
  add_print_after(*verb, options->print_after);
  verb->add_flag("-q,--quiet", options->quiet, "do not state the saving");
  verb->add_flag("--json", options->json, "print the program and the saving as JSON")
      ->excludes(verb->get_option("--to"));
  verb->callback([options, &status] { status = optimize(*options); });
}

}  // namespace weir::tool
